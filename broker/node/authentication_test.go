package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/runnel-io/runnel/broker/auth"
	"github.com/runnel-io/runnel/broker/auth/oidctest"
)

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestTheFirstUserMakesOthers: a cluster where clients authenticate is used from nothing, through two brokers.
func TestTheFirstUserMakesOthers(t *testing.T) {
	t.Parallel()
	stores, log := memoryStores(), new(lockedBuffer)
	keys := map[string]string{
		"protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN,SCRAM-SHA-512,SCRAM-SHA-256", "auth.bootstrap_user": "root", "auth.bootstrap_password": "first-secret",
		"cluster.connections.max.reauth.ms": "2200",
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var nodes []*Node
	for range 2 {
		n, err := Open(t.Context(), Options{Config: testConfig(t, keys), Stores: stores, Version: "test", Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- n.Run(running) }()
		t.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, n)
	}
	eventually(t, "both ready", func() bool { return nodes[0].Ready() == "" && nodes[1].Ready() == "" })
	eventually(t, "one has made the first user, and the other knows", func() bool {
		return strings.Count(log.String(), "made credentials of the first user") == 1 && strings.Contains(log.String(), "user=root")
	})
	if strings.Contains(log.String(), "first-secret") {
		t.Error("the password is in the log")
	}
	root := kadm.NewClient(client(t, nodes[0], kgo.SASL(scram.Auth{User: "root", Pass: "first-secret"}.AsSha512Mechanism())))
	if of := auth.UnknownUsers(); len(nodes[0].replica.Configs(of)) != 1 || !maps.Equal(nodes[0].replica.Configs(of), nodes[1].replica.Configs(of)) {
		t.Error("the brokers have no common key for users that do not exist")
	}
	if all, err := root.DescribeUserSCRAMs(ctx); err != nil || len(all) != 1 || all["root"].Err != nil {
		t.Errorf("%v, %v", all, err)
	}
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		made, err := root.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: "alice", Mechanism: m, Iterations: 4096, Password: "a word"}})
		if err = errors.Join(err, made.Error()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := root.CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	alice := client(t, nodes[1], kgo.SASL(plain.Auth{User: "alice", Pass: "a word"}.AsMechanism()), kgo.DefaultProduceTopic("t"))
	eventually(t, "the other broker knows alice", func() bool { return alice.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr() == nil })
	closings := func() int { return strings.Count(log.String(), "closing client connection") }
	before := closings()
	for began := time.Now(); time.Since(began) < 2500*time.Millisecond; { // beyond the first session, through re-authentications
		if err := alice.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if closed := closings() - before; closed > 0 {
		t.Errorf("%d connections were closed\n%s", closed, log)
	}
	deleted, err := root.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: "alice", Mechanism: kadm.ScramSha256}}, nil)
	if err = errors.Join(err, deleted.Error()); err != nil {
		t.Fatal(err)
	}
	gone := client(t, nodes[0], kgo.SASL(scram.Auth{User: "alice", Pass: "a word"}.AsSha256Mechanism()), kgo.RequestRetries(0))
	if err := gone.Ping(ctx); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("without credentials: %v", err)
	}
}

// TestTheFirstUserIsNotMadeAgain: what has become of the credentials since counts, not the configuration.
func TestTheFirstUserIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	start := func(password string) *Node {
		n, _ := startWith(t, stores, map[string]string{"protocol": "SASL_PLAINTEXT", "auth.bootstrap_user": "root", "auth.bootstrap_password": password})
		eventually(t, "ready", func() bool { return n.Ready() == "" })
		return n
	}
	start("old")
	n := start("new")
	for password, right := range map[string]bool{"old": true, "new": false} {
		c := client(t, n, kgo.SASL(scram.Auth{User: "root", Pass: password}.AsSha256Mechanism()), kgo.RequestRetries(0))
		if err := c.Ping(t.Context()); (err == nil) != right {
			t.Errorf("%s: %v", password, err)
		}
	}
}

func TestTokensOfAnIdentityProviderLogIn(t *testing.T) {
	provider := oidctest.New(t)
	n, _ := startWith(t, memoryStores(), map[string]string{
		"protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "OAUTHBEARER",
		"sasl.oauthbearer.expected_issuer": provider.Issuer(), "sasl.oauthbearer.expected_audience": "kafka, other",
	})
	eventually(t, "ready", func() bool { return n.Ready() == "" })
	for audience, right := range map[string]bool{"kafka": true, "web": false} {
		c := client(t, n, kgo.SASL(oauth.Auth{Token: provider.Token("alice", audience, nil)}.AsMechanism()), kgo.RequestRetries(0), kgo.RetryTimeout(time.Second))
		if err := c.Ping(t.Context()); (err == nil) != right {
			t.Errorf("for %s: %v", audience, err)
		}
	}
}
