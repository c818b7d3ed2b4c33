package audit

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// left is what a run of three brokers left: two that followed to the end, and one that ended before.
type left struct {
	store   *memory.Store
	archive *Archive
	brokers map[string]Replica
	topic   *metastore.Topic
}

// run lets brokers commit, transact, snapshot and trim, in a bubble of synctest.
func run(t *testing.T, seed uint64) *left {
	store := memory.New(memory.Options{})
	t.Cleanup(func() { _ = store.Close() })
	l := &left{store: store, archive: NewArchive(store), brokers: map[string]Replica{}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	var replicas []*metastore.Replica
	for i := range 3 {
		r := metastore.NewReplica(l.archive, metastore.ReplicaOptions{SnapshotEvery: 20})
		if err := r.Open(ctx); err != nil {
			t.Fatal(err)
		}
		ends := ctx
		if i == 2 {
			var end context.CancelFunc
			ends, end = context.WithTimeout(ctx, 30*time.Second)
			t.Cleanup(end)
		}
		go func() { ended <- r.Run(ends) }()
		replicas = append(replicas, r)
		l.brokers[fmt.Sprintf("broker-%d", i)] = r
	}
	var err error
	if l.topic, err = replicas[0].CreateTopic(ctx, metastore.NewTopic{Name: "t", Partitions: 3, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range 300 {
		l.commit(t, rng, replicas[rng.IntN(2)], i)
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		if i == 200 { // trimming keeps what may be asked for again
			time.Sleep(2 * metastore.MaxSegmentAge)
		}
	}
	if _, err := replicas[1].DeleteRecords(ctx, []metastore.RecordDeletion{{TopicPartition: l.tp(0), Before: 10}}); err != nil {
		t.Fatal(err)
	}
	if _, err := replicas[1].CreateTopic(ctx, metastore.NewTopic{Name: "empty", Partitions: 2, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	for _, r := range replicas[:2] {
		if err := r.CatchUp(ctx); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for range replicas {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *left) tp(partition int32) metastore.TopicPartition {
	return metastore.TopicPartition{Topic: l.topic.ID, Partition: partition}
}

func (l *left) commit(t *testing.T, rng *rand.Rand, r *metastore.Replica, i int) {
	batch := metastore.BatchCommit{Length: 100, Records: 1 + rng.Int32N(5), ProducerID: metastore.NoProducerID, BaseSequence: -1, ProducerEpoch: -1}
	if i%3 == 0 {
		batch.ProducerID, batch.ProducerEpoch, batch.BaseSequence = metastore.ProducerID(100+i%9), metastore.ProducerEpoch(i), 0
	}
	_, err := r.Commit(t.Context(), []metastore.SegmentCommit{{
		ID: metastore.NewSegmentID(time.Now()), Size: 200,
		Runs: []metastore.RunCommit{{TopicPartition: l.tp(rng.Int32N(3)), Position: 50, Batches: []metastore.BatchCommit{batch}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func (l *left) examine(t *testing.T) []Finding {
	t.Helper()
	findings, err := Examine(t.Context(), l.archive, l.brokers)
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

// want holds that there is one finding at least, that all have the name, and one the text.
func want(t *testing.T, findings []Finding, name, text string) {
	t.Helper()
	some := false
	for _, f := range findings {
		some = some || strings.Contains(f.Text, text)
		if f.Name != name {
			t.Errorf("found %q, want %s", f, name)
		}
	}
	if !some {
		t.Errorf("found %q, want one of %q", findings, text)
	}
}

func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			l := run(t, seed)
			if findings := l.examine(t); len(findings) > 0 {
				t.Errorf("seed %d: %q", seed, findings)
			}
			entries, snapshots := l.archive.kept()
			if _, err := l.store.Read(t.Context(), metastore.Position{}, 1); err == nil || len(entries) < 300 || len(snapshots) < 5 {
				t.Errorf("%d entries, %d snapshots, and nothing trimmed (%v): nothing is tested", len(entries), len(snapshots), err)
			}
			if at, _ := l.brokers["broker-2"].Digest(); at.Seq == 0 || at.Seq == metastore.Seq(len(entries)) {
				t.Errorf("the broker that ended before is at %d of %d", at.Seq, len(entries))
			}
		})
	}
}

// TestSnapshotOfAnotherStateIsFound: it is one of an earlier position, which says that it is the latest.
func TestSnapshotOfAnotherStateIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := run(t, 1)
		old, err := l.store.LatestSnapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		entries, _ := l.archive.kept()
		forged := metastore.Snapshot{Position: entries[len(entries)-1].Position, State: old.State}
		if err := l.archive.SaveSnapshot(t.Context(), forged); err != nil {
			t.Fatal(err)
		}
		want(t, l.examine(t), StateMismatch, fmt.Sprintf("the snapshot at %d has another state at %d than the log gives: it ", forged.Seq, forged.Seq))
		want(t, l.examine(t), StateMismatch, "; it lacks topic empty")

		l.archive.snapshots = nil // as if it had been saved before
		want(t, l.examine(t), StateMismatch, fmt.Sprintf("a broker that starts at the snapshot of %d has another state", forged.Seq))

		wrong := metastore.NewReplica(l.store, metastore.ReplicaOptions{}) // a broker that began there
		if err := wrong.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.brokers["broker-7"] = wrong
		want(t, l.examine(t), StateMismatch, fmt.Sprintf("broker-7 has another state at %d", forged.Seq))
	})
}

// lacking is a state that lacks what no snapshot holds, so that its digest is right.
type lacking struct{ Replica }

func (lacking) Differences(*metastore.Replica) []string {
	return []string{"its time is not that of the entries"}
}

func TestWhatNoSnapshotHoldsIsFoundMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := run(t, 1)
		e := &examination{archive: l.archive}
		e.entries, e.snapshots = l.archive.kept()
		claims := e.saved(t.Context())
		if len(claims) != len(e.snapshots) || len(claims) < 3 {
			t.Fatalf("%d snapshots say something, of %d", len(claims), len(e.snapshots))
		}
		for i := range claims {
			claims[i].of = lacking{claims[i].of}
		}
		slices.SortFunc(claims, func(a, b claim) int { return cmp.Compare(a.at.Seq, b.at.Seq) })
		if err := e.compare(t.Context(), claims); err != nil {
			t.Fatal(err)
		}
		if len(e.findings) != len(claims) {
			t.Errorf("%d findings about %d snapshots", len(e.findings), len(claims))
		}
		want(t, e.findings, StateMismatch, "its time is not that of the entries")
	})
}

func TestBrokerOfAnotherHistoryIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, other := run(t, 1), run(t, 2)
		l.brokers["broker-7"] = other.brokers["broker-2"]
		want(t, l.examine(t), StateMismatch, "broker-7 is at")
	})
	synctest.Test(t, func(t *testing.T) {
		l := run(t, 1)
		ahead := metastore.NewReplica(memory.New(memory.Options{}), metastore.ReplicaOptions{})
		for i := range 400 {
			if _, err := ahead.CreateTopic(t.Context(), metastore.NewTopic{Name: fmt.Sprint(i), Partitions: 1, ReplicationFactor: 1}); err != nil {
				t.Fatal(err)
			}
		}
		l.brokers["broker-7"] = ahead
		want(t, l.examine(t), StateMismatch, "beyond the end of the log")
	})
}

func TestEntriesThatAreNotWhatWasAppendedAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(l *left)
		text   string
	}{
		"lost": {func(l *left) { l.archive.keep(l.archive.entries[0].Next([]byte("more"))) }, "follows"},
		"lost at the end": {func(l *left) {
			last := l.archive.entries[len(l.archive.entries)-1]
			l.archive.keep(last.Next([]byte("more")))
		}, "was appended last"},
		"never appended": {func(l *left) { l.archive.entries = l.archive.entries[:len(l.archive.entries)-1] }, "the log ends at"},
		"missing":        {func(l *left) { l.archive.entries[100] = metastore.Entry{} }, "follows"},
		"another": {func(l *left) {
			at := l.archive.entries[len(l.archive.entries)-2]
			l.archive.keep(at.Next([]byte("another")))
		}, "is not what was appended"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := run(t, 1)
				c.damage(l)
				want(t, l.examine(t), BrokenLog, c.text)
			})
		})
	}
}

