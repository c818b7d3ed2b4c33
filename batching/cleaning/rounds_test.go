package cleaning_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching/cleaning"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

func TestAMapThatIsFullEndsTheRound(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	for i := range 120 { // 60 keys, twice; the map has room for 37
		r.write(r.put(0, nil, fmt.Sprintf("key-%d=%d", i%60, i)))
	}
	reg := prometheus.NewRegistry()
	c := r.cleaner(cleaning.Options{MapBytes: 1 << 10, SmallBytes: 1, Registerer: reg})
	var ends []metastore.Offset
	for more := true; more && len(ends) < 10; {
		var err error
		more, err = c.Do(t.Context())
		r.must(err)
		r.logs[0].bound = math.MaxInt64
		ends = append(ends, r.logs[0].check().cleanedTo)
	}
	if fmt.Sprint(ends) != "[37 74 111 120]" {
		t.Errorf("rounds got to %v", ends)
	}
	if got := len(r.logs[0].read().records); got != 60 {
		t.Errorf("%d records are left", got)
	}
	if part, whole := metric(t, reg, "runnel_cleaning_rounds_total", "part"), metric(t, reg, "runnel_cleaning_rounds_total", "cleaned"); part != 3 || whole != 1 {
		t.Errorf("%v rounds of a part, %v to the end", part, whole)
	}
	if got := metric(t, reg, "runnel_cleaning_dropped_records_total", "superseded"); got != 60 {
		t.Errorf("%v superseded records were counted", got)
	}
	if read, written := metric(t, reg, "runnel_cleaning_read_bytes_total"), metric(t, reg, "runnel_cleaning_written_bytes_total"); read == 0 || written == 0 {
		t.Errorf("%v bytes read, %v written", read, written)
	}
}

// TestTheMapMayBeGivenMoreMemoryAsItGoes: a round asks for it when it begins.
func TestTheMapMayBeGivenMoreMemoryAsItGoes(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	for i := range 120 {
		r.write(r.put(0, nil, fmt.Sprintf("key-%d=%d", i%60, i)))
	}
	bytes := int64(1)
	c := r.cleaner(cleaning.Options{MapBytesNow: func() int64 { return bytes }, SmallBytes: 1})
	for _, want := range []metastore.Offset{37, 120} { // the least is 1 KiB
		_, err := c.Do(t.Context())
		r.must(err)
		r.logs[0].bound = math.MaxInt64
		if got := r.logs[0].check().cleanedTo; got != want {
			t.Errorf("with %d bytes a round got to %d, want %d", bytes, got, want)
		}
		bytes = 1 << 20
	}
}

func TestABatchWithTooManyKeysIsAnErrorOfItsPartitionAlone(t *testing.T) {
	r := newRig(t, 2, cleaning.Policy{}, rewrite.Options{})
	var pairs []string
	for i := range 39 {
		pairs = append(pairs, fmt.Sprintf("key-%d=%s", i, strings.Repeat("v", 100)))
	}
	r.write(r.put(0, nil, pairs...), r.put(1, nil, "a=1", "a=2"))
	r.policy.MaxCompactionLagMs = 1 // both are overdue, partition 0 comes first
	r.pass(time.Second)
	reg := prometheus.NewRegistry()
	c := r.cleaner(cleaning.Options{MapBytes: 1 << 10, SmallBytes: 1, Registerer: reg})
	more, err := c.Do(t.Context())
	if !errors.Is(err, cleaning.ErrTooManyKeys) || !more {
		t.Fatalf("%v, more %v", err, more)
	}
	if more, err := c.Do(t.Context()); err != nil || more {
		t.Fatalf("%v, more %v", err, more)
	}
	r.wantTable(1, "1:a=2")
	for wait := 15 * time.Second; wait < time.Hour; wait *= 2 {
		r.pass(wait - time.Millisecond)
		if more, err := c.Do(t.Context()); err != nil || more {
			t.Fatalf("after %v: %v, more %v", wait, err, more)
		}
		r.pass(time.Millisecond)
		if _, err := c.Do(t.Context()); !errors.Is(err, cleaning.ErrTooManyKeys) {
			t.Fatalf("after %v: %v", wait, err)
		}
	}
	if failed := metric(t, reg, "runnel_cleaning_rounds_total", "failed"); failed != 9 {
		t.Errorf("%v rounds failed", failed)
	}
	if waiting := metric(t, reg, "runnel_cleaning_waiting_seconds"); waiting < 7200/2 {
		t.Errorf("has waited for %v s", waiting)
	}
	if got := len(r.logs[0].read().records); got != 39 {
		t.Errorf("%d records are left", got)
	}
}

