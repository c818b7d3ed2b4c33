package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
)

// gatekeeper stands before an S3 server and lets through what a policy allows, as IAM does before Amazon's. It notes what the
// policy was needed for. Requests pass as they are, so the server still checks their signatures.
type gatekeeper struct {
	bucket, prefix string
	server         *httputil.ReverseProxy
	real           harness.Stores

	mu      sync.Mutex
	policy  policy
	used    map[string]bool // "s3:GetObject t0"
	refused []string
}

// policy is what `runnel generate iam-policy` writes.
type policy struct {
	Version   string
	Statement []struct {
		Sid, Effect string
		Action      []string
		Resource    []string
		Condition   map[string]map[string][]string
	}
}

// guarded puts a gatekeeper before the object store.
func guarded(t *testing.T, stores harness.Stores) (*gatekeeper, harness.Stores) {
	t.Helper()
	to, err := url.Parse(stores.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	g := &gatekeeper{real: stores}
	_, g.bucket, g.prefix = stores.Bucket()
	g.server = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { // the host stays: it is signed
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
			r.Out.Header["X-Forwarded-For"] = nil
		},
		ModifyResponse: g.answer,
		FlushInterval:  -1,
		ErrorLog:       log.New(io.Discard, "", 0), // of requests that are given up
	}
	s := httptest.NewServer(g)
	t.Cleanup(func() {
		s.CloseClientConnections() // a request that the server never answers is waited for else
		s.Close()
	})
	stores.Endpoint = s.URL
	return g, stores
}

// allow has the policy of a purpose count from now on, and forgets what others were needed for.
func (g *gatekeeper) allow(t *testing.T, purpose string) {
	t.Helper()
	out, errOut, code := g.real.Run(t, "generate", "iam-policy", "--bucket", g.bucket, "--prefix", g.prefix, "--for", purpose)
	var p policy
	if err := json.Unmarshal([]byte(out), &p); code != 0 || err != nil || p.Version != "2012-10-17" {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errOut)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.policy, g.used = p, make(map[string]bool)
}

// needed is what the policy was used for, and what it allows beyond that.
func (g *gatekeeper) needed(t *testing.T) (used, unused []string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, refused := range g.refused {
		t.Errorf("refused: %s", refused)
	}
	for _, s := range g.policy.Statement {
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				use := action + " " + path.Base(path.Dir(resource)) // the folder before the star
				if action == "s3:ListBucket" {
					use = action
				}
				if g.used[use] {
					used = append(used, use)
				} else {
					unused = append(unused, use)
				}
			}
		}
	}
	return used, unused
}

// asked is an action on an object, or a LIST with its prefix.
type asked struct {
	action, key string
	prefix      *string
}

func (g *gatekeeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	all, err := g.actions(r)
	if err != nil {
		g.refuse(w, fmt.Sprintf("%s %s: %v", r.Method, r.URL, err))
		return
	}
	for _, a := range all {
		if !g.permits(a) {
			g.refuse(w, fmt.Sprintf("%s: %s %s", r.Method, a.action, a.key))
			return
		}
	}
	g.mu.Lock()
	for _, a := range all {
		use := a.action
		if a.action != "s3:ListBucket" {
			folder, _, _ := strings.Cut(strings.TrimPrefix(a.key, g.prefix), "/")
			use += " " + folder
		}
		g.used[use] = true
	}
	g.mu.Unlock()
	g.server.ServeHTTP(w, r)
}

func (g *gatekeeper) refuse(w http.ResponseWriter, what string) {
	g.mu.Lock()
	g.refused = append(g.refused, what)
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
}

// answer makes 404 of an object 403 for who may not list, as S3 does: it asks for s3:ListBucket without a prefix.
func (g *gatekeeper) answer(r *http.Response) error {
	if r.StatusCode == http.StatusNotFound && r.Request.Method == http.MethodGet && !r.Request.URL.Query().Has("list-type") &&
		!g.permits(asked{action: "s3:ListBucket"}) {
		r.StatusCode, r.Status = http.StatusForbidden, "403 Forbidden"
	}
	return nil
}

// mostDelete bounds a DeleteObjects: a thousand keys.
const mostDelete = 4 << 20

// actions are what S3 asks IAM for before it does what a request says (Service Authorization Reference).
func (g *gatekeeper) actions(r *http.Request) ([]asked, error) {
	key, isObject := strings.CutPrefix(r.URL.Path, "/"+g.bucket+"/")
	query := r.URL.Query()
	query.Del("x-id") // which the SDK adds for people who read logs
	isObject = isObject && key != ""
	switch {
	case isObject && len(query) == 0 && r.Method == http.MethodGet:
		return []asked{{action: "s3:GetObject", key: key}}, nil
	case isObject && len(query) == 0 && r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") == "":
		return []asked{{action: "s3:PutObject", key: key}}, nil
	case isObject && len(query) == 0 && r.Method == http.MethodDelete:
		return []asked{{action: "s3:DeleteObject", key: key}}, nil
	case isObject || strings.Trim(r.URL.Path, "/") != g.bucket:
	case r.Method == http.MethodGet && query.Get("list-type") == "2":
		a := asked{action: "s3:ListBucket"}
		if query.Has("prefix") {
			prefix := query.Get("prefix")
			a.prefix = &prefix
		}
		return []asked{a}, nil
	case r.Method == http.MethodPost && query.Has("delete"):
		return deletions(r)
	}
	return nil, fmt.Errorf("nobody should ask for this")
}

func deletions(r *http.Request) (all []asked, err error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, mostDelete))
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var d struct {
		Object []struct {
			Key     string
			Version string `xml:"VersionId"`
		}
	}
	if err := xml.Unmarshal(body, &d); err != nil {
		return nil, err
	}
	for _, o := range d.Object {
		if o.Version != "" {
			return nil, fmt.Errorf("a version is deleted: %s", o.Key)
		}
		all = append(all, asked{action: "s3:DeleteObject", key: o.Key})
	}
	return all, nil
}

// permits evaluates the policy. What it does not know of allows nothing.
func (g *gatekeeper) permits(a asked) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	resource := "arn:aws:s3:::" + g.bucket
	if a.action != "s3:ListBucket" {
		resource += "/" + a.key
	}
	for _, s := range g.policy.Statement {
		if s.Effect == "Allow" && slices.Contains(s.Action, a.action) && slices.ContainsFunc(s.Resource, func(p string) bool { return like(p, resource) }) && met(s.Condition, a.prefix) {
			return true
		}
	}
	return false
}

// met tells whether conditions on s3:prefix hold; prefix is nil if the request has none.
func met(conditions map[string]map[string][]string, prefix *string) bool {
	for operator, keys := range conditions {
		for key, patterns := range keys {
			if key != "s3:prefix" || operator != "StringLike" && operator != "StringLikeIfExists" {
				return false
			}
			if prefix == nil {
				if operator == "StringLike" {
					return false
				}
				continue
			}
			if !slices.ContainsFunc(patterns, func(p string) bool { return like(p, *prefix) }) {
				return false
			}
		}
	}
	return true
}

// like tells whether a text is of a pattern that may end in a star. There are no other patterns in the policies.
func like(pattern, text string) bool {
	if begin, star := strings.CutSuffix(pattern, "*"); star {
		return strings.HasPrefix(text, begin)
	}
	return pattern == text
}
