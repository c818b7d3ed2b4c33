// Package hedge sends a second request beside one to the object store that is late.
package hedge

import (
	"math/bits"
	"slices"
	"sync"
	"time"
)

const (
	// floor is the shortest wait for a second request: below it there is little to win, and noise would cause it.
	floor = 50 * time.Millisecond
	// unknown is the wait while too few requests of the size were seen.
	unknown = 2 * time.Second
	// share is the largest share of requests that may have a second one, and saved how many of those are saved up.
	share = 0.05
	saved = 10

	window  = 256 // requests of a size that the estimate is made of
	least   = 32  // before there is one
	refresh = 16  // new ones before it is made again
)

// Estimator decides when a request is so late that a second one is worth it: beyond what 99 of 100 of its size took
// lately. When all are slow, the budget keeps the second ones from making it worse. All methods may run concurrently; they
// are told the time. The zero value is ready.
type Estimator struct {
	mu     sync.Mutex
	sizes  [8]times // by powers of 4 from 4 KiB
	tokens float64
}

// times are the latest times of requests of about one size.
type times struct {
	took     [window]time.Duration
	n        int // ever
	estimate time.Duration
}

func (e *Estimator) of(size int64) *times {
	class := (bits.Len64(uint64(size)>>12) + 1) / 2
	return &e.sizes[min(class, len(e.sizes)-1)]
}

// Began counts a request of so many bytes and tells after what time it is late.
func (e *Estimator) Began(size int64) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tokens = min(e.tokens+share, saved)
	t := e.of(size)
	if t.n < least {
		return unknown
	}
	return max(t.estimate, floor)
}

// Allow takes a second request from the budget.
func (e *Estimator) Allow() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tokens < 1 {
		return false
	}
	e.tokens--
	return true
}

// Took notes the time that a request took. Of a late one whose second was faster it is the time until then, so that it
// counts as late, and the estimate follows a store that became slow.
func (e *Estimator) Took(size int64, d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.of(size)
	t.took[t.n%window] = d
	t.n++
	if t.n >= least && t.n%refresh == 0 {
		sorted := slices.Clone(t.took[:min(t.n, window)])
		slices.Sort(sorted)
		t.estimate = sorted[len(sorted)*99/100]
	}
}
