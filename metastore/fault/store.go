// Package fault is a metastore for tests that observes, delays and fails the calls of another.
package fault

import (
	"context"
	"sync/atomic"

	"github.com/runnel-io/runnel/metastore"
)

// Before runs before a call takes effect; an error is the call's result, and it has none (see Call.Later). It may wait: a
// slow metastore. It runs on the caller's goroutine, many at once.
type Before func(ctx context.Context, call Call) error

// After runs when a call has taken effect, and is told its result; what it returns is the result instead. So a call that
// succeeded can look like one that failed: a lost answer. Calls that fail return nothing else.
type After func(ctx context.Context, call Call, result error) error

// Store is a metastore.Store that lets hooks decide over the calls of another. Brokers that share a metastore each have
// one, so that each has faults of its own.
type Store struct {
	inner  metastore.Store
	before atomic.Pointer[Before]
	after  atomic.Pointer[After]
}

var _ metastore.Store = (*Store)(nil)

// Wrap returns a store that does what inner does until hooks are set.
func Wrap(inner metastore.Store) *Store { return &Store{inner: inner} }

// Before sets the hook for calls from now on; nil for none.
func (s *Store) Before(hook Before) { s.before.Store(&hook) }

// After sets the hook for calls from now on; nil for none.
func (s *Store) After(hook After) { s.after.Store(&hook) }

// Close closes the inner store. No hook runs.
func (s *Store) Close() error { return s.inner.Close() }

// ask runs f between the hooks. own returns f on copies of what the caller may change after the call; nil if there is no
// such thing.
func ask[T any](ctx context.Context, s *Store, call Call, f func(context.Context) (T, error), own func() func(context.Context) (T, error)) (T, error) {
	var none T
	call.later = func() func(context.Context) error {
		g := f
		if own != nil {
			g = own()
		}
		return func(ctx context.Context) error {
			_, err := g(ctx)
			return err
		}
	}
	if hook := s.before.Load(); hook != nil && *hook != nil {
		if err := (*hook)(ctx, call); err != nil {
			return none, err
		}
	}
	result, err := f(ctx)
	if hook := s.after.Load(); hook != nil && *hook != nil {
		err = (*hook)(ctx, call, err)
	}
	if err != nil {
		return none, err
	}
	return result, nil
}

// tell is ask for calls that return an error alone.
func (s *Store) tell(ctx context.Context, call Call, f func(context.Context) error, own func() func(context.Context) error) error {
	type nothing = struct{}
	lift := func(f func(context.Context) error) func(context.Context) (nothing, error) {
		return func(ctx context.Context) (nothing, error) { return nothing{}, f(ctx) }
	}
	var owned func() func(context.Context) (nothing, error)
	if own != nil {
		owned = func() func(context.Context) (nothing, error) { return lift(own()) }
	}
	_, err := ask(ctx, s, call, lift(f), owned)
	return err
}
