package cleaning_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
)

// TestRandomHistories plays histories of producers, transactions, deletions, merges of runs, failures and time, and after
// every step compares what there is with what Kafka promises of a compacted topic. RUNNEL_CLEANING_SEED=n plays one of them.
func TestRandomHistories(t *testing.T) {
	first, last := uint64(0), uint64(24)
	if text := os.Getenv("RUNNEL_CLEANING_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, last = n, n+1
	}
	rounds := 0
	for seed := first; seed < last; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			h := newHistory(t, seed)
			for range 80 {
				h.step()
				for _, l := range h.logs {
					l.check()
				}
			}
			h.whole()
			rounds += h.rounds
		})
	}
	if first != last-1 && rounds < 120 {
		t.Errorf("only %d rounds got to their end", rounds)
	}
}

type history struct {
	*rig
	rng       *rand.Rand
	producers []*producer
	opts      cleaning.Options
	cleaner   *cleaning.Cleaner
	inSwap    bool
	rounds    int // that got to their end
}

func newHistory(t *testing.T, seed uint64) *history {
	rng := rand.New(rand.NewPCG(seed, 11))
	policy := cleaning.Policy{
		MinCompactionLagMs: []int64{0, 0, 100, 60_000}[rng.IntN(4)],
		DeleteRetentionMs:  []int64{0, 1000, 3_600_000}[rng.IntN(3)],
		SegmentMs:          1,
	}
	h := &history{rng: rng, opts: cleaning.Options{
		MapBytes: []int64{1 << 10, 1 << 20}[rng.IntN(2)], PieceBytes: []int64{300, 2000, 1 << 20}[rng.IntN(3)], SmallBytes: 1, Backoff: time.Millisecond,
	}}
	h.rig = newRig(t, 2, policy, rewrite.Options{ObjectBytes: []int64{1000, 1 << 20}[rng.IntN(2)], SwapRuns: []int{3, 1000}[rng.IntN(2)]})
	h.cleaner = h.rig.cleaner(h.opts)
	for _, name := range []string{"a", "b", "c"} {
		h.producers = append(h.producers, h.producer(name, int8(1+rng.IntN(2))))
	}
	h.swapping = h.meddle
	return h
}

func (h *history) step() {
	h.t.Helper()
	switch n := h.rng.IntN(20); {
	case n < 8:
		h.writeSome()
	case n < 11:
		h.producers[h.rng.IntN(len(h.producers))].end(h.rng.IntN(2) == 0)
	case n < 13:
		h.clock = h.clock.Add([]time.Duration{time.Millisecond, time.Second, time.Hour}[h.rng.IntN(3)])
	case n < 14:
		h.mergeSome()
	case n < 15 && h.rng.IntN(3) == 0:
		h.deleteSome()
	case n < 16:
		h.cleaner = h.rig.cleaner(h.opts) // another broker
	default:
		h.clean()
	}
}

func (h *history) writeSome() {
	h.t.Helper()
	var batches []data
	for range 1 + h.rng.IntN(6) {
		batches = append(batches, h.random(h.rng, 12, h.producers))
	}
	h.write(batches...)
}

func (h *history) mergeSome() {
	h.t.Helper()
	p := h.rng.Int32N(2)
	h.merge(p, metastore.Offset(h.rng.Int64N(int64(h.logs[p].high())+1)), 1+h.rng.IntN(6))
}

func (h *history) deleteSome() {
	h.t.Helper()
	p := h.rng.Int32N(2)
	h.deleteRecords(p, metastore.Offset(h.rng.Int64N(int64(h.logs[p].high())+1)))
}

