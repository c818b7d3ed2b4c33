package batching

import (
	"context"
	"errors"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/hedge"
)

// putOnce is one attempt: a PUT, and a second one beside it if that is late. The first that succeeds counts; an object
// that exists is one of our own, because nobody else has the id. The other is cancelled and not waited for: it only
// reads what is written no more. Run waits for it.
func (w *Writer) putOnce(ctx context.Context, key string, object [][]byte, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, w.opts.AttemptTimeout)
	defer cancel()
	_, second, err := hedge.Do(ctx, &w.late, size, w.puts.Go, func(ctx context.Context) (struct{}, error) {
		err := w.store.Put(ctx, key, object)
		if errors.Is(err, objstore.ErrExists) {
			err = nil
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
