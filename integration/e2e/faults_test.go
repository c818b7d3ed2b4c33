package e2e

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/faulty"
	"github.com/runnel-io/runnel/integration/harness"
)

// TestBrokenAnswersUnderLoad: connections to PostgreSQL are lost before and after a commit took effect, and the S3 server
// asks to slow down, loses requests, and loses the answers to requests that it did. Idempotent producers see delays and
// nothing else: in the end every record is there once and in order.
func TestBrokenAnswersUnderLoad(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	stores := harness.NewStores(t)
	address, metastoreAt := stores.MetastoreAddress(t)
	pg, s3 := faulty.NewPostgres(t, address, seed), faulty.NewS3(t, stores.Endpoint, seed+1)
	stores.Metastore, stores.Endpoint = metastoreAt(pg.Addr), s3.URL

	a, b := harness.Node(t, stores, harness.NodeOptions{}), harness.Node(t, stores, harness.NodeOptions{})
	a.Restart()
	b.Restart()
	addresses := kgo.SeedBrokers(a.Addr, b.Addr)
	createTopic(t, "broken", 6, addresses)
	ledgers := []*ledger{
		startLedger(t, "broken", "one", 6, addresses), startLedger(t, "broken", "two", 6, addresses), startLedger(t, "broken", "three", 6, addresses),
	}
	for _, l := range ledgers {
		l.await(t, 200)
	}
	pg.Lose(40)
	s3.Fail(12)
	for _, l := range ledgers {
		l.await(t, 3_000)
	}
	eventually(t, "everything broke in every way", time.Minute, func() bool {
		return pg.Before.Load() > 2 && pg.After.Load() > 2 && s3.Slow.Load() > 2 && s3.Cut.Load() > 2 && s3.Lost.Load() > 2
	})
	pg.Lose(0)
	s3.Fail(0)
	for _, l := range ledgers {
		l.await(t, 500)
		l.finish(t)
	}
	for _, l := range ledgers {
		l.check(t, addresses)
	}
	t.Logf("PostgreSQL: %d lost before, %d after; S3: %d asked to slow down, %d cut, %d answers lost",
		pg.Before.Load(), pg.After.Load(), s3.Slow.Load(), s3.Cut.Load(), s3.Lost.Load())
}