// lying tells of a replica something else than it says.
type lying struct {
	*metastore.Replica
	runs       func([]metastore.Run) []metastore.Run
	watermarks func(metastore.Watermarks) metastore.Watermarks
	size       int64
	compacted  bool
}

func (l *lying) Topics() []*metastore.Topic {
	topics := l.Replica.Topics()
	for i := range topics {
		if topic := *topics[i]; l.compacted {
			topic.Configs = map[string]string{"cleanup.policy": "compact"}
			topics[i] = &topic
		}
	}
	return topics
}

func (l *lying) Runs(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, error) {
	w, runs, err := l.Replica.Runs(tp, from, maxBytes)
	if l.runs != nil && len(runs) > 0 {
		runs = l.runs(runs)
	}
	return w, runs, err
}

func (l *lying) Watermarks(tp metastore.TopicPartition) (metastore.Watermarks, bool) {
	w, ok := l.Replica.Watermarks(tp)
	if l.watermarks != nil {
		w = l.watermarks(w)
	}
	return w, ok
}

func (l *lying) PartitionSizes(id metastore.TopicID) []int64 {
	sizes := l.Replica.PartitionSizes(id)
	for i := range sizes {
		sizes[i] += l.size
	}
	return sizes
}

// TestGapsAreOfLogCompactionAlone: what is missing of a compacted topic is not told of but by its size, and what lies over another
// run is.
func TestGapsAreOfLogCompactionAlone(t *testing.T) {
	gap := func(r []metastore.Run) []metastore.Run { return append(r[:1:1], r[2:]...) }
	over := func(r []metastore.Run) []metastore.Run { r[1].Base--; return r }
	for _, c := range []struct {
		compacted bool
		runs      func([]metastore.Run) []metastore.Run
		follows   bool
	}{{false, gap, true}, {true, gap, false}, {false, over, true}, {true, over, true}} {
		synctest.Test(t, func(t *testing.T) {
			l := &lying{Replica: run(t, 1).brokers["broker-0"].(*metastore.Replica), compacted: c.compacted, runs: c.runs}
			e := &examination{}
			e.sizes(l)
			if got := strings.Contains(fmt.Sprint(e.findings), "follows offset"); got != c.follows {
				t.Errorf("compacted: %t, found %q", c.compacted, e.findings)
			}
		})
	}
}

func TestPartitionsThatDoNotAddUpAreFound(t *testing.T) {
	type borders = metastore.Watermarks
	for text, l := range map[string]*lying{
		"follows offset":                      {runs: func(r []metastore.Run) []metastore.Run { return append(r[:1:1], r[2:]...) }},
		"its runs end at":                     {runs: func(r []metastore.Run) []metastore.Run { return r[:len(r)-1] }},
		"lies outside of its object":          {runs: func(r []metastore.Run) []metastore.Run { r[0].SegmentSize = 149; return r }},
		"its borders are":                     {watermarks: func(w borders) borders { w.Stable = w.High + 1; return w }},
		"its high watermark is":               {watermarks: func(w borders) borders { w.High++; return w }},
		"its runs have 0 bytes, counted as 1": {size: 1},
	} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				of := run(t, 1)
				l.Replica = of.brokers["broker-0"].(*metastore.Replica)
				e := &examination{}
				e.sizes(l.Replica)
				if len(e.findings) > 0 {
					t.Errorf("of the truth: %q", e.findings)
				}
				e.sizes(l)
				want(t, e.findings, SizeMismatch, text)
			})
		})
	}
}
