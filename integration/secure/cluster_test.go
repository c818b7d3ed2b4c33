package secure

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/auth/oidctest"
	"github.com/runnel-io/runnel/integration/harness"
)

// Names of the listeners of a cluster. Who comes by open is User:ANONYMOUS, who may do everything.
const (
	open      = "OPEN"
	sasl      = "LOGIN"
	encrypted = "ENCRYPTED"
	mutual    = "MUTUAL"
)

const (
	audience = "runnel"
	password = "correct horse"
)

// cluster is two brokers with a listener of each kind, on which rules count.
type cluster struct {
	t         *testing.T
	brokers   []*harness.Broker
	trusted   *Authority // that signed the servers' certificates and may sign those of clients
	server    Pair
	provider  *oidctest.Provider
	admin     *kadm.Client // who may do everything
	directory string
}

type clusterOptions struct {
	brokers int // 0: 2
	set     map[string]string
	env     []string
}

func openCluster(t *testing.T, o clusterOptions) *cluster {
	t.Helper()
	c := &cluster{t: t, directory: t.TempDir(), provider: oidctest.New(t)}
	var err error
	if c.trusted, err = NewAuthority(c.directory, "authority"); err != nil {
		t.Fatal(err)
	}
	c.server = c.issue(c.trusted, "server", time.Now().Add(time.Hour))
	set := map[string]string{"super.users": "User:ANONYMOUS;User:root"}
	maps.Copy(set, o.set)
	env := append([]string{
		"RUNNEL_AUTHORIZER=on", "RUNNEL_PEER_SECRET=" + rand.Text(),
		"RUNNEL_TLS_CERTIFICATE=" + c.server.Certificate, "RUNNEL_TLS_KEY=" + c.server.Key, "RUNNEL_TLS_CLIENT_AUTHORITY=" + c.trusted.Certificate,
		"RUNNEL_LISTENERS_MUTUAL_CLIENT_AUTH=required",
		"RUNNEL_SASL_MECHANISMS=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER",
		"RUNNEL_SASL_OAUTHBEARER_EXPECTED_ISSUER=" + c.provider.Issuer(), "RUNNEL_SASL_OAUTHBEARER_EXPECTED_AUDIENCE=" + audience,
		"RUNNEL_SASL_OAUTHBEARER_CLOCK_SKEW=0s",
	}, o.env...)
	stores := harness.NewStores(t)
	for range cmp.Or(o.brokers, 2) {
		c.brokers = append(c.brokers, harness.Node(t, stores, harness.NodeOptions{
			Set: set, Env: append([]string{"RUNNEL_PEER_LISTEN=" + harness.FreeAddress(t)}, env...),
			Listeners: []harness.Listener{{Name: open, Protocol: "PLAINTEXT"}, {Name: sasl, Protocol: "SASL_PLAINTEXT"}, {Name: encrypted, Protocol: "SASL_SSL"}, {Name: mutual, Protocol: "SSL"}},
		}))
	}
	for _, b := range c.brokers {
		b.Start()
	}
	for _, b := range c.brokers {
		b.WaitReady()
	}
	for _, b := range c.brokers {
		one := c.client(login{bootstrap: b.Listeners[open], protocol: "PLAINTEXT"})
		eventually(t, "brokers know of each other", setUp, func() bool {
			told, err := kmsg.NewPtrMetadataRequest().RequestWith(harness.Soon(t), one) // not by kadm, which remembers answers
			return err == nil && len(told.Brokers) == len(c.brokers)
		})
	}
	c.admin = kadm.NewClient(c.client(login{bootstrap: c.at(open), protocol: "PLAINTEXT"}))
	return c
}

// at is where all brokers have the listener.
func (c *cluster) at(listener string) string {
	var all []string
	for _, b := range c.brokers {
		all = append(all, b.Listeners[listener])
	}
	return strings.Join(all, ",")
}

