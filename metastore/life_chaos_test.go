package metastore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// TestChaosOfRewritesLosesNothing lets brokers that start and die commit, rewrite, delete and collect at the same time, on a
// treacherous metastore. What is read in the end lies where it was written, through all rewrites; no segment that was
// collected is ever named again; each is named, garbage or collected; and all brokers say the same.
func TestChaosOfRewritesLosesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range 10 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newLifeChaos(t, seed+uint64(round)).play() })
		})
	}
}

// lifeChaos keeps what the clients know.
type lifeChaos struct {
	t     *testing.T
	seed  uint64
	store *memory.Store
	late  sync.WaitGroup // appends that were given up
	ended chan struct{}
	topic *metastore.Topic

	mu        sync.Mutex
	brokers   []*metastore.Replica
	stops     []func()
	written   map[metastore.TopicPartition]map[metastore.Offset]metastore.SegmentID // as answered
	made      map[metastore.SegmentID][]metastore.Run                               // what a rewritten segment was made of
	committed map[metastore.SegmentID]bool                                          // segments with an answer
	collected map[metastore.SegmentID]bool                                          // whose objects are deleted
	swapped   int
	refused   int
}

func newLifeChaos(t *testing.T, seed uint64) *lifeChaos {
	return &lifeChaos{
		t: t, seed: seed, store: memory.New(memory.Options{}), ended: make(chan struct{}),
		written: make(map[metastore.TopicPartition]map[metastore.Offset]metastore.SegmentID), made: make(map[metastore.SegmentID][]metastore.Run),
		committed: make(map[metastore.SegmentID]bool), collected: make(map[metastore.SegmentID]bool),
	}
}

func (c *lifeChaos) start(n uint64) (*metastore.Replica, func()) {
	log := &treacherous{Log: c.store, late: &c.late, rng: rand.New(rand.NewPCG(c.seed, n))}
	r := metastore.NewReplica(log, metastore.ReplicaOptions{SnapshotEvery: 7})
	for r.Open(c.t.Context()) != nil {
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("run: %v", err)
		}
	}
}

func (c *lifeChaos) pick(rng *rand.Rand) *metastore.Replica {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.brokers[rng.IntN(len(c.brokers))]
}

// until calls work again and again until the writers are done, with its own random numbers.
func (c *lifeChaos) until(wait *sync.WaitGroup, n uint64, pause time.Duration, work func(ctx context.Context, rng *rand.Rand, r *metastore.Replica)) {
	rng := rand.New(rand.NewPCG(c.seed, n))
	wait.Go(func() {
		for {
			select {
			case <-c.ended:
				return
			case <-time.After(time.Duration(rng.Int64N(int64(pause)))):
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+rng.IntN(20_000))*time.Millisecond)
			work(ctx, rng, c.pick(rng))
			cancel()
		}
	})
}

func (c *lifeChaos) play() {
	first := open(c.t, c.store, metastore.ReplicaOptions{})
	c.topic = createTopic(c.t, first, "t", 3)
	for n := range uint64(3) {
		r, stop := c.start(n)
		c.brokers, c.stops = append(c.brokers, r), append(c.stops, stop)
	}
	var others, writers sync.WaitGroup
	restarts := uint64(0)
	c.until(&others, 60, time.Minute, func(context.Context, *rand.Rand, *metastore.Replica) {
		restarts++
		r, stop := c.start(1000 + restarts)
		i := int(restarts) % len(c.brokers)
		c.mu.Lock()
		c.brokers[i], stop, c.stops[i] = r, c.stops[i], stop
		c.mu.Unlock()
		stop() // the old one may still be asked
	})
	for n := range uint64(2) {
		c.until(&others, 70+n, 20*time.Second, c.rewrite)
	}
	c.until(&others, 80, 2*time.Minute, c.deleteRecords)
	c.until(&others, 81, time.Minute, c.collect)
	c.until(&others, 82, 30*time.Second, func(ctx context.Context, _ *rand.Rand, r *metastore.Replica) { _ = r.Touch(ctx) })
	for n := range uint64(4) {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(c.seed, 100+n))
			for range 60 {
				time.Sleep(time.Duration(rng.IntN(40)) * time.Second)
				c.write(rng)
			}
		})
	}
	writers.Wait()
	close(c.ended)
	others.Wait()
	for _, stop := range c.stops {
		stop()
	}
	c.late.Wait()
	c.verify(append(c.brokers, first))
}

func (c *lifeChaos) partition(rng *rand.Rand) metastore.TopicPartition {
	return metastore.TopicPartition{Topic: c.topic.ID, Partition: rng.Int32N(c.topic.Partitions)}
}

// write asks until there is an answer.
func (c *lifeChaos) write(rng *rand.Rand) {
	tp, records := c.partition(rng), 1+rng.Int32N(4)
	for {
		in := plain(tp, records)
		if rng.IntN(8) == 0 { // one that is refused as a whole
			in = plain(metastore.TopicPartition{Topic: tp.Topic, Partition: 7}, records)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+rng.IntN(20_000))*time.Millisecond)
		results, err := c.pick(rng).Commit(ctx, []metastore.SegmentCommit{in})
		cancel()
		if err != nil {
			continue // whatever became of that one, nobody was answered
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		got := results[0].Runs[0][0]
		c.committed[in.ID] = got.Verdict != metastore.SegmentTooOld
		if got.Verdict == metastore.Accepted {
			if c.written[tp] == nil {
				c.written[tp] = make(map[metastore.Offset]metastore.SegmentID)
			}
			for o := range metastore.Offset(records) {
				if other, twice := c.written[tp][got.Offset+o]; twice {
					c.t.Errorf("%v: offset %d is given to %s and %s", tp, got.Offset+o, other, in.ID)
				}
				c.written[tp][got.Offset+o] = in.ID
			}
		}
		return
	}
}

