package batching_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/metastore"
)

func TestIdleWriterAnswersAfterMinLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{})
		for range 3 {
			begin := time.Now()
			r.offsets(r.append(r.batch(0, 1, 100)))
			took(t, begin, 2*time.Millisecond)
			time.Sleep(time.Second)
		}
	})
}

func TestTrickleIsSealedAtThePutRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{PutRate: 10})
		begin := time.Now()
		r.offsets(r.append(r.batch(0, 1, 100)))
		took(t, begin, 2*time.Millisecond)
		for i := 1; i <= 3; i++ {
			r.offsets(r.append(r.batch(0, 1, 100)))
			took(t, begin, 2*time.Millisecond+time.Duration(i)*100*time.Millisecond)
		}
		// 60 ms after a seal: 40 ms are left.
		time.Sleep(60 * time.Millisecond)
		begin = time.Now()
		r.offsets(r.append(r.batch(0, 1, 100)))
		took(t, begin, 40*time.Millisecond)
	})
}

func TestLoadIsSealedEveryMaxLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{SegmentBytes: 80_000})
		var first *batching.Pending
		for range 1000 { // 200 kB/s: 50 kB in 250 ms
			first = r.append(r.batch(0, 1, 1000))
			time.Sleep(5 * time.Millisecond)
		}
		r.offsets(first)
		puts := len(r.store.trace())
		begin := time.Now()
		for range 1000 {
			first = r.append(r.batch(0, 1, 1000))
			time.Sleep(5 * time.Millisecond)
		}
		r.offsets(first)
		if n, windows := len(r.store.trace())-puts, int(time.Since(begin)/(250*time.Millisecond)); n > windows+1 {
			t.Errorf("%d PUTs in %d times the longest linger", n, windows)
		}
	})
}

// closedLoop sends n requests of 600 bytes at a time as soon as the ones before are answered, and returns how long each
// round took.
func (r *rig) closedLoop(source *batching.Source, rounds, n int) (took []time.Duration) {
	for range rounds {
		begin := time.Now()
		var pending []*batching.Pending
		for i := range n {
			pending = append(pending, r.appendFrom(source, r.batch(int32(i), 1, 600)))
		}
		for _, p := range pending {
			r.offsets(p)
		}
		took = append(took, time.Since(begin))
	}
	return took
}

func TestProducerThatWaitsForUsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{PutWorthBytes: 1000})
		rounds := r.closedLoop(batching.NewSource(), 20, 2)
		for i, d := range rounds[5:] {
			if d != 0 {
				t.Errorf("round %d took %v, want no wait", i+5, d)
			}
		}
		// One of too few bytes waits for its window.
		time.Sleep(time.Second)
		rounds = r.closedLoop(batching.NewSource(), 20, 1)
		if d := rounds[19]; d != 40*time.Millisecond {
			t.Errorf("a round of too few bytes took %v, want a window", d)
		}
	})
}

func TestProducerThatWaitsForUsIsNotWaitedForAmidATrickleFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{PutWorthBytes: 1000})
		ctx, cancel := context.WithCancel(t.Context())
		var others sync.WaitGroup
		for i := range 10 {
			others.Go(func() {
				source := batching.NewSource()
				for time.Sleep(time.Duration(i) * time.Millisecond); ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
					r.appendFrom(source, r.batch(int32(50+i), 1, 100))
				}
			})
		}
		rounds := r.closedLoop(batching.NewSource(), 100, 2)
		for i, d := range rounds[20:] {
			if d != 0 {
				t.Errorf("round %d took %v, want no wait", i+20, d)
			}
		}
		cancel()
		others.Wait()
	})
}

func TestTopicsThatAskForLessOrMoreLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{MinLinger: 100 * time.Millisecond})
		batch := func(linger time.Duration) batching.Batch {
			b := r.batch(0, 1, 600)
			b.MaxLinger = linger
			return b
		}
		begin := time.Now()
		r.offsets(r.append(batch(-1)))
		took(t, begin, 0)
		time.Sleep(time.Second)

		begin = time.Now()
		r.offsets(r.append(batch(10 * time.Millisecond)))
		took(t, begin, 10*time.Millisecond)
		time.Sleep(time.Second)

		begin = time.Now()
		patient := r.append(batch(5 * time.Second))
		time.Sleep(time.Second)
		other := r.append(batch(6 * time.Second))
		r.offsets(patient)
		took(t, begin, 5*time.Second)
		r.offsets(other)
		took(t, begin, 5*time.Second)

		begin = time.Now()
		patient = r.append(batch(5 * time.Second))
		time.Sleep(time.Second)
		r.offsets(r.append(batch(0)))
		took(t, begin, 1100*time.Millisecond)
		r.offsets(patient) // in company
		took(t, begin, 1100*time.Millisecond)
	})
}

