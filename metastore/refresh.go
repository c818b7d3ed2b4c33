package metastore

import (
	"context"
	"sync"
	"time"
)

// refreshes shares looks at the log among those who ask for one.
type refreshes struct {
	mu   sync.Mutex
	next *refresh  // asked for and not begun
	last time.Time // when the last one began
}

type refresh struct {
	done chan struct{}
	err  error // once done is closed
}

// Refresh returns when all that the log held at the time of the call is folded. Calls at the same time share one look.
func (r *Replica) Refresh(ctx context.Context) error {
	r.refreshes.mu.Lock()
	look := r.refreshes.next
	first := look == nil
	if first {
		look = &refresh{done: make(chan struct{})}
		r.refreshes.next = look
	}
	wait := time.Until(r.refreshes.last.Add(r.opts.RefreshPause))
	r.refreshes.mu.Unlock()
	if first {
		look.err = r.refresh(ctx, wait)
		close(look.done)
		return look.err
	}
	select {
	case <-look.done:
		return look.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Replica) refresh(ctx context.Context, wait time.Duration) error {
	err := pause(ctx, wait)
	r.refreshes.mu.Lock()
	r.refreshes.next, r.refreshes.last = nil, time.Now() // who asks from now on needs another
	r.refreshes.mu.Unlock()
	if err != nil {
		return err
	}
	return r.CatchUp(ctx)
}
