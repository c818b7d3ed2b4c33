package batching

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/hedge"
)

// putOnce is one attempt: a PUT, and a second one beside it if that is late. The first that succeeds counts; an object
// that exists is one of our own, because nobody else has the id, once it can be read. The other is cancelled and not
// waited for: it only reads what is written no more. Run waits for it.
func (w *Writer) putOnce(ctx context.Context, key string, object [][]byte, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, w.opts.AttemptTimeout)
	defer cancel()
	_, second, err := hedge.Do(ctx, &w.late, size, w.puts.Go, func(ctx context.Context) (struct{}, error) {
		err := w.store.Put(ctx, key, object)
		if errors.Is(err, objstore.ErrExists) {
			err = w.confirm(ctx, key, size)
		}
		return struct{}{}, err
	})
	if second.Sent {
		w.metrics.hedges.Inc()
	}
	if second.Won {
		w.metrics.hedgesWon.Inc()
	}
	return err
}

// confirm makes sure that an object which is said to exist is there to its last byte. Stores were seen to say so of
// one that another PUT was about to publish, and might have failed to.
func (w *Writer) confirm(ctx context.Context, key string, size int64) error {
	if _, err := w.store.Get(ctx, key, size-1, 1); err != nil {
		return fmt.Errorf("read an object that is said to exist: %w", err)
	}
	return nil
}
