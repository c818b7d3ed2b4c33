package ascode

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/secure"
)

// Names of the listeners. Who comes by open is User:ANONYMOUS, who may do everything, as root may who logs in.
const (
	open      = "OPEN"
	encrypted = "ENCRYPTED"

	root     = "root"
	password = "correct horse"
)

// cluster is brokers that let in who has a password, by TLS, and go by rules.
type cluster struct {
	t         *testing.T
	brokers   []*harness.Broker
	authority *secure.Authority
	admin     *kadm.Client
	client    *kgo.Client
}

func openCluster(t *testing.T, brokers int) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var err error
	if c.authority, err = secure.NewAuthority(t.TempDir(), "authority"); err != nil {
		t.Fatal(err)
	}
	server, err := c.authority.Issue("server", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	env := []string{
		"RUNNEL_AUTHORIZER=on", "RUNNEL_PEER_SECRET=" + rand.Text(), "RUNNEL_TLS_CERTIFICATE=" + server.Certificate, "RUNNEL_TLS_KEY=" + server.Key,
		"RUNNEL_SASL_MECHANISMS=SCRAM-SHA-256,SCRAM-SHA-512",
	}
	stores := harness.NewStores(t)
	for range brokers {
		c.brokers = append(c.brokers, harness.Node(t, stores, harness.NodeOptions{
			Set: map[string]string{"super.users": "User:ANONYMOUS;User:" + root}, Env: append([]string{"RUNNEL_PEER_LISTEN=" + harness.FreeAddress(t)}, env...),
			Listeners: []harness.Listener{{Name: open, Protocol: "PLAINTEXT"}, {Name: encrypted, Protocol: "SASL_SSL"}},
		}))
	}
	for _, b := range c.brokers {
		b.Start()
	}
	var seeds []string
	for _, b := range c.brokers {
		b.WaitReady()
		seeds = append(seeds, b.Listeners[open])
	}
	if c.client, err = harness.Client(t, kgo.SeedBrokers(seeds...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	c.admin = kadm.NewClient(c.client)
	for _, b := range c.brokers {
		one, err := harness.Client(t, kgo.SeedBrokers(b.Listeners[open]))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(one.Close)
		eventually(t, "brokers know of each other", func() bool {
			told, err := kmsg.NewPtrMetadataRequest().RequestWith(harness.Soon(t), one) // not by kadm, which remembers answers
			return err == nil && len(told.Brokers) == brokers
		})
	}
	altered, err := c.admin.AlterUserSCRAMs(harness.Soon(t), nil, []kadm.UpsertSCRAM{{User: root, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
	if err == nil {
		err = altered[root].Err
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range c.brokers {
		eventually(t, "root is known", func() bool {
			return c.login(b, root, password, scram.Auth.AsSha512Mechanism).Ping(harness.Soon(t)) == nil
		})
	}
	return c
}

// login is a client of one broker.
func (c *cluster) login(b *harness.Broker, user, pass string, mechanism func(scram.Auth) sasl.Mechanism) *kgo.Client {
	c.t.Helper()
	pem, err := os.ReadFile(c.authority.Certificate)
	if err != nil {
		c.t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AppendCertsFromPEM(pem)
	client, err := harness.Client(c.t, kgo.SeedBrokers(b.Listeners[encrypted]), kgo.DialTLSConfig(config), kgo.SASL(mechanism(scram.Auth{User: user, Pass: pass})),
		kgo.RequestRetries(0))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	harness.Eventually(t, what, 20*time.Second, ok)
}
