package wire

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the bytes of all frames that are read, held or being read, over the connections that share it. When it
// is spent, sockets are not read: TCP pushes back, first come first served.
type Budget struct {
	capacity int64
	sem      *semaphore.Weighted
}

// NewBudget makes a budget of so many bytes, 1 or more.
func NewBudget(capacity int64) *Budget {
	capacity = max(capacity, 1)
	return &Budget{capacity: capacity, sem: semaphore.NewWeighted(capacity)}
}

// acquire takes n bytes, or the whole budget for a frame that is larger, and returns how much is to be released.
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
