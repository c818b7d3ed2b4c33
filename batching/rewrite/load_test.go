package rewrite

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/memory"
)

// slowStore takes its time, more or less, and knows how much is asked for at the same time.
type slowStore struct {
	*memory.Store
	latency         func() time.Duration
	fail            func(key string) error
	flying, highest atomic.Int64
}

func (s *slowStore) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	s.highest.Store(max(s.highest.Load(), s.flying.Add(1)))
	defer s.flying.Add(-1)
	select {
	case <-time.After(s.latency()):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.fail != nil {
		if err := s.fail(key); err != nil {
			return nil, err
		}
	}
	return s.Store.Get(ctx, key, offset, length)
}

// store puts objects that are long enough for all runs, with bytes that tell where they are.
func (s *slowStore) put(t *testing.T, p *plan) {
	t.Helper()
	ends := make([]int64, len(p.objects))
	for _, n := range p.needs {
		ends[n.object] = max(ends[n.object], int64(n.position)+int64(n.length))
	}
	for i, id := range p.objects {
		object := make([]byte, ends[i])
		for j := range object {
			object[j] = byte(i + j)
		}
		if err := s.Put(t.Context(), segment.Key(id), [][]byte{object}); err != nil {
			t.Fatal(err)
		}
	}
}

// consume takes every need's bytes in order, as a source does, and checks them; of some needs it takes none.
func consume(t *testing.T, p *plan, l *loader, rng *rand.Rand) error {
	for _, n := range p.needs {
		skip := rng.IntN(20) == 0
		at, end := int64(n.position), int64(n.position)+int64(n.length)
		for c := n.chunk; at < end; {
			x := p.chunks[c]
			to := min(end, x.to)
			if !skip {
				buf, err := l.take(t.Context(), c)
				if err != nil {
					return err
				}
				for i, b := range buf[at-x.from : to-x.from] {
					if b != byte(int64(n.object)+at+int64(i)) {
						t.Fatalf("byte %d of object %d is %d", at+int64(i), n.object, b)
					}
				}
			}
			l.spent(c)
			at, c = to, x.next
		}
	}
	return nil
}

// TestLoaderKeepsItsBound: whatever takes how long, everything comes, in memory of the bound, or of one smallest chunk for
// each object in use and each read of what is needed no more, and with no more reads at a time than allowed.
func TestLoaderKeepsItsBound(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			parts := randomParts(rng, 1<<(5+rng.IntN(10)))
			opts := Options{ReadBytes: int64(1) << (12 + rng.IntN(10)), Reads: 1 + rng.IntN(5)}.withDefaults()
			p := makePlan(parts, opts.ReadBytes, opts.Reads)
			s := &slowStore{Store: memory.New(), latency: func() time.Duration { return time.Duration(rand.IntN(50)) * time.Millisecond }}
			s.put(t, p)
			l := newLoader(t.Context(), p, s, &opts, &counts{})
			defer l.stop()
			if err := consume(t, p, l, rng); err != nil {
				t.Fatal(err)
			}
			l.workers.Wait() // for what nobody needed any more
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.peak > max(opts.ReadBytes, int64(p.overlap()+opts.Reads)*p.size) || l.used != 0 || s.highest.Load() > int64(opts.Reads) {
				t.Fatalf("%d bytes of %d at most, %d at the end; %d reads at a time of %d", l.peak, opts.ReadBytes, l.used, s.highest.Load(), opts.Reads)
			}
		})
	}
}

// TestLoaderNeverWaitsForItself: with far too little memory, what is needed is loaded all the same.
func TestLoaderNeverWaitsForItself(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			opts := Options{ReadBytes: 1}.withDefaults()
			p := makePlan(randomParts(rng, 10_000), opts.ReadBytes, opts.Reads)
			s := &slowStore{Store: memory.New(), latency: func() time.Duration { return time.Millisecond }}
			s.put(t, p)
			l := newLoader(t.Context(), p, s, &opts, &counts{})
			defer l.stop()
			if err := consume(t, p, l, rng); err != nil {
				t.Fatal(err)
			}
			if most := int64(p.overlap()) * smallestChunk; l.peak > most {
				t.Fatalf("%d bytes, where %d are needed at a time", l.peak, most)
			}
		})
	}
}

// TestLoaderTriesAgain: errors of the store that may go away are no errors, unless they stay; what is missing is told at
// once.
func TestLoaderTriesAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		failures int
		err      error
		gets     int64
		want     error
	}{
		"some failures":  {3, errors.New("busy"), 4, nil},
		"only failures":  {1000, context.DeadlineExceeded, attempts, context.DeadlineExceeded},
		"missing":        {1, objstore.ErrNotFound, 1, objstore.ErrNotFound},
		"range is wrong": {1, objstore.ErrRange, 1, errShort},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := Options{}.withDefaults()
				rng := rand.New(rand.NewPCG(1, 1))
				p := makePlan(randomParts(rng, 10_000)[:1], opts.ReadBytes, opts.Reads)
				s := &slowStore{Store: memory.New(), latency: func() time.Duration { return 0 }}
				s.fail = func(string) error {
					if tc.failures--; tc.failures >= 0 {
						return tc.err
					}
					return nil
				}
				s.put(t, p)
				p.chunks = p.chunks[:1]
				var n counts
				l := newLoader(t.Context(), p, s, &opts, &n)
				defer l.stop()
				_, err := l.take(t.Context(), 0)
				if !errors.Is(err, tc.want) || n.gets.Load() != tc.gets {
					t.Fatalf("%d reads: %v", n.gets.Load(), err)
				}
				var of *SegmentError
				if errors.As(err, &of) != (tc.want != nil && tc.want != errShort) || of != nil && of.Segment != p.objects[0] {
					t.Fatalf("%v is not told as what it is", err)
				}
			})
		})
	}
}

// TestLoaderStops: when its context ends, so does a wait for what does not come.
func TestLoaderStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := Options{}.withDefaults()
		p := makePlan(randomParts(rand.New(rand.NewPCG(1, 1)), 10_000), opts.ReadBytes, opts.Reads)
		s := &slowStore{Store: memory.New(), latency: func() time.Duration { return time.Hour }}
		ctx, cancel := context.WithCancelCause(t.Context())
		l := newLoader(ctx, p, s, &opts, &counts{})
		defer l.stop()
		reason := errors.New("shutting down")
		time.AfterFunc(time.Second, func() { cancel(reason) })
		if _, err := l.take(ctx, 0); !errors.Is(err, reason) && !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}
