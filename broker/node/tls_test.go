package node

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestBrokersWithTLSServeClientsWhileTheirCertificateIsReplaced has two nodes with a listener of TLS that wants certificates of
// clients, and a plain one beside it.
func TestBrokersWithTLSServeClientsWhileTheirCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	ours, dir := newSigner(t), t.TempDir()
	certificate, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	ours.files(certificate, key, "first")
	keys := map[string]string{
		"listeners.inner.listen": "127.0.0.1:0", "listeners.inner.protocol": "PLAINTEXT",
		"listeners.outer.listen": "127.0.0.1:0", "listeners.outer.protocol": "SSL", "listeners.outer.client_auth": "required",
		"tls.certificate": certificate, "tls.key": key, "tls.client_authority": ours.file, "tls.principal_rules": `RULE:^CN=([^,]*),O=.*$/$1/U`,
	}
	stores := memoryStores()
	a, _ := startWith(t, stores, keys)
	b, _ := startWith(t, stores, keys)
	eventually(t, "both are in view", func() bool {
		return len(a.members.Live()) == 2 && len(b.members.Live()) == 2 && a.Ready()+b.Ready() == ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	secure := func(name string) *kgo.Client {
		c, err := kgo.NewClient(kgo.SeedBrokers(a.AddrOf("OUTER").String()), kgo.DialTLSConfig(ours.client(name)), kgo.MetadataMinAge(100*time.Millisecond),
			kgo.DefaultProduceTopic("t"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	c := secure("alice")
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 8, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	produced := 0
	produce := func(c *kgo.Client) {
		t.Helper()
		for i := range 16 {
			if err := c.ProduceSync(ctx, &kgo.Record{Partition: int32(i % 8), Value: []byte("v")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			produced++
		}
	}
	produce(c)
	before, err := tls.Dial("tcp", a.AddrOf("OUTER").String(), ours.client("bob"))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()

	ours.files(certificate, key, "second")
	for _, n := range []*Node{a, b} {
		if err := n.certs.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	after, err := tls.Dial("tcp", a.AddrOf("OUTER").String(), ours.client("bob"))
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	for want, conn := range map[string]*tls.Conn{"first": before, "second": after} {
		if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("certificate %q, want %q", got, want)
		}
	}
	produce(c) // by connections of before
	c2 := secure("bob")
	produce(c2)
	for n := 0; n < produced; {
		fetches := c2.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		n += fetches.NumRecords()
	}

	for what, config := range map[string]*tls.Config{
		"without a certificate": ours.client(""), "of another authority": stranger(t, ours), "that no rule takes": ours.client("a,b"),
	} {
		if err := pingTLS(ctx, a.AddrOf("OUTER"), config); err == nil {
			t.Errorf("a client %s is served", what)
		}
	}
	if err := client(t, a).Ping(ctx); err != nil { // the first listener
		t.Errorf("in plaintext: %v", err)
	}
	values := brokerConfigs(ctx, t, a, int32(a.members.Self().NodeID))
	if got := values["listener.security.protocol.map"]; !strings.HasPrefix(got, "INNER:PLAINTEXT,OUTER:SSL@") {
		t.Errorf("listener.security.protocol.map is %q", got)
	}
}

// stranger believes the authority, and has a certificate of another.
func stranger(t *testing.T, believed *signer) *tls.Config {
	c := newSigner(t).client("alice")
	c.RootCAs = believed.client("").RootCAs
	return c
}

// pingTLS asks for something by a client of its own.
func pingTLS(ctx context.Context, address net.Addr, config *tls.Config) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(address.String()), kgo.DialTLSConfig(config), kgo.RequestRetries(0), kgo.RetryTimeout(2*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return c.Ping(ctx)
}