// rewrite merges runs that follow each other, in one to three partitions.
func (c *lifeChaos) rewrite(ctx context.Context, rng *rand.Rand, r *metastore.Replica) {
	merged := metastore.RewrittenSegment{ID: metastore.NewRewrittenID(time.Now()), Size: 1000}
	var rewrites []metastore.Rewrite
	for p := range c.topic.Partitions {
		tp := metastore.TopicPartition{Topic: c.topic.ID, Partition: p}
		w, _ := r.Watermarks(tp)
		_, runs, err := r.Runs(tp, w.LogStart, 1<<30)
		if err != nil || len(runs) == 0 || rng.IntN(3) == 0 {
			continue
		}
		from := rng.IntN(len(runs))
		old := runs[from : from+1+rng.IntN(min(5, len(runs)-from))]
		rewrites = append(rewrites, metastore.Rewrite{TopicPartition: tp, Old: old, New: []metastore.Run{rewritten(merged.ID, old...)}})
	}
	if len(rewrites) == 0 {
		return
	}
	c.mu.Lock()
	for _, w := range rewrites {
		c.made[merged.ID] = append(c.made[merged.ID], w.Old...) // of several partitions; their segments tell which
	}
	c.mu.Unlock()
	time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond) // others go on
	accepted, err := r.Swap(ctx, []metastore.RewrittenSegment{merged}, rewrites)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.committed[merged.ID] = true
	for _, ok := range accepted {
		if ok {
			c.swapped++
		} else {
			c.refused++
		}
	}
}

func (c *lifeChaos) deleteRecords(ctx context.Context, rng *rand.Rand, r *metastore.Replica) {
	tp := c.partition(rng)
	if w, _ := r.Watermarks(tp); w.High > 0 {
		_, _ = r.DeleteRecords(ctx, []metastore.RecordDeletion{deleteBefore(tp, w.LogStart+metastore.Offset(rng.Int64N(min(10, int64(w.High-w.LogStart)+1))))})
	}
}

// collect deletes the objects of some garbage, and says so.
func (c *lifeChaos) collect(ctx context.Context, rng *rand.Rand, r *metastore.Replica) {
	garbage := r.Garbage(1 + rng.IntN(20))
	if len(garbage) == 0 {
		return
	}
	var locked []int64
	c.mu.Lock()
	for _, g := range garbage {
		if rng.IntN(8) == 0 {
			locked = append(locked, g.Number)
			continue
		}
		c.collected[g.ID] = true
	}
	c.mu.Unlock()
	if len(locked) > 0 {
		_ = r.PutOff(ctx, garbage[len(garbage)-1].Number, locked)
		return
	}
	_ = r.Collected(ctx, garbage[len(garbage)-1].Number) // if that fails, they are deleted once more
}

func (c *lifeChaos) verify(brokers []*metastore.Replica) {
	t := c.t
	fresh := open(t, c.store, metastore.ReplicaOptions{})
	for _, r := range brokers {
		for r.CatchUp(t.Context()) != nil && r.Health() == nil {
		}
		if err := r.Health(); err != nil {
			t.Errorf("health: %v", err)
		}
	}
	survey(t, c.store)
	sameDigest(t, append(brokers, fresh))
	if c.swapped < 20 || c.refused == 0 || len(c.collected) == 0 {
		t.Errorf("%d rewrites were accepted and %d refused, %d segments collected: the test looks at too little", c.swapped, c.refused, len(c.collected))
	}
	named := make(map[metastore.SegmentID]bool)
	for p := range c.topic.Partitions {
		tp := metastore.TopicPartition{Topic: c.topic.ID, Partition: p}
		w, _ := fresh.Watermarks(tp)
		next := w.LogStart
		for _, run := range runsOf(t, fresh, tp) {
			named[run.Segment] = true
			if run.Base > next || run.End() <= next {
				t.Errorf("%v: a run from %d to %d, want one from %d on", tp, run.Base, run.End(), next)
			}
			next = run.End()
			for o := max(run.Base, w.LogStart); o < run.End(); o++ {
				if from, ok := c.written[tp][o]; ok && !c.holds(run, o, from) {
					t.Errorf("%v: offset %d is in %s, which does not hold what was written in %s", tp, o, run.Segment, from)
				}
			}
		}
		if next != w.High {
			t.Errorf("%v: runs end at %d, the high watermark is %d", tp, next, w.High)
		}
	}
	garbage := ids(fresh.Garbage(1 << 20))
	for id, answered := range c.committed {
		if !answered {
			continue
		}
		if n := count(named[id], slices.Contains(garbage, id), c.collected[id] && !slices.Contains(garbage, id)); n != 1 {
			t.Errorf("%s is named: %v, garbage: %v, collected: %v", id, named[id], slices.Contains(garbage, id), c.collected[id])
		}
	}
	for id := range c.collected {
		if named[id] {
			t.Errorf("%s is deleted, and named", id)
		}
	}
}

func count(all ...bool) int {
	n := 0
	for _, is := range all {
		if is {
			n++
		}
	}
	return n
}

// holds tells whether what a run has at an offset is what a segment brought.
func (c *lifeChaos) holds(run metastore.Run, at metastore.Offset, from metastore.SegmentID) bool {
	if run.Segment.Tier() == 0 {
		return run.Segment == from
	}
	return slices.ContainsFunc(c.made[run.Segment], func(old metastore.Run) bool {
		return old.Base <= at && at < old.End() && c.holds(old, at, from)
	})
}
