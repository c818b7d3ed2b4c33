// Package fault is a store for tests that observes, delays and fails the calls of another.
package fault

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/runnel-io/runnel/objstore"
)

// Op is a method of objstore.Store.
type Op string

// The methods of objstore.Store.
const (
	Put       Op = "PUT"
	Get       Op = "GET"
	GetSuffix Op = "GETSUFFIX"
	List      Op = "LIST"
	Delete    Op = "DELETE"
	Check     Op = "CHECK" // of objstore.Checker
)

// Call is one call of the store.
type Call struct {
	Op     Op
	Key    string   // of Put and the Gets; the prefix of List
	Keys   []string // of Delete
	Offset int64    // of Get
	Length int64    // of the Gets; the bytes of Put

	later func() func(context.Context) error
}

// Later copies what Put or Delete was given, and returns what does the call on the inner store, without hooks: now, or
// when the caller has long had its answer. So a hook that answers with an error can let the call take effect later, as a
// server does that still works on a request when its connection is lost. The other calls have no effect, and no Later: nil.
func (c Call) Later() func(context.Context) error {
	if c.later == nil {
		return nil
	}
	return c.later()
}

// String returns the call as one line of a golden trace.
func (c Call) String() string { return string(c.Append(nil)) }

// Append appends String to b.
func (c Call) Append(b []byte) []byte {
	b = append(b, c.Op...)
	switch c.Op {
	case Check:
		return b
	case Delete:
		return fmt.Appendf(b, " %q", c.Keys)
	}
	b = append(append(b, ' '), c.Key...)
	switch c.Op {
	case Get:
		b = strconv.AppendInt(append(b, ' '), c.Offset, 10)
		b = strconv.AppendInt(append(b, '+'), c.Length, 10)
	case Put, GetSuffix:
		b = strconv.AppendInt(append(b, ' '), c.Length, 10)
	}
	return b
}

// Before runs before a call takes effect; an error is the call's result, and it has none. It may wait: a slow store.
// It runs on the caller's goroutine, many at once.
type Before func(ctx context.Context, call Call) error

// After runs when a call has taken effect, and is told its result; what it returns is the result instead. So a call that
// succeeded can look like one that failed: a lost answer. For List it runs when the listing has ended without an error.
type After func(ctx context.Context, call Call, result error) error

// Store is an objstore.Store that lets hooks decide over the calls of another.
type Store struct {
	inner  objstore.Store
	before atomic.Pointer[Before]
	after  atomic.Pointer[After]
}

var (
	_ objstore.Store   = (*Store)(nil)
	_ objstore.Checker = (*Store)(nil)
)

// Wrap returns a store that does what inner does until hooks are set.
func Wrap(inner objstore.Store) *Store { return &Store{inner: inner} }

// Before sets the hook for calls from now on; nil for none.
func (s *Store) Before(hook Before) { s.before.Store(&hook) }

// After sets the hook for calls from now on; nil for none.
func (s *Store) After(hook After) { s.after.Store(&hook) }

// do runs f between the hooks.
func (s *Store) do(ctx context.Context, call Call, f func() error) error {
	if hook := s.before.Load(); hook != nil && *hook != nil {
		if err := (*hook)(ctx, call); err != nil {
			return err
		}
	}
	err := f()
	if hook := s.after.Load(); hook != nil && *hook != nil {
		return (*hook)(ctx, call, err)
	}
	return err
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, parts [][]byte) error {
	later := func() func(context.Context) error {
		whole := slices.Concat(parts...)
		return func(ctx context.Context) error { return s.inner.Put(ctx, key, [][]byte{whole}) }
	}
	return s.do(ctx, Call{Op: Put, Key: key, Length: objstore.Size(parts), later: later}, func() error {
		return s.inner.Put(ctx, key, parts)
	})
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	return s.get(ctx, Call{Op: Get, Key: key, Offset: offset, Length: length}, func() ([]byte, error) {
		return s.inner.Get(ctx, key, offset, length)
	})
}

// GetSuffix implements objstore.Store.
func (s *Store) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	return s.get(ctx, Call{Op: GetSuffix, Key: key, Length: length}, func() ([]byte, error) {
		return s.inner.GetSuffix(ctx, key, length)
	})
}

func (s *Store) get(ctx context.Context, call Call, f func() ([]byte, error)) ([]byte, error) {
	var data []byte
	err := s.do(ctx, call, func() (err error) {
		data, err = f()
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		ended := false // an error was passed on, or the caller wants no more
		err := s.do(ctx, Call{Op: List, Key: prefix}, func() error {
			for o, err := range s.inner.List(ctx, prefix, startAfter) {
				if ended = err != nil || ended; !yield(o, err) {
					ended = true
					break
				}
			}
			return nil
		})
		if err != nil && !ended {
			yield(objstore.Object{}, err)
		}
	}
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, keys []string) error {
	later := func() func(context.Context) error {
		mine := slices.Clone(keys)
		return func(ctx context.Context) error { return s.inner.Delete(ctx, mine) }
	}
	return s.do(ctx, Call{Op: Delete, Keys: keys, later: later}, func() error { return s.inner.Delete(ctx, keys) })
}

// Check implements objstore.Checker.
func (s *Store) Check(ctx context.Context) error {
	return s.do(ctx, Call{Op: Check}, func() error {
		if checker, ok := s.inner.(objstore.Checker); ok {
			return checker.Check(ctx)
		}
		return ctx.Err()
	})
}