// What lies before the first record that goes stays where it is, and so does everything if none does.
func TestRunsThatDoNotChangeStayWhereTheyAre(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	for i := range 10 {
		r.write(r.put(0, nil, fmt.Sprintf("key-%d=1", i)))
	}
	segments := func() (ids []metastore.SegmentID) {
		_, runs, err := r.replica.Runs(r.logs[0].tp, 0, 1<<30)
		r.must(err)
		for i := range runs {
			ids = append(ids, runs[i].Segment)
		}
		return ids
	}
	before := segments()
	r.round()
	if got := segments(); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("segments %v, were %v", got, before)
	}
	if s := r.logs[0].read(); s.cleanedTo != 10 {
		t.Errorf("cleaned to %d", s.cleanedTo)
	}
	r.write(r.put(0, nil, "key-7=2"))
	r.policy.MinCleanableDirtyRatio = 0
	r.round()
	got := segments()
	if len(got) != 8 || fmt.Sprint(got[:7]) != fmt.Sprint(before[:7]) || got[7].Tier() != 1 {
		t.Errorf("segments %v, were %v", got, before)
	}
	r.wantTable(0, "0:key-0=1 1:key-1=1 2:key-2=1 3:key-3=1 4:key-4=1 5:key-5=1 6:key-6=1 8:key-8=1 9:key-9=1 10:key-7=2")
}

// A round that ends anywhere has dropped nothing that the next one needs to know of: a tombstone goes after what it deletes.
func TestARoundThatFailsBetweenTwoPiecesLosesNothing(t *testing.T) {
	for fails := range 12 {
		for _, lost := range []bool{false, true} { // the answer alone
			r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
			r.write(r.put(0, nil, "a=1", "b=1"))
			for i := range 6 {
				r.write(r.put(0, nil, fmt.Sprintf("f=%d", i)), r.put(0, nil, fmt.Sprintf("g=%d", i)))
			}
			r.write(r.put(0, nil, "a=-"))
			c := cleaning.Options{SmallBytes: 1, PieceBytes: 1} // a piece for each run
			swaps := 0
			r.swapping = func([]metastore.Rewrite) (bool, error) {
				if swaps++; swaps == fails {
					return !lost, errPlanned
				}
				return false, nil
			}
			failed := 0
			for i := range 8 {
				r.write(r.put(0, nil, fmt.Sprintf("h=%d", i)))
				if _, err := r.cleaner(c).Do(t.Context()); err != nil && !errors.Is(err, errPlanned) {
					t.Fatal(err)
				} else if err != nil {
					failed++
				}
				l := r.logs[0]
				l.bound = math.MaxInt64
				s := l.check()
				l.met(s.cleanedTo)
			}
			if _, there := r.logs[0].read().records[14]; there || failed == 0 && fails > 0 {
				t.Errorf("failing at %d: the tombstone is there %v, %d failed", fails, there, failed)
			}
		}
	}
}

