package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// brokersOf is how a client finds all brokers of a cluster.
func brokersOf(all []*member) kgo.Opt {
	var addresses []string
	for _, m := range all {
		addresses = append(addresses, m.Addr)
	}
	return kgo.SeedBrokers(addresses...)
}

// owns finds the broker that FindCoordinator names for a group (kind 0) or a transactional id (1).
func owns(t *testing.T, all []*member, kind int8, key string) *member {
	t.Helper()
	client, err := kgo.NewClient(brokersOf(all))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var owner *member
	eventually(t, "a broker coordinates "+key, 20*time.Second, func() bool {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, key, []string{key}
		resp, err := req.RequestWith(t.Context(), client)
		if err != nil {
			return false
		}
		host, port := resp.Host, resp.Port
		if len(resp.Coordinators) > 0 {
			host, port = resp.Coordinators[0].Host, resp.Coordinators[0].Port
		}
		i := slices.IndexFunc(all, func(m *member) bool { return m.Addr == host+":"+strconv.Itoa(int(port)) })
		if i < 0 {
			return false
		}
		owner = all[i]
		return true
	})
	return owner
}

// protocolsOfTransactions are both of those that clients speak.
var protocolsOfTransactions = []struct {
	name string
	opts []kgo.Opt
}{
	{"version 1", []kgo.Opt{kgo.MaxVersions(kversion.V3_7_0())}},
	{"version 2", nil},
}

// shuttle copies records of a topic to another with a transaction per poll, as one member of a group.
type shuttle struct {
	session *kgo.GroupTransactSession
	fatal   error
}

func newShuttle(t *testing.T, id, group, from, to string, opts ...kgo.Opt) *shuttle {
	t.Helper()
	session, err := kgo.NewGroupTransactSession(append(slices.Clone(opts),
		kgo.TransactionalID(id), kgo.TransactionTimeout(30*time.Second), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(from), kgo.DefaultProduceTopic(to),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond), kgo.SessionTimeout(10*time.Second))...)
	if err != nil {
		t.Fatal(err)
	}
	return &shuttle{session: session}
}

// run copies until ctx ends, or until the producer is fenced, which is nobody's doing here.
func (s *shuttle) run(ctx context.Context) {
	defer s.session.Close()
	for ctx.Err() == nil {
		fetches := s.session.PollRecords(ctx, 50)
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := s.session.Begin(); err != nil {
			s.fatal = fmt.Errorf("begin: %w", err)
			return
		}
		failed := kgo.AbortingFirstErrPromise(s.session.Client())
		fetches.EachRecord(func(r *kgo.Record) {
			s.session.Produce(ctx, &kgo.Record{Key: r.Key, Value: r.Value}, failed.Promise())
		})
		commit := kgo.TransactionEndTry(failed.Err() == nil)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		_, err := s.session.End(ending, commit)
		cancel()
		if err != nil {
			s.fatal = fmt.Errorf("end: %w", err)
			return
		}
	}
}

// committed reads what is committed of a topic, values of all partitions together.
func committed(t *testing.T, topic string, want int, within time.Duration, opts ...kgo.Opt) map[string]int {
	t.Helper()
	client, err := kgo.NewClient(append(slices.Clone(opts), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	seen := make(map[string]int)
	for ctx.Err() == nil && len(seen) < want {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
	}
	return seen
}

// TestEveryRecordIsCopiedOnceWhateverBrokersAreKilled: two members of a group copy a topic with transactions while the brokers
// that coordinate the group, and one of the transactional ids, are killed and come back.
func TestEveryRecordIsCopiedOnceWhateverBrokersAreKilled(t *testing.T) {
	for _, protocol := range protocolsOfTransactions {
		t.Run(protocol.name, func(t *testing.T) {
			t.Parallel()
			all := startCluster(t, 3)
			knowEachOther(t, all)
			opts := append(slices.Clone(protocol.opts), brokersOf(all))
			createTopic(t, "from", 4, brokersOf(all))
			createTopic(t, "to", 4, brokersOf(all))
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var running sync.WaitGroup
			var shuttles []*shuttle
			for i := range 2 {
				s := newShuttle(t, fmt.Sprint("copier-", i), "copiers", "from", "to", opts...)
				shuttles = append(shuttles, s)
				running.Go(func() { s.run(ctx) })
			}
			const round = 400
			written := 0
			copied := func(what string) {
				t.Helper()
				produce(t, "from", written, round, brokersOf(all))
				written += round
				if seen := committed(t, "to", written, time.Minute, brokersOf(all)); len(seen) != written {
					t.Fatalf("%s: %d of %d records are copied", what, len(seen), written)
				}
			}
			copied("at first")
			for _, victim := range []struct {
				what string
				kind int8
				key  string
			}{{"the transactions' coordinator killed", 1, "copier-0"}, {"the group's coordinator killed", 0, "copiers"}} {
				owner := owns(t, all, victim.kind, victim.key)
				owner.Kill()
				copied(victim.what)
				owner.Start()
				owner.WaitReady()
			}
			stop()
			running.Wait()
			for i, s := range shuttles {
				if s.fatal != nil {
					t.Errorf("shuttle %d: %v", i, s.fatal)
				}
			}
			for value, n := range committed(t, "to", written+1, 5*time.Second, brokersOf(all)) {
				if n != 1 {
					t.Errorf("record %s was copied %d times", value, n)
				}
			}
			offsets, err := admin(t, brokersOf(all)).FetchOffsets(t.Context(), "copiers")
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			offsets.Each(func(o kadm.OffsetResponse) { total += o.At })
			if total != int64(written) {
				t.Errorf("the group is at %d of %d records", total, written)
			}
		})
	}
}

// TestATransactionWhoseProducerIsGoneIsAborted: the broker that aborts what is past its time-out is killed, and another does it.
func TestATransactionWhoseProducerIsGoneIsAborted(t *testing.T) {
	t.Parallel()
	all := startCluster(t, 3)
	knowEachOther(t, all)
	createTopic(t, "held", 1, brokersOf(all))
	gone, err := kgo.NewClient(brokersOf(all), kgo.TransactionalID("gone"), kgo.TransactionTimeout(5*time.Second), kgo.DefaultProduceTopic("held"))
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	if err := gone.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := gone.ProduceSync(t.Context(), kgo.StringRecord("undecided")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	produce(t, "held", 7, 1, brokersOf(all))
	if seen := committed(t, "held", 1, 2*time.Second, brokersOf(all)); len(seen) != 0 {
		t.Fatalf("%v are read although a transaction before them is undecided", seen)
	}
	var reaper *member
	eventually(t, "one broker aborts what is past its time-out", 15*time.Second, func() bool {
		i := slices.IndexFunc(all, func(m *member) bool { return number(t, m.Broker, "runnel_txn_reaper_held") == 1 })
		if i >= 0 {
			reaper = all[i]
		}
		return i >= 0
	})
	reaper.Kill()
	seen := committed(t, "held", 1, 45*time.Second, brokersOf(all))
	if len(seen) != 1 || seen["undecided"] != 0 {
		t.Errorf("read %v", seen)
	}
	err = gone.EndTransaction(t.Context(), kgo.TryCommit)
	if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidTxnState) {
		t.Errorf("the producer commits: %v", err)
	}
}
