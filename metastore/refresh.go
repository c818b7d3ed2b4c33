package metastore

import (
	"context"
	"errors"
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
	for {
		shared, err := r.shareRefresh(ctx)
		if !shared || err == nil || ctx.Err() != nil || !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		// Who began the look went away or had less time than we have: take its place.
	}
}

// shareRefresh joins the look that is asked for, or begins one. shared: it was somebody else's.
func (r *Replica) shareRefresh(ctx context.Context) (shared bool, err error) {
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
		return false, look.err
	}
	select {
	case <-look.done:
		return true, look.err
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

func (r *Replica) refresh(ctx context.Context, wait time.Duration) error {
	err := pause(ctx, wait)
	r.refreshes.mu.Lock()
	r.refreshes.next = nil // who asks from now on needs another
	if err == nil {
		r.refreshes.last = time.Now()
	}
	r.refreshes.mu.Unlock()
	if err != nil {
		return err
	}
	return r.CatchUp(ctx)
}
