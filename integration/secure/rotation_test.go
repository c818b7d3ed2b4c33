package secure

import (
	"context"
	"crypto/tls"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// TestCertificatesAreRenewedUnderLoad: what clients are shown changes soon after the files do, and producers that are
// connected, or connect meanwhile, do not notice.
func TestCertificatesAreRenewedUnderLoad(t *testing.T) {
	c := openCluster(t, clusterOptions{})
	c.user(alice, password)
	c.letAll("of-alice", "User:"+alice)
	c.topic("of-alice", 2)
	l := login{bootstrap: c.at(encrypted), protocol: "SASL_SSL", mechanism: "SCRAM-SHA-256", user: alice, password: password, authority: c.trusted.Certificate}
	before := c.shown(l)

	const count, rate = 2000, 200
	var load sync.WaitGroup
	java, rd := speakerOf(t, javaSpeaker), speakerOf(t, librdkafkaSpeaker)
	ctx := within(t, clientTimeout)
	run := func(s *speaker, config map[string]string) {
		load.Go(func() {
			a, err := s.ask(ctx, request{"op": "produce", "topic": "of-alice", "count": count, "rate": rate, "millis": 50_000, "config": config})
			if err != nil || a.Count != count {
				t.Errorf("produced %d records: %v", a.Count, err)
			}
		})
	}
	run(java, javaClient{}.config(l, nil))
	run(rd, librdkafka{}.config(l, nil))
	loaded, done := context.WithCancel(ctx)
	go func() { load.Wait(); done() }()

	// The key and then the certificate: between them they do not fit each other.
	c.issue(c.trusted, "server", time.Now().Add(2*time.Hour))
	renewed := false
	for loaded.Err() == nil {
		if err := logsIn(t, l); err != nil {
			t.Fatalf("a client that comes while certificates are renewed: %v", err)
		}
		if !renewed && c.shown(l).Cmp(before) != 0 {
			renewed = true
		}
	}
	if !renewed {
		t.Error("the certificate was not renewed in as long as clients produced")
	}
}

// shown is the serial number of the certificate that the first broker shows.
func (c *cluster) shown(l login) *big.Int {
	c.t.Helper()
	config, err := l.tlsConfig()
	if err != nil {
		c.t.Fatal(err)
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: config}
	conn, err := dialer.DialContext(c.t.Context(), "tcp", c.brokers[0].Listeners[encrypted])
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber
}