func TestProducerOfPatientTopicsDoesNotHurryThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{PutWorthBytes: 1000})
		source := batching.NewSource()
		r.closedLoop(source, 20, 2)
		b := r.batch(0, 1, 5000)
		b.MaxLinger = 3 * time.Second
		begin := time.Now()
		r.offsets(r.appendFrom(source, b))
		took(t, begin, 3*time.Second)
	})
}

func TestBurstSharesASegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{})
		first := r.append(r.batch(0, 2, 100), r.batch(1, 3, 100), r.batch(0, 4, 100))
		time.Sleep(time.Millisecond)
		second := r.append(r.batch(1, 5, 100), r.batch(0, 1, 100))
		r.wantOffsets(first, 0, 0, 2)
		r.wantOffsets(second, 3, 6)
		if n := len(r.store.trace()); n != 1 {
			t.Fatalf("%d PUTs", n)
		}
	})
}

func TestSealsFullSegmentsAtOnce(t *testing.T) {
	long := batching.Options{MinLinger: time.Minute, MaxLinger: time.Minute}
	for _, tc := range []struct {
		name  string
		bytes int64
		runs  int
		sizes []int // of batches, each in a request and a partition of its own
		puts  int   // at once, without any linger
	}{
		{name: "below the limits", bytes: 1000, sizes: []int{400, 400}, puts: 0},
		{name: "at the size", bytes: 800, sizes: []int{400, 400}, puts: 1},
		{name: "next would pass the size", bytes: 1000, sizes: []int{400, 400, 400}, puts: 1},
		{name: "next would pass the size of one less than half full", bytes: 1000, sizes: []int{400, 900}, puts: 1},
		{name: "larger than a segment, behind little", bytes: 1000, sizes: []int{400, 5000}, puts: 1},
		{name: "larger than a segment, behind much", bytes: 1000, sizes: []int{600, 5000}, puts: 2},
		{name: "runs", bytes: 1 << 20, runs: 2, sizes: []int{100, 100, 100, 100, 100}, puts: 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := long
				opts.SegmentBytes, opts.SegmentRuns = tc.bytes, tc.runs
				r := start(t, opts)
				for i, size := range tc.sizes {
					r.append(r.batch(int32(i), 1, size))
				}
				synctest.Wait()
				if n := len(r.store.trace()); n != tc.puts {
					t.Fatalf("%d PUTs, want %d", n, tc.puts)
				}
			})
		})
	}
}

func TestOpenSegmentGrowsWhileUploadsAreBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{Uploads: 2, MaxLinger: -1, MinLinger: -1})
		release := make(chan struct{})
		r.store.put = func(_ context.Context, n int, next func() error) error {
			if n <= 2 {
				<-release
			}
			return next()
		}
		var pending []*batching.Pending
		for range 10 {
			pending = append(pending, r.append(r.batch(0, 1, 100)))
			time.Sleep(time.Second)
		}
		if n := len(r.store.trace()); n != 2 {
			t.Fatalf("%d PUTs began, want 2", n)
		}
		close(release)
		for i, p := range pending {
			r.wantOffsets(p, metastore.Offset(i))
		}
		if n := len(r.store.trace()); n != 3 {
			t.Fatalf("%d PUTs, want 3: the third holds all that waited", n)
		}
	})
}

func TestWaitEndsWithItsContextAndTheBatchIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{})
		r.store.put = func(_ context.Context, _ int, next func() error) error {
			time.Sleep(time.Second)
			return next()
		}
		p := r.append(r.batch(0, 1, 100))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait: %v", err)
		}
		select {
		case <-p.Done():
			t.Fatal("done before the commit")
		default:
		}
		<-p.Done()
		r.wantOffsets(p, 0)
	})
}

func TestAppendOfNothingIsDone(t *testing.T) {
	r := start(t, batching.Options{})
	p := r.append()
	<-p.Done()
	if results, err := p.Wait(t.Context()); err != nil || len(results) != 0 {
		t.Fatal(results, err)
	}
}

func TestAppendRefusesBeyondMaxBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{MaxBuffered: 1000})
		first := r.append(r.batch(0, 1, 5000)) // larger than all, but alone
		if _, err := r.w.Append(nil, []batching.Batch{r.batch(0, 1, 100)}); !errors.Is(err, batching.ErrOverloaded) {
			t.Fatalf("Append: %v", err)
		}
		r.wantOffsets(first, 0)
		r.wantOffsets(r.append(r.batch(0, 1, 100)), 1)
	})
}