func (c *cluster) issue(by *Authority, name string, until time.Time) Pair {
	c.t.Helper()
	p, err := by.Issue(name, until)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// client is a franz-go client until the test ends.
func (c *cluster) client(l login, opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	all, err := franzGo{}.options(l)
	if err != nil {
		c.t.Fatal(err)
	}
	client, err := harness.Client(c.t, append(all, opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

// user makes or changes credentials of both mechanisms of SCRAM, and waits until all brokers have them.
func (c *cluster) user(name, password string) {
	c.t.Helper()
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // one at a time: a request may name a user once
		altered, err := c.admin.AlterUserSCRAMs(harness.Soon(c.t), nil, []kadm.UpsertSCRAM{{User: name, Mechanism: m, Iterations: 4096, Password: password}})
		if err == nil {
			err = altered[name].Err
		}
		if err != nil {
			c.t.Fatalf("make user %s: %v", name, err)
		}
	}
	for _, b := range c.brokers {
		l := login{bootstrap: b.Listeners[sasl], protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-512", user: name, password: password}
		eventually(c.t, "the user is known", setUp, func() bool { return logsIn(c.t, l) == nil })
	}
}

// logsIn tells whether a client is let in by one broker.
func logsIn(t *testing.T, l login) error {
	t.Helper()
	opts, err := franzGo{}.options(l)
	if err != nil {
		t.Fatal(err)
	}
	client, err := harness.Client(t, append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), setUp)
	defer cancel()
	return client.Ping(ctx)
}

// topic makes a topic of so many partitions.
func (c *cluster) topic(name string, partitions int32) {
	c.t.Helper()
	if _, err := c.admin.CreateTopic(harness.Soon(c.t), partitions, 1, nil, name); err != nil {
		c.t.Fatalf("create topic %s: %v", name, err)
	}
}

// rule is one access rule that allows or denies.
type rule struct {
	resource  kmsg.ACLResourceType
	name      string
	pattern   kmsg.ACLResourcePatternType
	principal string
	operation kmsg.ACLOperation
	kind      kmsg.ACLPermissionType
}

func allow(resource kmsg.ACLResourceType, name string, pattern kmsg.ACLResourcePatternType, principal string, operation kmsg.ACLOperation) rule {
	return rule{resource, name, pattern, principal, operation, kmsg.ACLPermissionTypeAllow}
}

// rules makes rules, and waits until all brokers have them.
func (c *cluster) rules(all ...rule) {
	c.t.Helper()
	if err := createRules(harness.Soon(c.t), c.client(login{bootstrap: c.brokers[0].Listeners[open], protocol: "PLAINTEXT"}), all...); err != nil {
		c.t.Fatal(err)
	}
	for i := range c.brokers {
		eventually(c.t, "all brokers know the rules", setUp, func() bool {
			known := c.known(i)
			return !slices.ContainsFunc(all, func(r rule) bool { return !known[r] })
		})
	}
}

// agree waits until all brokers have the same rules, of which one has the latest: it answers whoever made them.
func (c *cluster) agree() {
	c.t.Helper()
	eventually(c.t, "all brokers have the same rules", setUp, func() bool {
		first := c.known(0)
		for i := range c.brokers {
			if !maps.Equal(first, c.known(i)) {
				return false
			}
		}
		return true
	})
}

func createRules(ctx context.Context, client *kgo.Client, all ...rule) error {
	req := kmsg.NewPtrCreateACLsRequest()
	for _, r := range all {
		creation := kmsg.NewCreateACLsRequestCreation()
		creation.ResourceType, creation.ResourceName, creation.ResourcePatternType = r.resource, r.name, r.pattern
		creation.Principal, creation.Host, creation.Operation, creation.PermissionType = r.principal, "*", r.operation, r.kind
		req.Creations = append(req.Creations, creation)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, r := range resp.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return err
		}
	}
	return nil
}

// letAll lets principals produce to, and consume as any group from, all topics with a prefix.
func (c *cluster) letAll(prefix string, principals ...string) {
	c.t.Helper()
	var all []rule
	for _, p := range principals {
		all = append(all,
			allow(kmsg.ACLResourceTypeTopic, prefix, kmsg.ACLResourcePatternTypePrefixed, p, kmsg.ACLOperationWrite),
			allow(kmsg.ACLResourceTypeTopic, prefix, kmsg.ACLResourcePatternTypePrefixed, p, kmsg.ACLOperationRead),
			allow(kmsg.ACLResourceTypeGroup, "*", kmsg.ACLResourcePatternTypeLiteral, p, kmsg.ACLOperationRead))
	}
	c.rules(all...)
}

// known are the rules that a broker has. The one that was asked to make them need not be the first that does: clients send such
// requests to the controller.
func (c *cluster) known(broker int) map[rule]bool {
	c.t.Helper()
	client, err := harness.Client(c.t, kgo.SeedBrokers(c.brokers[broker].Listeners[open]))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := client.SeedBrokers()[0].Request(harness.Soon(c.t), req)
	if err != nil {
		c.t.Fatal(err)
	}
	known := map[rule]bool{}
	for _, r := range resp.(*kmsg.DescribeACLsResponse).Resources {
		for _, a := range r.ACLs {
			known[rule{r.ResourceType, r.ResourceName, r.ResourcePatternType, a.Principal, a.Operation, a.PermissionType}] = true
		}
	}
	return known
}

// within is a context for one step of a test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// setUp bounds what a test needs before it begins, and is not about.
const setUp = 30 * time.Second

func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	harness.Eventually(t, what, within, ok)
}

// prompt holds brokers to what other brokers are told: each follows, and most of the times within a second. One of them may
// take longer on a machine that is busy with something else.
type prompt struct {
	t    *testing.T
	took []time.Duration
}

func (p *prompt) await(what string, ok func() bool) {
	p.t.Helper()
	began := time.Now()
	eventually(p.t, what, setUp, ok)
	p.took = append(p.took, time.Since(began))
}

// check is called once everything was awaited.
func (p *prompt) check() {
	p.t.Helper()
	p.t.Logf("brokers followed after %v", p.took)
	slices.Sort(p.took)
	if median := p.took[len(p.took)/2]; median > time.Second {
		p.t.Errorf("it takes them %v", median)
	}
}

// file writes properties as Java reads them.
func (c *cluster) file(name string, properties map[string]string) string {
	c.t.Helper()
	var text strings.Builder
	for name, value := range properties {
		fmt.Fprintf(&text, "%s=%s\n", name, value)
	}
	path := filepath.Join(c.directory, name)
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}