func TestRunsThatAreReplacedMeanwhileAreLookedForAgain(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	for i := range 12 {
		r.write(r.put(0, nil, fmt.Sprintf("f=%d", i)), r.put(0, nil, fmt.Sprintf("g=%d", i)))
	}
	swaps := 0
	r.swapping = func(rewrites []metastore.Rewrite) (bool, error) {
		if swaps++; swaps%2 == 1 && swaps < 8 {
			r.merge(0, rewrites[0].Old[0].Base, 2)
		}
		return false, nil
	}
	_, err := r.cleaner(cleaning.Options{SmallBytes: 1, PieceBytes: 300}).Do(t.Context())
	r.must(err)
	r.wantTable(0, "22:f=11 23:g=11")
	r.logs[0].check()

	for i := range 12 {
		r.write(r.put(0, nil, fmt.Sprintf("f=%d", i)))
	}
	r.swapping = func(rewrites []metastore.Rewrite) (bool, error) {
		r.merge(0, rewrites[0].Old[0].Base, len(rewrites[0].Old))
		return false, nil
	}
	if _, err := r.cleaner(cleaning.Options{SmallBytes: 1}).Do(t.Context()); !errors.Is(err, rewrite.ErrRefused) {
		t.Errorf("replaced each time: %v", err)
	}
	r.logs[0].check()
}

// Runs that are joined with some that the round has passed do not make it forget what it saw there.
func TestTheEndOfATransactionIsJudgedOnce(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	a := r.producer("a", 2)
	r.write(r.put(0, a, "x=1")) // 0
	a.end(true)                 // 1
	r.write(r.put(0, nil, "y=1"))
	r.write(r.put(0, nil, "y=2"))
	merged := false
	r.swapping = func(rewrites []metastore.Rewrite) (bool, error) {
		if !merged {
			merged = true
			if at := rewrites[0].Old[0].Base; at != 2 {
				t.Fatalf("what is rewritten begins at %d", at)
			}
			r.merge(0, 1, 3)
		}
		return false, nil
	}
	r.clean(atOnce)
	s := r.logs[0].read()
	if len(s.batches) != 3 || !s.batches[1].Control() || !merged {
		t.Fatalf("%+v", s.batches)
	}
	if ms, ok := s.batches[1].DeleteHorizon(); ok {
		t.Errorf("the marker has the horizon %d, and its transaction is there", ms)
	}
}

func TestASegmentThatIsLostIsAnErrorOfItsPartition(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	r.write(r.put(0, nil, "a=1", "a=2"))
	_, runs, err := r.replica.Runs(r.logs[0].tp, 0, 1<<30)
	r.must(err)
	r.must(r.store.Delete(t.Context(), []string{segment.Key(runs[0].Segment)}))
	if _, err := r.cleaner(atOnce).Do(t.Context()); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestARoundEndsWithItsContext(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	for i := range 10 {
		r.write(r.put(0, nil, fmt.Sprintf("a=%d", i)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.swapping = func([]metastore.Rewrite) (bool, error) { cancel(); return true, ctx.Err() }
	c := r.cleaner(atOnce)
	if more, err := c.Do(ctx); !errors.Is(err, context.Canceled) || more {
		t.Errorf("%v, more %v", err, more)
	}
	r.swapping = nil
	_, err := c.Do(t.Context()) // no back-off: it was nobody's fault
	r.must(err)
	r.wantTable(0, "9:a=9")
}

func TestOtherTopicsAndDeletedOnesAreLeftAlone(t *testing.T) {
	r := newRig(t, 1, cleaning.Policy{}, rewrite.Options{})
	r.write(r.put(0, nil, "a=1", "a=2"))
	r.policy.Compact = false
	r.clean(atOnce)
	r.wantTable(0, "0:a=1 1:a=2")
	r.policy.Compact = true
	r.swapping = func([]metastore.Rewrite) (bool, error) {
		return false, r.replica.DeleteTopic(t.Context(), r.topic.ID)
	}
	if _, err := r.cleaner(atOnce).Do(t.Context()); err != nil && !errors.Is(err, rewrite.ErrRefused) {
		t.Errorf("a topic that is deleted meanwhile: %v", err)
	}
	r.clean(atOnce)
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for _, o := range []cleaning.Options{{MapBytes: 1023}, {PieceBytes: -1}, {InflatedBytes: -1}, {SmallBytes: -1}, {SmallPatience: -1}, {Backoff: 2 * time.Hour}} {
		if _, err := cleaning.New(nil, nil, nil, o); err == nil {
			t.Errorf("%+v", o)
		}
	}
}
