package runneltest_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/runnel-io/runnel/runneltest"
)

func TestClientsThatTrustTheBrokersSpeakTLS(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithBrokers(2), runneltest.WithTLS(), runneltest.WithTopic("t", 2))
	produce(t, client(t, c, kgo.DialTLSConfig(c.TLS())), "t", 0, 10)
	expect(t, c, "t", 10, kgo.DialTLSConfig(c.TLS()))
	file, err := os.ReadFile(c.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(file)
	for what, of := range map[string]struct {
		trusts *x509.CertPool
		right  bool
	}{"the file": {pool, true}, "nobody": {x509.NewCertPool(), false}} {
		conn, err := tls.Dial("tcp", c.Brokers()[0], &tls.Config{RootCAs: of.trusts})
		if (err == nil) != of.right {
			t.Errorf("trusting %s: %v", what, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

func TestUsersLogInByEachMechanismAndOthersDoNot(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithTLS(), runneltest.WithUser("alice", "a word"), runneltest.WithUser("bob", "another"))
	for name, of := range map[string]struct {
		sasl  kgo.Opt
		right bool
	}{
		"SCRAM-SHA-256":  {kgo.SASL(scram.Auth{User: "alice", Pass: "a word"}.AsSha256Mechanism()), true},
		"SCRAM-SHA-512":  {kgo.SASL(scram.Auth{User: "bob", Pass: "another"}.AsSha512Mechanism()), true},
		"PLAIN":          {kgo.SASL(plain.Auth{User: "bob", Pass: "another"}.AsMechanism()), true},
		"wrong password": {kgo.SASL(plain.Auth{User: "bob", Pass: "a word"}.AsMechanism()), false},
		"nobody":         {kgo.RequestRetries(0), false},
	} {
		cl := client(t, c, kgo.DialTLSConfig(c.TLS()), kgo.RequestRetries(0), of.sasl)
		if err := cl.Ping(deadline(t)); (err == nil) != of.right {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRulesAllowAndDeny(t *testing.T) {
	t.Parallel()
	c := runneltest.Start(t, runneltest.WithTopic("orders", 1), runneltest.WithTopic("secrets", 1),
		runneltest.WithUser("alice", "a word"), runneltest.WithUser("root", "r00t"), runneltest.WithSuperUsers("root"),
		runneltest.WithACLs("Topic:LITERAL:orders ALLOW Write * User:alice", "Topic:LITERAL:orders ALLOW Read * User:alice"))
	as := func(user, password string) kgo.Opt {
		return kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism())
	}
	alice := client(t, c, as("alice", "a word"))
	produce(t, alice, "orders", 0, 5)
	expect(t, c, "orders", 5, as("alice", "a word"))
	if err := alice.ProduceSync(deadline(t), &kgo.Record{Topic: "secrets"}).FirstErr(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("alice writes to secrets: %v", err)
	}
	produce(t, client(t, c, as("root", "r00t")), "secrets", 0, 5)
}
