package chaos

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/faulty"
	"github.com/runnel-io/runnel/integration/harness"
)

// cluster is brokers, each in one of three zones, with all they depend on.
type cluster struct {
	brokers  []*broker
	database *database
	bucket   *faulty.S3
	wires    []*faulty.Postgres // to each PostgreSQL server
	direct   harness.Stores     // without anything in between that fails
}

// broker is a process with the ways between it and the rest.
type broker struct {
	*harness.Broker
	name     string
	clients  *harness.Link   // on which clients reach it
	peers    *harness.Link   // on which the other brokers reach it
	postgres []*harness.Link // on which it reaches each PostgreSQL server
	bucket   *harness.Link   // on which it reaches the S3 server
}

// startCluster starts brokers and waits until they are ready. Their logs go to a directory.
func startCluster(t testing.TB, brokers int, seed uint64, synchronous bool, dir string) *cluster {
	t.Helper()
	c := &cluster{database: openDatabase(t, synchronous)}
	c.direct = harness.StoresOn(t, c.database.primary.DSN(), harness.TestBucket(t))
	c.bucket = faulty.NewS3(t, c.direct.Endpoint, seed)
	addresses := []string{c.database.primary.Address(), c.database.standby.Address()}
	c.direct.Metastore = metastoreURL(t, c.direct.Metastore, addresses)
	c.direct.Migrate(t)
	secret := rand.Text()
	for i, address := range addresses {
		c.wires = append(c.wires, faulty.NewPostgres(t, address, seed+uint64(i)))
	}
	for i := range brokers {
		c.brokers = append(c.brokers, newBroker(t, c, i, secret, dir))
	}
	for _, b := range c.brokers {
		b.Start()
	}
	for _, b := range c.brokers {
		b.WaitReady()
	}
	return c
}

func newBroker(t testing.TB, c *cluster, i int, secret, dir string) *broker {
	t.Helper()
	peer := harness.FreeAddress(t)
	b := &broker{
		name:   fmt.Sprintf("broker-%d", i),
		peers:  harness.NewLink(t, peer),
		bucket: harness.NewLink(t, strings.TrimPrefix(c.bucket.URL, "http://")),
	}
	b.clients = harness.NewLinkTo(t, func() string { return b.Addr })
	var ways []string
	for _, wire := range c.wires {
		link := harness.NewLink(t, wire.Addr)
		b.postgres, ways = append(b.postgres, link), append(ways, link.Addr)
	}
	own := c.direct
	own.Metastore, own.Endpoint = metastoreURL(t, own.Metastore, ways), "http://"+b.bucket.Addr
	b.Broker = harness.Node(t, own, harness.NodeOptions{
		Log: filepath.Join(dir, b.name+".log"),
		Set: map[string]string{
			"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
			"log.retention.check.interval.ms":                             "1000", "log.cleaner.backoff.ms": "1000",
		},
		Env: []string{
			"RUNNEL_ADVERTISE=" + b.clients.Addr,
			"RUNNEL_PEER_SECRET=" + secret, "RUNNEL_PEER_LISTEN=" + peer, "RUNNEL_PEER_ADVERTISE=" + b.peers.Addr,
			fmt.Sprintf("RUNNEL_ZONE=zone-%c", 'a'+i%3),
			// What is stored is rewritten and deleted as soon as may be.
			"RUNNEL_COMPACTION_DELAY=2s", "RUNNEL_GARBAGE_GRACE=1m", "RUNNEL_GARBAGE_SWEEP=1m",
		},
	})
	return b
}

// metastoreURL is a DSN with other addresses, of which the one that takes writes is meant.
func metastoreURL(t testing.TB, dsn string, addresses []string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = strings.Join(addresses, ",")
	query := u.Query()
	query.Set("target_session_attrs", "read-write")
	u.RawQuery = query.Encode()
	return u.String()
}

// seeds are the addresses that clients start from.
func (c *cluster) seeds() []string {
	var all []string
	for _, b := range c.brokers {
		all = append(all, b.clients.Addr)
	}
	return all
}

// heal mends every way. Processes and servers are left as they are.
func (c *cluster) heal() {
	c.bucket.Fail(0)
	c.database.relieve()
	for _, wire := range c.wires {
		wire.Lose(0)
	}
	for _, b := range c.brokers {
		for _, l := range append([]*harness.Link{b.clients, b.peers, b.bucket}, b.postgres...) {
			l.Mend()
		}
	}
}