// Headers of compressed batches are believed, so that small batches can claim many records.
func TestOffsetsOfASegmentFit32Bits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{})
		big := func() batching.Batch {
			b := r.batch(0, 1, 100)
			b.Header.LastOffsetDelta = math.MaxInt32 - 1
			return b
		}
		neighbor := r.append(r.batch(1, 1, 100))
		first, second := r.append(big()), r.append(big())
		r.wantOffsets(first, 0)
		r.wantOffsets(second, math.MaxInt32)
		r.wantOffsets(neighbor, 0)
		if n := len(r.store.trace()); n != 3 {
			t.Errorf("%d PUTs, want 3", n)
		}
		if _, err := r.w.Append(nil, []batching.Batch{big(), big()}); !errors.Is(err, batching.ErrTooManyRecords) {
			t.Fatalf("Append: %v", err)
		}
	})
}

func TestDrainCommitsWhatIsBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{MinLinger: time.Minute, MaxLinger: time.Minute, SegmentBytes: 1000, Uploads: 1})
		r.store.put = func(_ context.Context, _ int, next func() error) error {
			time.Sleep(time.Second)
			return next()
		}
		var pending []*batching.Pending
		for range 10 {
			pending = append(pending, r.append(r.batch(0, 1, 400)))
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		for i, p := range pending {
			r.wantOffsets(p, metastore.Offset(i))
		}
		if _, err := r.w.Append(nil, []batching.Batch{r.batch(0, 1, 100)}); !errors.Is(err, batching.ErrClosed) {
			t.Fatalf("Append after Run: %v", err)
		}
	})
}

func TestDrainEndsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{DrainTimeout: time.Second})
		r.store.put = func(ctx context.Context, _ int, _ func() error) error {
			<-ctx.Done()
			return ctx.Err()
		}
		p := r.append(r.batch(0, 1, 100))
		begin := time.Now()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		took(t, begin, time.Second)
		if _, err := p.Wait(t.Context()); !errors.Is(err, batching.ErrClosed) {
			t.Fatalf("Wait: %v", err)
		}
		if n := len(r.log.calls()); n != 0 {
			t.Fatalf("%d commits of a refused segment", n)
		}
	})
}

func TestRecentHoldsWhatWasCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{RecentBytes: 3000})
		a, b := r.batch(7, 1, 300), r.batch(7, 2, 400)
		r.offsets(r.append(r.batch(3, 1, 100), a, b))
		read := func() ([][]byte, bool) {
			run := r.runs(7)[0]
			return r.w.Recent().Run(run.Segment, run.Position, run.Length)
		}
		got, ok := read()
		if !ok || !slices.EqualFunc(got, [][]byte{a.Bytes, b.Bytes}, slices.Equal) {
			t.Fatalf("recent run: %d slices, %v", len(got), ok)
		}
		run := r.runs(7)[0]
		if _, ok := r.w.Recent().Run(run.Segment, run.Position, run.Length-1); ok {
			t.Fatal("found a run that does not exist")
		}
		r.offsets(r.append(r.batch(3, 1, 900)))
		if _, ok := read(); !ok { // also makes it the last used
			t.Fatal("forgot a segment though there was room")
		}
		r.offsets(r.append(r.batch(3, 1, 900)))
		if _, ok := read(); !ok {
			t.Fatal("forgot the segment that was used last")
		}
		r.offsets(r.append(r.batch(3, 1, 2600)))
		if _, ok := read(); ok {
			t.Fatal("holds more than its bound")
		}
		r.offsets(r.append(r.batch(3, 1, 4000)))
		last := r.runs(3)[len(r.runs(3))-1]
		if _, ok := r.w.Recent().Run(last.Segment, last.Position, last.Length); ok {
			t.Fatal("holds a segment that is larger than its bound")
		}
	})
}

func TestValidate(t *testing.T) {
	for name, opts := range map[string]batching.Options{
		"negative size":                     {SegmentBytes: -1},
		"segment past 32-bit positions":     {SegmentBytes: 5 << 30},
		"negative uploads":                  {Uploads: -1},
		"commit before upload":              {UploadTimeout: time.Minute, CommitTimeout: time.Minute},
		"commit beyond the age of segments": {CommitTimeout: metastore.MaxSegmentAge},
	} {
		if opts.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := (batching.Options{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestHurriedWriterDoesNotWaitForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{})
		lazy := r.batch(0, 1, 100)
		lazy.MaxLinger = time.Minute
		begin := time.Now()
		before := r.append(lazy)
		synctest.Wait()
		r.w.Hurry()
		r.wantOffsets(before, 0)
		r.wantOffsets(r.append(lazy), 1)
		took(t, begin, 0)
	})
}

func TestWriterIsBusyWhileSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, batching.Options{})
		if r.w.Busy() {
			t.Error("before anything was appended")
		}
		p := r.append(r.batch(0, 1, 100))
		if !r.w.Busy() {
			t.Error("not while a batch waits")
		}
		r.offsets(p)
		synctest.Wait()
		if r.w.Busy() {
			t.Error("after the answer")
		}
	})
}
