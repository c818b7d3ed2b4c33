package retention_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/batching/retention"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a metastore, and one broker's copy of its log.
type rig struct {
	t       *testing.T
	meta    *memory.Store
	replica *metastore.Replica
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, meta: memory.New(memory.Options{})}
	t.Cleanup(func() { r.must(r.meta.Close()) })
	r.replica = r.open()
	return r
}

// open is another broker, which knows the log as it is now.
func (r *rig) open() *metastore.Replica {
	r.t.Helper()
	replica := metastore.NewReplica(r.meta, metastore.ReplicaOptions{RefreshPause: -1})
	r.must(replica.Open(r.t.Context()))
	return replica
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) topic(name string, partitions int32, configs map[string]string) *metastore.Topic {
	r.t.Helper()
	t, err := r.replica.CreateTopic(r.t.Context(), metastore.NewTopic{Name: name, Partitions: partitions, ReplicationFactor: 1, Configs: configs})
	r.must(err)
	return t
}

// write commits a segment with a run in each partition, and returns the verdict of each.
func (r *rig) write(length uint32, timestamp int64, partitions ...metastore.TopicPartition) []metastore.Verdict {
	r.t.Helper()
	commit := metastore.SegmentCommit{ID: metastore.NewSegmentID(time.Now()), Size: 1 << 20}
	for i, tp := range partitions {
		commit.Runs = append(commit.Runs, metastore.RunCommit{TopicPartition: tp, Position: uint32(40 + 10_000*i), Batches: []metastore.BatchCommit{
			{Length: length, Records: 3, MaxTimestamp: timestamp, ProducerID: metastore.NoProducerID},
		}})
	}
	return r.commit(commit)
}

func (r *rig) commit(c metastore.SegmentCommit) (verdicts []metastore.Verdict) {
	r.t.Helper()
	results, err := r.replica.Commit(r.t.Context(), []metastore.SegmentCommit{c})
	r.must(err)
	for _, run := range results[0].Runs {
		for _, b := range run {
			verdicts = append(verdicts, b.Verdict)
		}
	}
	return verdicts
}

func (r *rig) start(tp metastore.TopicPartition) metastore.Offset {
	marks, _ := r.replica.Watermarks(tp)
	return marks.LogStart
}

// policy reads the overrides of a topic.
func policy(t *metastore.Topic) retention.Policy {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(t.Configs[name], 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	return retention.Policy{Delete: t.Configs["cleanup.policy"] != "compact", Ms: number("retention.ms"), Bytes: number("retention.bytes")}
}

// all does rounds until there is no more to do, and tells how many.
func (r *rig) all(keeper *retention.Retention) (rounds int) {
	r.t.Helper()
	for more := true; more; rounds++ {
		var err error
		more, err = keeper.Do(r.t.Context())
		r.must(err)
		if rounds > 10_000 {
			r.t.Fatal("it never ends")
		}
	}
	return rounds
}

func TestWhatIsTooOldLeavesInBoundedSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		short := r.topic("short", 10, map[string]string{"retention.ms": "60000"})
		r.topic("long", 10, nil)
		var tps []metastore.TopicPartition
		for p := range int32(10) {
			tps = append(tps, metastore.TopicPartition{Topic: short.ID, Partition: p})
		}
		for range 5 {
			r.write(100, time.Now().UnixMilli(), tps...)
		}
		time.Sleep(time.Minute)
		keeper := retention.New(r.replica, policy, retention.Options{EntryPartitions: 4, EntryRuns: 12, RoundPartitions: 6})
		if rounds := r.all(keeper); rounds != 1 || r.start(tps[0]) != 0 {
			t.Fatalf("something left that is as old as it may be: %d rounds, log start %d", rounds, r.start(tps[0]))
		}
		time.Sleep(time.Millisecond)
		r.write(100, time.Now().UnixMilli(), tps[0])
		before := r.replica.Position().Seq
		// Six partitions in a round, and two in an entry, since three have more than 12 runs.
		if rounds := r.all(keeper); rounds != 2 {
			t.Errorf("%d rounds", rounds)
		}
		if entries := r.replica.Position().Seq - before; entries != 5 {
			t.Errorf("%d entries", entries)
		}
		for i, tp := range tps {
			if r.start(tp) != 15 {
				t.Errorf("partition %d begins at %d", i, r.start(tp))
			}
		}
		if marks, _ := r.replica.Watermarks(tps[0]); marks.High != 18 {
			t.Errorf("%+v", marks)
		}
	})
}

func TestAPartitionWithVeryManyRunsLeavesInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		topic := r.topic("t", 1, map[string]string{"retention.bytes": "0"})
		tp := metastore.TopicPartition{Topic: topic.ID}
		for range 25 {
			r.write(100, time.Now().UnixMilli(), tp)
		}
		keeper := retention.New(r.replica, policy, retention.Options{EntryRuns: 10})
		if rounds := r.all(keeper); rounds != 3 || r.start(tp) != 75 {
			t.Errorf("%d rounds, log start %d", rounds, r.start(tp))
		}
	})
}

