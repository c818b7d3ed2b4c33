package readahead

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/objstore"
)

// bodies is a store whose answers are read as those of HTTP are.
type bodies struct {
	mu   sync.Mutex
	read []reading
}

type reading struct {
	key   string
	bytes int
	at    time.Time
}

// body notes what is read of it.
type body struct {
	store *bodies
	key   string
}

func (b body) Read(p []byte) (int, error) {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	b.store.read = append(b.store.read, reading{b.key, len(p), time.Now()})
	return len(p), nil
}

func (s *bodies) GetInto(ctx context.Context, key string, _ int64, buf []byte) (int, error) {
	return objstore.ReadFull(ctx, body{s, key}, buf)
}

func (s *bodies) Get(context.Context, string, int64, int64) ([]byte, error) {
	return nil, io.ErrUnexpectedEOF
}

// readSlowly loads an object of 4 MiB for each of some readers, at a rate of 256 MiB/s, and returns when all are there.
func readSlowly(t *testing.T, readers int) *bodies {
	t.Helper()
	store := &bodies{}
	p := New(store, Options{})
	defer p.Close()
	p.Hurry()
	p.manners.rate = 256 << 20
	p.manners.looking = true // nobody else changes it
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			h := p.Hold()
			defer h.Release()
			if _, err := h.Read(t.Context(), fmt.Sprint(i), objstore.Range{Length: 4 << 20}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return store
}

// TestLoadsBesideTheTailComeInPieces: what is allowed for 16 ms does not come at once, to take the processors for as long as it
// takes, and then nothing.
func TestLoadsBesideTheTailComeInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		store := readSlowly(t, 4)
		if took := time.Since(began); took < 58*time.Millisecond || took > 64*time.Millisecond {
			t.Errorf("16 MiB at 256 MiB/s took %v", took)
		}
		const most = 2 << 20 // in 5 ms: 1.25 MiB, what there is credit for, and pieces that begin together
		for first := range store.read {
			bytes := 0
			for _, r := range store.read[first:] {
				if r.at.Sub(store.read[first].at) < 5*time.Millisecond {
					bytes += r.bytes
				}
			}
			if bytes > most {
				t.Fatalf("%d bytes within 5 ms from %v on", bytes, store.read[first].at.Sub(began))
			}
		}
	})
}

// TestLoadsBesideTheTailShareTheRate: none of several readers waits for all of what another wants.
func TestLoadsBesideTheTailShareTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := readSlowly(t, 3)
		loaded := map[string]int{}
		for _, r := range store.read {
			loaded[r.key] += r.bytes
			for i := range 3 {
				if behind := loaded[r.key] - loaded[fmt.Sprint(i)]; behind > 1<<20 {
					t.Fatalf("%s has %d bytes more than %d", r.key, behind, i)
				}
			}
		}
	})
}

// TestNothingIsLearntFromSlowedLoads: the store goes on while a load waits, and seems fast.
func TestNothingIsLearntFromSlowedLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(&bodies{}, Options{})
		defer p.Close()
		load := func(key string) {
			if !p.Ahead(key, []objstore.Range{{Length: 4 << 20}}, 0) {
				t.Fatal("no room")
			}
			time.Sleep(time.Second)
			p.Hurry() // goes on
		}
		learnt := func() int {
			p.gets.mu.Lock()
			defer p.gets.mu.Unlock()
			return p.gets.sizes[0].count
		}
		load("a")
		if got := learnt(); got != 1 {
			t.Errorf("learnt from %d loads that were not slowed down, of one", got)
		}
		p.manners.mu.Lock()
		p.manners.rate, p.manners.looking = 256<<20, true
		p.manners.mu.Unlock()
		load("b")
		if got := learnt(); got != 1 {
			t.Errorf("learnt from %d loads, of one that was not slowed down", got)
		}
	})
}

// TestLateTimersCostNoRate: who comes a little late for his turn has the next one earlier.
func TestLateTimersCostNoRate(t *testing.T) {
	var c courtesy
	now := time.Unix(1000, 0)
	began := now
	const piece, pieces = 128 << 10, 1000
	for range pieces {
		c.hurry(now)
		c.rate = 256 << 20
		if wait, _ := c.begin(now, piece); wait > 0 {
			now = now.Add(wait + time.Millisecond)
		}
	}
	if took, want := now.Sub(began), 488*time.Millisecond; took < want-want/100 || took > want+want/20 {
		t.Errorf("%v for what is to take %v", took, want)
	}
	now = now.Add(time.Second) // nothing is saved up
	began = now
	for range 100 {
		c.hurry(now)
		if wait, _ := c.begin(now, piece); wait > 0 {
			now = now.Add(wait)
		}
	}
	if took := now.Sub(began); took < 45*time.Millisecond {
		t.Errorf("after a while without loads: %v for what is to take 50 ms", took)
	}
}
