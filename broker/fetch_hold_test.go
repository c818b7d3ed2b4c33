package broker

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/runnel-io/runnel/broker/wire"
)

type holdsUpTo int64

func (h holdsUpTo) Hold(_ context.Context, n, _ int64) (int64, error) {
	if h < 0 {
		return 0, context.Canceled
	}
	return min(n, int64(h)), nil
}

func TestFetchReadsNoMoreThanItMayHold(t *testing.T) {
	for held, want := range map[holdsUpTo][]int{
		10 << 20: {1 << 20, 1 << 20, 1 << 20}, 2 << 20: {1 << 20, 1 << 20, 1 << 19}, 3 << 19: {1 << 20, 1 << 19},
		1 << 19: {1 << 19}, -1: {},
	} {
		plan := &fetchPlan{bytes: 5 << 19}
		for _, there := range []int{1 << 20, 1 << 19, 3 << 20} {
			plan.reads = append(plan.reads, fetchRead{bytes: 1 << 20, there: there})
		}
		plan.hold(t.Context(), held)
		got := []int{}
		for _, r := range plan.reads {
			got = append(got, r.bytes)
		}
		if !slices.Equal(got, want) {
			t.Errorf("may hold %d: reads %d, want %d", held, got, want)
		}
	}
	small := &fetchPlan{bytes: 1000, reads: []fetchRead{{bytes: 1 << 20, there: 1000}}}
	small.hold(t.Context(), holdsUpTo(-1))
	equal(t, "reads of a small answer", len(small.reads), 1)
}

// holdsAfter gives all memory that is asked for, after something happened.
type holdsAfter func()

func (holdsAfter) Endpoint() *wire.Endpoint { return &wire.Endpoint{Name: "PLAINTEXT"} }

func (h holdsAfter) Hold(_ context.Context, n, _ int64) (int64, error) {
	h()
	return n, nil
}

func TestFetchReadsNoMoreThanWasPlannedWhenMuchIsWrittenMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 8, 1)
		var all []int32
		batch := testBatch(1 << 10)
		produce := func(times int) {
			for range times {
				for _, p := range all {
					h.produce(topic, p, batch)
				}
			}
		}
		for p := range int32(8) {
			all = append(all, p)
		}
		produce(1)
		if 8*len(batch) <= freeAnswer {
			t.Fatalf("batches of %d bytes need no memory", len(batch))
		}
		req := fetchRequest(topic, all...)
		req.SetVersion(12)
		req.MaxBytes = int32(8 * len(batch))
		resp := h.broker.fetch(t.Context(), holdsAfter(func() { produce(4) }), anyTopic, nil, req)
		total := 0
		for i := range resp.rows {
			total += resp.rows[i].size
		}
		if total != 8*len(batch) {
			t.Errorf("%d bytes, %d were planned and may be held", total, 8*len(batch))
		}
		resp.Release()
	})
}
