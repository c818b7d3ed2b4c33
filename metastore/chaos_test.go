package metastore_test

import (
	"context"
	"encoding/binary"
	"errors"
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

// treacherous is a log whose appends get lost, lose their answers, or take effect after they were given up, and whose
// reads fail now and then.
type treacherous struct {
	metastore.Log
	late *sync.WaitGroup

	mu  sync.Mutex
	rng *rand.Rand
}

func (l *treacherous) draw(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.IntN(n)
}

func (l *treacherous) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	time.Sleep(time.Duration(l.draw(2_000)) * time.Millisecond) // others are decided on top meanwhile
	switch l.draw(8) {
	case 0:
		return errLost
	case 1:
		_ = l.Log.Append(ctx, expected, next)
		return errLost
	case 2:
		delay := time.Duration(l.draw(30_000)) * time.Millisecond
		payload := slices.Clone(next.Payload)
		l.late.Go(func() {
			time.Sleep(delay)
			_ = l.Log.Append(context.Background(), expected, metastore.Entry{Position: next.Position, Payload: payload})
		})
		return errLost
	}
	return l.Log.Append(ctx, expected, next)
}

func (l *treacherous) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	if l.draw(10) == 0 {
		return nil, errLost
	}
	return l.Log.Read(ctx, after, maxBytes)
}

// sent is a batch of an idempotent producer with its outcome.
type sent struct {
	tp       metastore.TopicPartition
	id       metastore.ProducerID
	sequence int32
	records  int32
	offset   metastore.Offset
}

// TestChaosOfBrokersGivesEveryBatchOnePlace lets producers send through brokers that start, die, snapshot and trim, on a
// treacherous metastore, with callers that give up and ask again, of another broker too, under the same segment or a new
// one. In the end every batch is in the log once, at the offset that was answered, in sequence order. It takes half an hour
// of virtual time, so that segments are forgotten and their entries trimmed.
func TestChaosOfBrokersGivesEveryBatchOnePlace(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range 10 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, seed+uint64(round)) })
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	store := memory.New(memory.Options{})
	var late sync.WaitGroup
	broker := func(n uint64) (*metastore.Replica, func()) {
		log := &treacherous{Log: store, late: &late, rng: rand.New(rand.NewPCG(seed, n))}
		r := metastore.NewReplica(log, metastore.ReplicaOptions{SnapshotEvery: 7})
		for r.Open(t.Context()) != nil {
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		return r, func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		}
	}
	first := open(t, store, metastore.ReplicaOptions{})
	topic := createTopic(t, first, "t", 3)

	var mu sync.Mutex
	brokers, stops := make([]*metastore.Replica, 3), make([]func(), 3)
	for i := range brokers {
		brokers[i], stops[i] = broker(uint64(i))
	}
	pick := func(rng *rand.Rand) *metastore.Replica {
		mu.Lock()
		defer mu.Unlock()
		return brokers[rng.IntN(len(brokers))]
	}
	ended := make(chan struct{})
	var restarts sync.WaitGroup
	for n := range uint64(4) { // entries come by three ways: by the log, by own appends, and from the others
		rng := rand.New(rand.NewPCG(seed, 50+n))
		restarts.Go(func() { gossip(rng, ended, pick) })
	}
	restarts.Go(func() {
		for n := uint64(10); ; n++ {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Second):
			}
			i := int(n) % len(brokers)
			mu.Lock()
			stop := stops[i]
			brokers[i], stops[i] = broker(n)
			mu.Unlock()
			stop() // the old one may still be asked: a broker that does not know that it is dead
		}
	})
	var all []sent
	var producers sync.WaitGroup
	for id := range metastore.ProducerID(6) {
		producers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 100+uint64(id)))
			tp := metastore.TopicPartition{Topic: topic.ID, Partition: int32(id % 3)}
			sequence := int32(0)
			if id > 2 {
				sequence = 1<<31 - 1 - 20 // wraps soon
			}
			for range 60 {
				if rng.IntN(2) == 0 {
					time.Sleep(time.Duration(rng.IntN(120)) * time.Second)
				}
				b := sent{tp: tp, id: id, sequence: sequence, records: 1 + rng.Int32N(3)}
				b.offset = send(t, rng, pick, b)
				sequence = int32((int64(sequence) + int64(b.records)) % (1 << 31))
				mu.Lock()
				all = append(all, b)
				mu.Unlock()
			}
		})
	}
	producers.Wait()
	close(ended)
	restarts.Wait()
	for _, stop := range stops {
		stop()
	}
	late.Wait()
	verify(t, store, all, append(brokers, first))
}

// gossip offers to brokers what others folded, now and then some of it twice, or with a gap.
func gossip(rng *rand.Rand, ended <-chan struct{}, pick func(*rand.Rand) *metastore.Replica) {
	for {
		select {
		case <-ended:
			return
		case <-time.After(time.Duration(rng.IntN(300)) * time.Millisecond):
		}
		from, to := pick(rng), pick(rng)
		after := max(to.Position().Seq+metastore.Seq(rng.IntN(4)-2), 0)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		entries, err := from.After(ctx, after)
		cancel()
		for i := 0; err == nil && i < len(entries); i++ {
			to.Offer(entries[i])
		}
	}
}

