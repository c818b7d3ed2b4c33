package wire

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the bytes of all frames that are read, held or being read, over the connections that share it. When it
// is spent, sockets are not read: TCP pushes back, first come first served.
//
// A frame takes its whole size before its body is read, so that frames that are half there never wait for each other.
// That alone would let peers that announce frames and do not send them shut everybody out. So large frames can have
// half of the budget at most, and while somebody waits, frames that do not get on are given up.
type Budget struct {
	capacity int64
	sem      *semaphore.Weighted
	large    *semaphore.Weighted // of which frames above largeFrame take too
	patience time.Duration       // while somebody waits, a frame must arrive at leastRate after it

	mu      sync.Mutex
	reading map[*arrival]struct{}
}

// largeFrame is above what producers send by default (max.request.size of 1 MiB, and librdkafka's 1,000,000 bytes).
const largeFrame = 2 << 20

const leastRate = 64 << 10 // bytes per second

// NewBudget makes a budget of so many bytes, 1 or more.
func NewBudget(capacity int64) *Budget {
	capacity = max(capacity, 1)
	return &Budget{
		capacity: capacity, sem: semaphore.NewWeighted(capacity), large: semaphore.NewWeighted(max(capacity/2, 1)),
		patience: 2 * time.Second, reading: make(map[*arrival]struct{}),
	}
}

// grant is what a request has of a Budget.
type grant struct {
	budget      *Budget
	size, large int64
}

// take takes n bytes for a frame, or the whole budget for a frame that is larger.
func (b *Budget) take(ctx context.Context, n int64) (grant, error) {
	g := grant{budget: b}
	if n <= largeFrame && n <= b.capacity && b.sem.TryAcquire(n) {
		g.size = n
		return g, nil
	}
	stop := b.pressWhileWaiting()
	defer stop()
	if n > largeFrame {
		large := min(n, max(b.capacity/2, 1))
		if err := b.large.Acquire(ctx, large); err != nil {
			return g, err
		}
		g.large = large
	}
	size, err := b.acquire(ctx, n)
	if err != nil {
		g.release()
		return g, err
	}
	g.size = size
	return g, nil
}

func (g *grant) release() {
	if g.size > 0 {
		g.budget.sem.Release(g.size)
	}
	if g.large > 0 {
		g.budget.large.Release(g.large)
	}
	g.size, g.large = 0, 0
}

// acquire takes n bytes, or the whole budget if that is less, and returns how much is to be released.
func (b *Budget) acquire(ctx context.Context, n int64) (int64, error) {
	n = min(n, b.capacity)
	return n, b.sem.Acquire(ctx, n)
}

func (b *Budget) release(n int64) { b.sem.Release(n) }

// acquireSome takes n bytes, or a half, a quarter and so on of them if so many are not there, but waits for least.
func (b *Budget) acquireSome(ctx context.Context, n, least int64) (int64, error) {
	n = min(n, b.capacity)
	for ; n > least; n = max(n/2, least) {
		if b.sem.TryAcquire(n) {
			return n, nil
		}
	}
	return b.acquire(ctx, n)
}

// pressWhileWaiting gives frames up that do not get on, again and again until stop.
func (b *Budget) pressWhileWaiting() (stop func()) {
	var mu sync.Mutex
	var timer *time.Timer
	stopped := false
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(b.patience/2, func() {
		b.press(time.Now())
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			timer.Reset(b.patience / 2)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

func (b *Budget) press(now time.Time) {
	var late []*arrival
	b.mu.Lock()
	for a := range b.reading {
		if a.late(now, b.patience) {
			late = append(late, a)
			delete(b.reading, a)
		}
	}
	b.mu.Unlock()
	for _, a := range late {
		a.giveUp()
	}
}