// meddle comes between a round and its swap.
func (h *history) meddle([]metastore.Rewrite) (skip bool, err error) {
	if h.inSwap {
		return false, nil
	}
	switch h.rng.IntN(24) {
	case 0:
		return true, errPlanned
	case 1:
		return false, errPlanned
	case 2:
		h.mergeSome()
	case 3:
		h.deleteSome()
	case 4:
		h.writeSome()
	case 5:
		h.producers[h.rng.IntN(len(h.producers))].end(h.rng.IntN(2) == 0)
	case 6: // a broker that has lost the lease, and does not know it yet
		h.inSwap = true
		defer func() { h.inSwap = false }()
		h.round(h.rig.cleaner(h.opts))
	}
	return false, nil
}

func (h *history) clean() {
	h.t.Helper()
	h.clock = h.clock.Add(time.Hour + time.Millisecond) // past any backoff
	for range 20 {
		if !h.round(h.cleaner) {
			return
		}
	}
}

// round does one round, and checks what it left if it got to its end.
func (h *history) round(c *cleaning.Cleaner) bool {
	h.t.Helper()
	var before []metastore.Offset
	for _, l := range h.logs {
		before = append(before, l.read().cleanedTo)
		l.bound = max(l.bound, l.cleanable(before[len(before)-1]))
	}
	more, err := c.Do(h.t.Context())
	if err != nil && !errors.Is(err, errPlanned) && !errors.Is(err, rewrite.ErrRefused) {
		h.t.Fatal(err)
	}
	for i, l := range h.logs {
		s := l.check()
		if s.cleanedTo > before[i] && !h.inSwap && err == nil {
			l.cleaned(&s, before[i])
			h.rounds++
		} else if s.cleanedTo > before[i] {
			l.met(s.cleanedTo)
		}
	}
	return more && err == nil
}

// whole brings everything to its end: all transactions are ended, all is cleaned, and cleaned again until nothing more goes.
func (h *history) whole() {
	h.t.Helper()
	h.swapping = nil
	for _, p := range h.producers {
		p.end(h.rng.IntN(2) == 0)
	}
	for range 4 {
		h.write(h.put(0, nil, "last=1"), h.put(1, nil, "last=1")) // nothing is cleaned twice unless something is dirty
		h.clock = h.clock.Add(2 * time.Hour)
		h.clean()
	}
	for _, l := range h.logs {
		s := l.check()
		left := 0
		for o, rec := range s.records {
			if e := &l.entries[o]; o < s.cleanedTo && (e.tombstone() || e.marker) && e.met > 0 && e.met < h.clock.UnixMilli()-4*3_600_000 {
				if e.marker && s.has(e.txn) {
					continue
				}
				left++
				h.t.Errorf("partition %d: %d is still there: %+v, marker %v, met %d, gone %d, now %d", l.tp.Partition, o, rec, e.marker, e.met, e.gone, h.clock.UnixMilli())
			}
		}
		if s.cleanedTo != s.marks.Stable {
			h.t.Errorf("partition %d: cleaned to %d of %d", l.tp.Partition, s.cleanedTo, s.marks.Stable)
		}
	}
	fresh := h.newReplica()
	if diff := fresh.Differences(h.replica); len(diff) > 0 {
		h.t.Errorf("a broker that starts now has another state: %v", diff)
	}
}

// cleanable is where a round that begins now must end at the latest.
func (l *partitionLog) cleanable(from metastore.Offset) metastore.Offset {
	now, stable := l.rig.clock.UnixMilli(), l.stable()
	for o := from; o < stable; o++ {
		e := &l.entries[o]
		latest := e.Timestamp
		if !e.marker {
			latest = e.header.MaxTimestamp
		}
		if lag := l.rig.policy.MinCompactionLagMs; lag > 0 && latest > now-lag {
			return o
		}
	}
	return stable
}

// met notes that a round got to an offset.
func (l *partitionLog) met(to metastore.Offset) {
	if to == 1 {
		return // which says that a round began, and no more
	}
	for o := range to {
		if e := &l.entries[o]; e.met == 0 {
			e.met = l.rig.clock.UnixMilli()
		}
	}
}