// segmentNow is a plain segment made at the bubble's time. (uuid.NewV7 never goes back to it from the process's.)
func segmentNow(rng *rand.Rand, tp metastore.TopicPartition, records int32) metastore.SegmentCommit {
	c := plain(tp, records)
	binary.BigEndian.PutUint64(c.ID[:], uint64(time.Now().UnixMilli())<<16|0x7000)
	binary.BigEndian.PutUint64(c.ID[8:], rng.Uint64()>>2|1<<63)
	return c
}

// send asks until there is an answer.
func send(t *testing.T, rng *rand.Rand, pick func(*rand.Rand) *metastore.Replica, b sent) metastore.Offset {
	c := segmentNow(rng, b.tp, b.records)
	for {
		batch := &c.Runs[0].Batches[0]
		batch.ProducerID, batch.BaseSequence = b.id, b.sequence
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+rng.IntN(20_000))*time.Millisecond)
		res, err := pick(rng).Commit(ctx, []metastore.SegmentCommit{c, segmentNow(rng, b.tp, 1)})
		cancel()
		if err == nil {
			switch got := res[0].Runs[0][0]; got.Verdict {
			case metastore.Accepted, metastore.Duplicate:
				return got.Offset
			case metastore.SegmentTooOld:
				c = segmentNow(rng, b.tp, b.records)
				continue
			default:
				t.Errorf("batch %+v: verdict %d", b, got.Verdict)
				return metastore.NoOffset
			}
		}
		if rng.IntN(3) == 0 { // the client's own retry comes in another segment
			c = segmentNow(rng, b.tp, b.records)
		}
	}
}

// sameDigest compares what replicas have folded: all of them all, or from snapshots of one or the other.
func sameDigest(t *testing.T, replicas []*metastore.Replica) {
	t.Helper()
	at, sum := replicas[0].Digest()
	for i, r := range replicas[1:] {
		if otherAt, other := r.Digest(); otherAt != at || other != sum {
			t.Errorf("replica %d is at %v with the digest %x, the first at %v with %x", i+1, otherAt, other[:8], at, sum[:8])
		}
	}
}

func verify(t *testing.T, store metastore.Log, all []sent, brokers []*metastore.Replica) {
	fresh := open(t, store, metastore.ReplicaOptions{})
	if _, err := store.Read(t.Context(), metastore.Position{}, 1); !errors.Is(err, metastore.ErrTrimmed) {
		t.Errorf("nothing was trimmed (%v)", err)
	}
	for _, r := range brokers {
		for r.CatchUp(t.Context()) != nil && r.Health() == nil {
		}
		if err := r.Health(); err != nil {
			t.Errorf("health: %v", err)
		}
	}
	survey(t, store)
	sameDigest(t, append(brokers, fresh))
	taken := make(map[metastore.TopicPartition]map[metastore.Offset]bool)
	last := make(map[metastore.ProducerID]metastore.Offset)
	for _, b := range all { // of one producer, in the order of its sending
		if taken[b.tp] == nil {
			taken[b.tp] = make(map[metastore.Offset]bool)
		}
		for o := range metastore.Offset(b.records) {
			if taken[b.tp][b.offset+o] {
				t.Errorf("%v: offset %d given twice", b.tp, b.offset+o)
			}
			taken[b.tp][b.offset+o] = true
		}
		if before, ok := last[b.id]; ok && b.offset <= before {
			t.Errorf("producer %d: offset %d after %d", b.id, b.offset, before)
		}
		last[b.id] = b.offset
	}
	for tp := range taken {
		w, runs, err := fresh.Runs(tp, 0, 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		next := metastore.Offset(0)
		for _, run := range runs {
			if run.Base != next {
				t.Errorf("%v: run at %d, want %d", tp, run.Base, next)
			}
			next = run.Base + metastore.Offset(run.Records)
		}
		if next != w.High {
			t.Errorf("%v: runs end at %d, high watermark %d", tp, next, w.High)
		}
		for _, r := range brokers {
			other, same, err := r.Runs(tp, 0, 1<<40)
			if err != nil || other != w || !slices.Equal(same, runs) {
				t.Errorf("%v: brokers disagree (%v)", tp, err)
			}
		}
	}
}

// survey looks at the whole log without the trust in snapshots that brokers have.
func survey(t *testing.T, store metastore.Log) {
	t.Helper()
	s, err := metastore.TakeSurvey(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if end, err := store.End(t.Context()); err != nil || s.Position.Seq != end || s.Broken || len(s.Faults) > 0 || s.Entries == 0 || s.Snapshot.Seq == 0 {
		t.Errorf("survey through %d of %d (%v), broken %v, %d entries, snapshot at %d: %v", s.Position.Seq, end, err, s.Broken, s.Entries, s.Snapshot.Seq, s.Faults)
	}
}
