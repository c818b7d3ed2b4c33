package ecosystem

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// TestFranzGoGoesOnAfterATransactionTimedOut: it is told that its epoch is old when it writes, aborts, and goes on at the next epoch,
// with both versions of transactions.
func TestFranzGoGoesOnAfterATransactionTimedOut(t *testing.T) {
	onTargets(t, func(t *testing.T, bootstrap string) {
		createTopic(t, bootstrap, "timed-out", 1)
		out := follow(t, bootstrap, "timed-out")
		for i, version := range []struct {
			name string
			opts []kgo.Opt
		}{{"version 1", []kgo.Opt{kgo.MaxVersions(kversion.V3_9_0())}}, {"version 2", nil}} {
			c, admin := client(t, bootstrap, append(version.opts, kgo.TransactionalID(version.name), kgo.TransactionTimeout(time.Second), kgo.DefaultProduceTopic("timed-out"))...)
			ctx := within(t, time.Minute)
			begin := func() {
				if err := c.BeginTransaction(); err != nil {
					t.Fatalf("%s: begin: %v", version.name, err)
				}
			}
			send := func(value string) error { return c.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr() }
			end := func(how kgo.TransactionEndTry) {
				if err := c.EndTransaction(ctx, how); err != nil {
					t.Fatalf("%s: end: %v", version.name, err)
				}
			}
			begin()
			if err := send("too slow"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the transaction times out", time.Minute, func() bool {
				described, err := admin.DescribeTransactions(ctx, version.name)
				return err == nil && described[version.name].State == "CompleteAbort"
			})
			if err := send("late"); !errors.Is(err, kerr.InvalidProducerEpoch) {
				t.Fatalf("%s: a record after the time-out: %v", version.name, err)
			}
			end(kgo.TryAbort)
			begin()
			if err := send(version.name); err != nil {
				t.Fatalf("%s: a record of the next transaction: %v", version.name, err)
			}
			end(kgo.TryCommit)
			out.await(t, "timed-out", i+1, time.Minute)
			if got := string(out.of("timed-out")[i].Value); got != version.name {
				t.Errorf("committed: %q, want %q", got, version.name)
			}
		}
	})
}
