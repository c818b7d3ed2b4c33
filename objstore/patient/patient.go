// Package patient reads from a store that fails now and then: each request is made a few times, a little later each time. It is
// for commands that look through a whole bucket, where one failure should not cost all that was read before it; brokers have
// ways of their own.
package patient

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/runnel-io/runnel/objstore"
)

// Source is what is read from; an objstore.Store is one.
type Source interface {
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
	GetSuffix(ctx context.Context, key string, length int64) ([]byte, error)
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error]
}

// Reader makes requests several times, unless their errors are of those that asking again does not change.
type Reader struct {
	from     Source
	attempts int
}

// New makes a reader that asks so many times, 1 at least, before it gives up.
func New(from Source, attempts int) Reader { return Reader{from, attempts} }

// Get is objstore.Store's.
func (r Reader) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return r.read(ctx, func() ([]byte, error) { return r.from.Get(ctx, key, offset, length) })
}

// GetSuffix is objstore.Store's.
func (r Reader) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	return r.read(ctx, func() ([]byte, error) { return r.from.GetSuffix(ctx, key, length) })
}

func (r Reader) read(ctx context.Context, request func() ([]byte, error)) ([]byte, error) {
	for failures := 1; ; failures++ {
		b, err := request()
		if err == nil || failures >= r.attempts || errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange) {
			return b, err
		}
		if Pause(ctx, failures) != nil {
			return nil, err
		}
	}
}

// List is objstore.Store's. After an error it goes on behind the last object, which would pass over some if they were not in
// the order of their keys: so that is an error, and no attempt mends it. Each object that comes begins the attempts anew.
func (r Reader) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		last := startAfter
		for failures := 0; ; {
			var failed error
			for o, err := range r.from.List(ctx, prefix, last) {
				if failed = err; err != nil {
					break
				}
				if o.Key <= last {
					yield(o, fmt.Errorf("the object store lists %q after %q: not in the order of keys", o.Key, last))
					return
				}
				last, failures = o.Key, 0
				if !yield(o, nil) {
					return
				}
			}
			if failed == nil {
				return
			}
			if failures++; failures >= r.attempts || Pause(ctx, failures) != nil {
				yield(objstore.Object{}, failed)
				return
			}
		}
	}
}

// Pause waits after a failure, twice as long after each further one, from 0.2 s on.
func Pause(ctx context.Context, failures int) error {
	t := time.NewTimer(100 * time.Millisecond << failures)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
