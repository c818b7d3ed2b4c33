package batching

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/objstore"
)

const (
	// hedgeFloor is the shortest wait for a second PUT: below it there is little to win, and noise would cause it.
	hedgeFloor = 50 * time.Millisecond
	// hedgeUnknown is the wait while too few PUTs of the size were seen.
	hedgeUnknown = 2 * time.Second
	// hedgeShare is the largest share of PUTs that may have a second one, and hedgeSaved how many of those are saved up.
	hedgeShare = 0.05
	hedgeSaved = 10

	hedgeWindow  = 256 // PUTs of a size that the estimate is made of
	hedgeLeast   = 32  // before there is one
	hedgeRefresh = 16  // new ones before it is made again
)

// hedges decides when a PUT is so late that a second one of the same object is worth it: beyond what 99 of 100 of its
// size took lately. When all are slow, the budget keeps the second ones from making it worse. All methods may run
// concurrently; they are told the time.
type hedges struct {
	mu     sync.Mutex
	sizes  [8]putTimes // by powers of 4 from 4 KiB
	tokens float64
}

// putTimes are the latest times of PUTs of about one size.
type putTimes struct {
	times    [hedgeWindow]time.Duration
	n        int // ever
	estimate time.Duration
}

func (h *hedges) of(size int64) *putTimes {
	class := (bits.Len64(uint64(size)>>12) + 1) / 2
	return &h.sizes[min(class, len(h.sizes)-1)]
}

// began counts a PUT and tells after what time it is late.
func (h *hedges) began(size int64) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens = min(h.tokens+hedgeShare, hedgeSaved)
	t := h.of(size)
	if t.n < hedgeLeast {
		return hedgeUnknown
	}
	return max(t.estimate, hedgeFloor)
}

// allow takes a second PUT from the budget.
func (h *hedges) allow() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tokens < 1 {
		return false
	}
	h.tokens--
	return true
}

// took notes the time that a PUT took. Of a late one whose second was faster it is the time until then, so that it
// counts as late, and the estimate follows a store that became slow.
func (h *hedges) took(size int64, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.of(size)
	t.times[t.n%hedgeWindow] = d
	t.n++
	if t.n >= hedgeLeast && t.n%hedgeRefresh == 0 {
		sorted := slices.Clone(t.times[:min(t.n, hedgeWindow)])
		slices.Sort(sorted)
		t.estimate = sorted[len(sorted)*99/100]
	}
}

// putOnce is one attempt: a PUT, and a second one beside it if that is late. The first that succeeds counts; an object
// that exists is one of our own, because nobody else has the id. The other is cancelled and not waited for: it only
// reads what is written no more. Run waits for it.
func (w *Writer) putOnce(ctx context.Context, key string, object [][]byte, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, w.opts.AttemptTimeout)
	defer cancel()
	start := time.Now()
	late := time.NewTimer(w.hedges.began(size))
	defer late.Stop()
	type outcome struct {
		err    error
		second bool
	}
	ended := make(chan outcome, 2)
	put := func(second bool) {
		w.puts.Go(func() {
			err := w.store.Put(ctx, key, object)
			if errors.Is(err, objstore.ErrExists) {
				err = nil
			}
			ended <- outcome{err, second}
		})
	}
	put(false)
	for running := 1; ; {
		select {
		case o := <-ended:
			running--
			if o.err == nil {
				w.hedges.took(size, time.Since(start))
				if o.second {
					w.metrics.hedgesWon.Inc()
				}
				return nil
			}
			if running == 0 {
				return o.err
			}
		case <-late.C:
			if w.hedges.allow() {
				w.metrics.hedges.Inc()
				put(true)
				running++
			}
		}
	}
}