// A broker that is behind goes by what the log says now, not by what it knew: somebody asked for more to be kept.
func TestABrokerThatIsBehindLooksBeforeAnythingLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		topic := r.topic("t", 1, map[string]string{"retention.ms": "1000"})
		tp := metastore.TopicPartition{Topic: topic.ID}
		r.write(100, time.Now().UnixMilli(), tp)
		behind := r.open()
		r.must(r.replica.AlterTopicConfigs(t.Context(), topic.ID, map[string]string{"retention.ms": "-1"}, nil))
		time.Sleep(time.Hour)
		if _, err := retention.New(behind, policy, retention.Options{}).Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.must(r.replica.CatchUp(t.Context()))
		if r.start(tp) != 0 {
			t.Errorf("log start %d", r.start(tp))
		}
	})
}

// late calls before it deletes.
type late struct {
	*metastore.Replica
	before func()
}

func (l late) DeleteRecords(ctx context.Context, asked []metastore.RecordDeletion) ([]metastore.DeletionResult, error) {
	l.before()
	return l.Replica.DeleteRecords(ctx, asked)
}

// TestWhatIsToStayAfterAllStays: somebody has the topic keep more between the decision that records are to leave and the entry that
// lets them go, as when a broker stood still, or did not reach the metastore. Whoever was told that it is so is not deceived.
func TestWhatIsToStayAfterAllStays(t *testing.T) {
	for name, altered := range map[string]map[string]string{
		"for longer":       {"retention.ms": "3600000"},
		"the newest":       {"cleanup.policy": "compact"},
		"as it was before": nil,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			topic := r.topic("t", 1, map[string]string{"retention.ms": "1000"})
			tp := metastore.TopicPartition{Topic: topic.ID}
			r.write(100, time.Now().Add(-time.Minute).UnixMilli(), tp)
			others := r.open()
			keeper := retention.New(late{r.replica, func() { r.must(others.AlterTopicConfigs(t.Context(), topic.ID, altered, nil)) }}, policy, retention.Options{})
			_, err := keeper.Do(t.Context())
			r.must(err)
			want := metastore.Offset(0)
			if altered == nil {
				want = 3
			}
			if got := r.start(tp); got != want {
				t.Errorf("the log starts at %d, want %d", got, want)
			}
		})
	}
}

