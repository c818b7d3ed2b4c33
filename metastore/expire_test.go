package metastore_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// flood runs two brokers for so many seconds of virtual time and sends a batch of each of perSecond new producers every
// second, and one of the producer 0 once a minute. inspect sees the first broker after each second.
func flood(t *testing.T, opts metastore.ReplicaOptions, seconds, perSecond int, inspect func(second int, r *metastore.Replica)) (*metastore.Replica, metastore.TopicPartition) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	store := memory.New(memory.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	brokers := []*metastore.Replica{open(t, store, opts), open(t, store, opts)}
	for _, r := range brokers {
		go func() { ended <- r.Run(ctx) }()
	}
	tp := metastore.TopicPartition{Topic: createTopic(t, brokers[0], "t", 1).ID}
	for second := range seconds {
		ids := make([]metastore.ProducerID, 0, perSecond+1)
		for i := range perSecond {
			ids = append(ids, metastore.ProducerID(1+second*perSecond+i))
		}
		c := batchOfEach(rng, tp, 0, ids...)
		if second%60 == 0 {
			steady := batchOfEach(rng, tp, int32(second/60), 0)
			c.Runs[0].Batches = append(c.Runs[0].Batches, steady.Runs[0].Batches...)
		}
		res, err := brokers[second%2].Commit(ctx, []metastore.SegmentCommit{c})
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range res[0].Runs[0] {
			if got.Verdict != metastore.Accepted {
				t.Fatalf("second %d, batch %d: verdict %d", second, i, got.Verdict)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		inspect(second, brokers[0])
	}
	cancel()
	for range brokers {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	for _, r := range brokers {
		if err := r.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := brokers[0].Producers(), brokers[1].Producers(); a != b {
		t.Errorf("one broker remembers %d producers, the other %d", a, b)
	}
	return brokers[1], tp
}

func batchOfEach(rng *rand.Rand, tp metastore.TopicPartition, sequence int32, ids ...metastore.ProducerID) metastore.SegmentCommit {
	records := make([]int32, len(ids))
	for i := range records {
		records[i] = 1
	}
	c := segmentNow(rng, tp, 1)
	c.Runs[0].Batches = plain(tp, records...).Runs[0].Batches
	for i, id := range ids {
		c.Runs[0].Batches[i].ProducerID, c.Runs[0].Batches[i].BaseSequence = id, sequence
	}
	return c
}

func TestFloodOfProducersIsForgottenFromTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, perSecond, seconds = 1000, 5, 1801
		peak, least := 0, most
		r, tp := flood(t, metastore.ReplicaOptions{MaxProducers: most}, seconds, perSecond, func(second int, r *metastore.Replica) {
			n := r.Producers()
			peak = max(peak, n)
			if second > most/perSecond {
				least = min(least, n)
			}
		})
		if peak <= most || peak > most+11*perSecond {
			t.Errorf("at most %d producers, want more than %d by what comes in ten seconds", peak, most)
		}
		if least < most*9/10-perSecond { // those of one time go together
			t.Errorf("only %d producers were left at some time", least)
		}
		if least > most*95/100 {
			t.Errorf("%d producers were always left: the next sweep is due at once", least)
		}
		// The one that is not new, but active, was never forgotten.
		if got := commitIdempotent(t, r, tp, 0, 0, (seconds-1)/60, 1); got.Verdict != metastore.Duplicate {
			t.Errorf("repeat of an active producer: %+v", got)
		}
		// Nor was one of the last two minutes; but one of before may go on at any sequence, as one never seen.
		if got := commitIdempotent(t, r, tp, perSecond*(seconds-100), 0, 0, 1); got.Verdict != metastore.Duplicate {
			t.Errorf("repeat of a producer of 100 seconds ago: %+v", got)
		}
		if got := commitIdempotent(t, r, tp, 1, 0, 77, 1); got.Verdict != metastore.Accepted {
			t.Errorf("forgotten producer that goes on: %+v", got)
		}
		if got := commitIdempotent(t, r, tp, 1, 0, 79, 1); got.Verdict != metastore.OutOfOrderSequence {
			t.Errorf("gap in the sequence of a producer that is known again: %+v", got)
		}
	})
}

func TestActiveProducersAreKeptAndComplainedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, perSecond = 100, 5
		var logged bytes.Buffer // written to by two brokers, one at a time
		opts := metastore.ReplicaOptions{MaxProducers: most, Logger: slog.New(slog.NewTextHandler(&logged, nil))}
		peak := 0
		r, tp := flood(t, opts, 600, perSecond, func(_ int, r *metastore.Replica) { peak = max(peak, r.Producers()) })
		if peak < 115*perSecond || peak > 135*perSecond {
			t.Errorf("at most %d producers, want those of two minutes: %d", peak, 120*perSecond)
		}
		if got := commitIdempotent(t, r, tp, perSecond*(600-100), 0, 0, 1); got.Verdict != metastore.Duplicate {
			t.Errorf("repeat of a producer of 100 seconds ago: %+v", got)
		}
		if n := strings.Count(logged.String(), "more producers are active"); n != 2 {
			t.Errorf("%d warnings, want one of each broker:\n%s", n, logged.String())
		}
	})
}

func TestSilentProducersExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, tp := flood(t, metastore.ReplicaOptions{ProducerExpiration: func() time.Duration { return 5 * time.Minute }}, 3600, 1, func(int, *metastore.Replica) {})
		if n := r.Producers(); n < 300 || n > 300+700 {
			t.Errorf("%d producers, want those of five minutes and of the ten between sweeps", n)
		}
		if got := commitIdempotent(t, r, tp, 1, 0, 77, 1); got.Verdict != metastore.Accepted {
			t.Errorf("forgotten producer that goes on: %+v", got)
		}
	})
}

func TestAProducerOfABrokerThatIsLateIsNotForgottenEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Options{})
		defer store.Close()
		r := open(t, store, metastore.ReplicaOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		tp := metastore.TopicPartition{Topic: createTopic(t, r, "t", 1).ID}
		late := open(t, store, metastore.ReplicaOptions{Now: func() time.Time { return time.Now().Add(-48 * time.Hour) }})
		if _, err := late.Commit(ctx, []metastore.SegmentCommit{batchOfEach(rand.New(rand.NewPCG(1, 1)), tp, 0, 7)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := r.Producers(); n != 1 {
			t.Errorf("%d producers are remembered an hour after the batch, want 1", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
