package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// keys are those of an issuer. The library fetches them when a token names one that is not known; here are the bounds of that:
// one look in a while, however many tokens of unknown keys come, and one that ends. Keys that are old are looked for anew, so
// that those which the issuer has withdrawn are not taken for ever, and serve on for as long as the issuer cannot be reached.
type keys struct {
	opts   OAuthOptions
	now    func() time.Time
	client *http.Client

	asked atomic.Int64 // looks, and those that came too soon

	turn chan struct{} // has one in it while keys are fetched; url is its holder's
	url  string        // "": not discovered yet

	mu      sync.Mutex
	set     *oidc.RemoteKeySet  // nil: none was fetched yet
	jwks    string              // where set is from
	fetched time.Time           // of set
	looked  map[string]lastLook // by URL
}

// lastLook is when something was fetched for the last time, and whether it was had.
type lastLook struct {
	at   time.Time
	gave bool
}

// retryRefresh is the least time between looks while none has succeeded: clients wait.
const retryRefresh = time.Second

// maxDocument bounds what an issuer answers.
const maxDocument = 1 << 20

var errTooSoon = errors.New("the keys of the issuer were looked for a moment ago")

func newKeys(o OAuthOptions, now func() time.Time) *keys {
	k := &keys{opts: o, now: now, turn: make(chan struct{}, 1), url: o.JWKSURL, looked: make(map[string]lastLook)}
	k.client = &http.Client{
		Timeout: o.Timeout, Transport: k,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the issuer redirects, which is not followed")
		},
	}
	return k
}

// missedKeys is the key of what VerifySignature leaves in a context: an error that is no fault of the token.
type missedKeys struct{}

// VerifySignature implements oidc.KeySet.
func (k *keys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	set, fresh := k.current()
	if !fresh {
		var err error
		if set, err = k.renewed(ctx, set); err != nil {
			return nil, noteMissed(ctx, err)
		}
	}
	payload, err := k.verify(ctx, set, jwt)
	if isTooSoon(err) && k.hadAnswer() {
		// As in Kafka, which looks for the key of such a token and refuses it meanwhile. Issuers show new keys before they use them.
		return nil, errors.New("token is signed with a key that the issuer did not have a moment ago")
	}
	if isFetch(err) {
		return nil, noteMissed(ctx, err)
	}
	k.noteFetched(set)
	return payload, err
}

// verify is the library's, which looks for keys before it refuses a signature, and gives whoever comes the answer of the look that is
// under way; also in the moment in which that one has ended, when it was another token's, perhaps of long ago.
func (k *keys) verify(ctx context.Context, set *oidc.RemoteKeySet, jwt string) (payload []byte, err error) {
	for range mostStale {
		before := k.asked.Load()
		payload, err = set.VerifySignature(ctx, jwt)
		if !isFetch(err) && !isUnverified(err) || k.asked.Load() != before {
			break
		}
		select { // for the one who is about to say that it has ended
		case <-time.After(stalePause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return payload, err
}

// A token that was given the answer of another asks again, so often, and after so long.
const (
	mostStale  = 200
	stalePause = time.Millisecond
)

// isUnverified tells whether no key fits, as the library says it.
func isUnverified(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "failed to verify")
}

// isTooSoon tells whether keys were not fetched because they were looked for a moment ago.
func isTooSoon(err error) bool {
	return isFetch(err) && strings.Contains(err.Error(), errTooSoon.Error())
}

// hadAnswer tells whether the latest look for keys brought some.
func (k *keys) hadAnswer() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.looked[k.jwks].gave
}

// noteMissed leaves the error to whoever asked for the token.
func noteMissed(ctx context.Context, err error) error {
	if missed, ok := ctx.Value(missedKeys{}).(*error); ok {
		*missed = err
	}
	return err
}

// isFetch tells whether keys could not be fetched, by what the library puts before such errors.
func isFetch(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "fetching keys") }

// current is the set of keys that is there, nil if there was none, and whether it is to be looked for a new one.
func (k *keys) current() (set *oidc.RemoteKeySet, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.set, k.set != nil && k.now().Sub(k.fetched) < k.opts.MaxAge
}

// renewed is a set of keys that were fetched of late, or the old one if that cannot be done now. One at a time does it; others
// go on with what there is, and wait if there is nothing.
func (k *keys) renewed(ctx context.Context, old *oidc.RemoteKeySet) (*oidc.RemoteKeySet, error) {
	if old == nil {
		select {
		case k.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	} else {
		select {
		case k.turn <- struct{}{}:
		default:
			return old, nil
		}
	}
	defer func() { <-k.turn }()
	if set, fresh := k.current(); fresh {
		return set, nil
	}
	set, err := k.fetch(ctx)
	if err != nil && old != nil {
		return old, nil
	}
	return set, err
}

// fetch makes a set of keys and lets it look for them.
func (k *keys) fetch(ctx context.Context) (*oidc.RemoteKeySet, error) {
	where, err := k.discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("discover the keys of %s: %w", k.opts.Issuer, err)
	}
	set := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), k.client), where)
	if _, err := set.VerifySignature(ctx, noSuchToken); isFetch(err) {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set, k.jwks, k.fetched = set, where, k.now()
	return set, nil
}

// noSuchToken has a signature of no key, so that a set which has none looks for keys. It is {"alg":"ES256"}, {} and zeros.
const noSuchToken = "eyJhbGciOiJFUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// discover returns where the keys are. Once it is known it does not change.
func (k *keys) discover(ctx context.Context) (string, error) {
	if k.url != "" {
		return k.url, nil
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, k.client), k.opts.Timeout)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, k.opts.Issuer)
	if err != nil {
		return "", err
	}
	var document struct {
		URL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return "", err
	}
	if document.URL == "" || strings.HasPrefix(k.opts.Issuer, "https:") && !strings.HasPrefix(document.URL, "https:") {
		return "", fmt.Errorf("jwks_uri %q is not of its kind", document.URL)
	}
	k.url = document.URL
	return k.url, nil
}

// noteFetched takes the age of a set from its latest look.
func (k *keys) noteFetched(set *oidc.RemoteKeySet) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if last := k.looked[k.jwks]; set == k.set && last.gave && last.at.After(k.fetched) {
		k.fetched = last.at
	}
}

var errAnswer = errors.New("the issuer's answer is not OK")

// RoundTrip implements http.RoundTripper: it is how often, and for how much, the issuer is asked.
func (k *keys) RoundTrip(r *http.Request) (*http.Response, error) {
	where := r.URL.String()
	k.asked.Add(1)
	if !k.mayLook(where) {
		return nil, errTooSoon
	}
	resp, err := k.opts.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%w: %s", errAnswer, resp.Status)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looked[where] = lastLook{at: k.looked[where].at, gave: true}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxDocument), resp.Body}
	return resp, nil
}

func (k *keys) mayLook(where string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	last, now := k.looked[where], k.now()
	pause := k.opts.MinRefresh
	if !last.gave {
		pause = min(pause, retryRefresh)
	}
	if !last.at.IsZero() && now.Sub(last.at) < pause {
		return false
	}
	k.looked[where] = lastLook{at: now} // before it is there: looks do not overlap
	return true
}