func TestNothingLeavesWhileTheLogCannotBeRead(t *testing.T) {
	r := newRig(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := retention.New(r.replica, policy, retention.Options{}).Do(ended); err == nil {
		t.Error("no error")
	}
}

// naive says where a partition is to begin as Kafka does: whole passes, first by size and then by time, over what is there.
func naive(marks metastore.Watermarks, all []metastore.Run, p retention.Policy, now int64) metastore.Offset {
	if !p.Delete {
		return marks.LogStart
	}
	bytes := int64(0)
	for _, r := range all {
		bytes += int64(r.Length)
	}
	start := marks.LogStart
	pass := func(due func(r metastore.Run) bool) {
		for len(all) > 0 && due(all[0]) && all[0].Base+metastore.Offset(all[0].Records) <= marks.Stable {
			start = all[0].Base + metastore.Offset(all[0].Records)
			bytes -= int64(all[0].Length)
			all = all[1:]
		}
	}
	if p.Bytes >= 0 {
		pass(func(r metastore.Run) bool { return bytes-int64(r.Length) >= p.Bytes })
	}
	if p.Ms >= 0 {
		pass(func(r metastore.Run) bool { return now-r.MaxTimestamp > p.Ms })
	}
	return start
}

// TestRandomHistories: whatever is written, altered and deleted, rounds on two brokers leave what the naive model does. The
// seed of a failure is printed, and played again with RUNNEL_RETENTION_SEED.
func TestRandomHistories(t *testing.T) {
	seeds := []uint64{rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64(), 1, 2, 3, 4}
	if s, err := strconv.ParseUint(os.Getenv("RUNNEL_RETENTION_SEED"), 10, 64); err == nil {
		seeds = []uint64{s}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { history(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func history(t *testing.T, rng *rand.Rand) {
	r := newRig(t)
	pick := func(values ...string) string { return values[rng.IntN(len(values))] }
	configs := func() map[string]string {
		return map[string]string{
			"retention.ms": pick("-1", "0", "1000", "20000", "60000"), "retention.bytes": pick("-1", "-1", "0", "500", "3000"),
			"cleanup.policy": pick("delete", "delete", "compact,delete", "compact"),
		}
	}
	var tps []metastore.TopicPartition
	for i := range 4 {
		topic := r.topic(fmt.Sprint("t", i), 5, configs())
		for p := range topic.Partitions {
			tps = append(tps, metastore.TopicPartition{Topic: topic.ID, Partition: p})
		}
	}
	open := newTxn(r)
	other := r.open()
	opts := retention.Options{EntryPartitions: 1 + rng.IntN(5), EntryRuns: 1 + rng.IntN(8), RoundPartitions: 1 + rng.IntN(10)}
	keepers := []*retention.Retention{retention.New(r.replica, policy, opts), retention.New(other, policy, opts)}
	left := 0
	for range 150 {
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		tp := tps[rng.IntN(len(tps))]
		switch n := rng.IntN(20); {
		case n < 12:
			stamp := time.Now().UnixMilli() - int64(rng.IntN(20_000))
			if rng.IntN(20) == 0 {
				stamp += 40_000 // the future, for a while
			}
			r.write(uint32(61+rng.IntN(500)), stamp, tp, tps[rng.IntN(len(tps))])
		case n < 14:
			open.write(tp)
		case n < 15:
			open.end(rng.IntN(2) == 0)
		case n < 16:
			r.must(r.replica.AlterTopicConfigs(t.Context(), tp.Topic, configs(), nil))
		case n < 17:
			marks, _ := r.replica.Watermarks(tp)
			_, err := r.replica.DeleteRecords(t.Context(), []metastore.RecordDeletion{
				{TopicPartition: tp, Before: marks.LogStart + metastore.Offset(rng.Int64N(int64(marks.High-marks.LogStart)+1))}})
			r.must(err)
		default:
			left += r.compare(tps, func() {
				if keeper := keepers[rng.IntN(2)]; rng.IntN(3) > 0 {
					r.all(keeper)
				} else { // two at once
					var both sync.WaitGroup
					for _, k := range keepers {
						both.Go(func() { r.all(k) })
					}
					both.Wait()
				}
				r.must(r.replica.CatchUp(t.Context()))
			})
		}
	}
	if left == 0 {
		t.Error("nothing ever left")
	}
}

// compare does rounds and compares what is left with the model. It tells how many partitions changed.
func (r *rig) compare(tps []metastore.TopicPartition, rounds func()) (changed int) {
	r.t.Helper()
	want := make(map[metastore.TopicPartition]metastore.Offset)
	before := make(map[metastore.TopicPartition]metastore.Watermarks)
	for _, tp := range tps {
		topic, _ := r.replica.TopicByID(tp.Topic)
		marks, _ := r.replica.Watermarks(tp)
		_, all, err := r.replica.Runs(tp, marks.LogStart, math.MaxInt)
		r.must(err)
		before[tp], want[tp] = marks, naive(marks, all, policy(topic), time.Now().UnixMilli())
	}
	rounds()
	for _, tp := range tps {
		marks, _ := r.replica.Watermarks(tp)
		if marks.LogStart != want[tp] || marks.High != before[tp].High || marks.Stable != max(before[tp].Stable, marks.LogStart) {
			r.t.Errorf("%v was %+v and is %+v, want log start %d", tp, before[tp], marks, want[tp])
		}
		if marks.LogStart != before[tp].LogStart {
			changed++
		}
	}
	return changed
}

// txn is a producer with transactions, one after the other.
type txn struct {
	r    *rig
	is   metastore.TxnResult
	seq  map[metastore.TopicPartition]int32
	open bool
}

func newTxn(r *rig) *txn {
	r.t.Helper()
	fresh, err := r.replica.NextProducerID(r.t.Context())
	r.must(err)
	x := &txn{r: r, seq: make(map[metastore.TopicPartition]int32)}
	x.decide(metastore.InitTxn{ID: "x", Timeout: time.Hour, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh})
	return x
}

func (x *txn) decide(req metastore.TxnRequest) {
	x.r.t.Helper()
	results, err := x.r.replica.Transact(x.r.t.Context(), []metastore.TxnRequest{req})
	x.r.must(err)
	x.r.must(results[0].Err)
	x.is = results[0]
}

func (x *txn) write(tp metastore.TopicPartition) {
	x.r.t.Helper()
	commit := metastore.SegmentCommit{ID: metastore.NewSegmentID(time.Now()), Size: 1 << 20, Runs: []metastore.RunCommit{{TopicPartition: tp, Position: 40,
		Batches: []metastore.BatchCommit{{Length: 100, Records: 2, MaxTimestamp: time.Now().UnixMilli(), ProducerID: x.is.Producer, ProducerEpoch: x.is.Epoch,
			BaseSequence: x.seq[tp], Transactional: true, Implicit: true}}}}}
	if verdicts := x.r.commit(commit); verdicts[0] != metastore.Accepted {
		x.r.t.Fatalf("verdict %v", verdicts[0])
	}
	x.seq[tp] += 2
	x.open = true
}

func (x *txn) end(commit bool) {
	x.r.t.Helper()
	if !x.open {
		return
	}
	now, _ := x.r.replica.Transaction("x")
	x.decide(metastore.EndTxn{ID: "x", Producer: x.is.Producer, Epoch: x.is.Epoch, Commit: commit, Version: 2, Number: now.Number, Fresh: metastore.NoProducerID})
	x.open = false
	clear(x.seq) // version 2 raises the epoch with each transaction
}
