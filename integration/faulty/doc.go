// Package faulty stands between a broker and its servers and breaks what they say to each other, at random and as the
// network and the servers do: before a request is done, and after it was done but before its answer arrived.
package faulty

import (
	"math/rand/v2"
	"sync"
)

// draws are random and may be used by many at once.
type draws struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newDraws(seed uint64) *draws { return &draws{rng: rand.New(rand.NewPCG(seed, 7))} }

// of draws a number below n.
func (d *draws) of(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}
