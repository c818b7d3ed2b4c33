package e2e

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// outages are what can happen to the servers under a broker. word is how /readyz names the missing one.
var outages = []struct {
	name, word string
	end, begin func(t *testing.T, pg *servers.Postgres, s3 *servers.S3) error
}{
	{
		"PostgreSQL shuts down", "metastore",
		func(_ *testing.T, pg *servers.Postgres, _ *servers.S3) error { return pg.Stop() },
		func(t *testing.T, pg *servers.Postgres, _ *servers.S3) error { return pg.Start(t.Context()) },
	},
	{
		"PostgreSQL crashes", "metastore",
		func(_ *testing.T, pg *servers.Postgres, _ *servers.S3) error { return pg.Kill() },
		func(t *testing.T, pg *servers.Postgres, _ *servers.S3) error { return pg.Start(t.Context()) },
	},
	{
		"the bucket is away", "object store",
		func(_ *testing.T, _ *servers.Postgres, s3 *servers.S3) error { return s3.Stop() },
		func(t *testing.T, _ *servers.Postgres, s3 *servers.S3) error { return s3.Start(t.Context()) },
	},
}

// ownServers starts servers that a test may stop, with a broker's database on them.
func ownServers(t *testing.T) (*servers.Postgres, *servers.S3, harness.Stores) {
	t.Helper()
	// fsync is on: a crash of PostgreSQL is part of these tests.
	pg, s3 := harness.OwnPostgres(t, servers.PostgresOptions{Durable: true}), harness.OwnS3(t)
	stores := harness.StoresOn(t, pg.DSN(), s3.URL())
	stores.Migrate(t)
	return pg, s3, stores
}

// TestOutageUnderLoad: while PostgreSQL or the bucket is away the broker acknowledges nothing and says why it is not
// ready; when it is back, producers go on, and nothing acknowledged is lost.
func TestOutageUnderLoad(t *testing.T) {
	t.Parallel()
	pg, s3, stores := ownServers(t)
	b := harness.Node(t, stores, harness.NodeOptions{})
	b.Restart()
	seed := kgo.SeedBrokers(b.Addr)
	createTopic(t, "outage", 4, seed)
	producer := startLedger(t, "outage", "p", 4, seed)
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			producer.await(t, 500)
			if err := outage.end(t, pg, s3); err != nil {
				t.Fatal(err)
			}
			b.WaitNotReady(outage.word)
			if err := outage.begin(t, pg, s3); err != nil {
				t.Fatal(err)
			}
			b.WaitReady()
			// More than the client buffers: these were sent after the outage.
			producer.await(t, 1_000)
			producer.check(t, seed)
		})
	}
	producer.finish(t)
	producer.check(t, seed)
}

// TestStartsBeforeItsServers: a broker that finds PostgreSQL or the bucket down stays up, says so, and gets ready when
// they come.
func TestStartsBeforeItsServers(t *testing.T) {
	t.Parallel()
	pg, s3, stores := ownServers(t)
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			if err := outage.end(t, pg, s3); err != nil {
				t.Fatal(err)
			}
			b := harness.Node(t, stores, harness.NodeOptions{})
			b.Start()
			b.WaitNotReady(outage.word)
			if err := outage.begin(t, pg, s3); err != nil {
				t.Fatal(err)
			}
			b.WaitReady()
			b.Stop()
		})
	}
}
