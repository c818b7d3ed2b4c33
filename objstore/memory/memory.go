// Package memory keeps objects in a map. It is the store of simulations and of a broker without a data directory.
package memory

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runnel-io/runnel/objstore"
)

// Store is an objstore.Store in memory. What it holds is gone with the process.
type Store struct {
	mu      sync.RWMutex
	objects map[string]object
	bytes   int64 // sum of the objects' sizes
}

type object struct {
	data     []byte // never changed once stored
	modified time.Time
}

var (
	_ objstore.Store   = (*Store)(nil)
	_ objstore.Checker = (*Store)(nil)
)

// New returns an empty store.
func New() *Store {
	return &Store{objects: make(map[string]object)}
}

// Bytes returns the sum of the sizes of all objects.
func (s *Store) Bytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.bytes
}

// Len returns how many objects there are.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.objects)
}

// Put implements objstore.Store. It copies parts.
func (s *Store) Put(ctx context.Context, key string, parts [][]byte) error {
	if err := admit(ctx, "put", key); err != nil {
		return err
	}
	data := slices.Concat(parts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; ok {
		return fmt.Errorf("put %s: %w", key, objstore.ErrExists)
	}
	s.objects[key] = object{data: data, modified: time.Now()}
	s.bytes += int64(len(data))
	return nil
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	data, err := s.find(ctx, key)
	if err != nil {
		return nil, err
	}
	size := int64(len(data))
	if offset < 0 || offset >= size || length < 0 {
		return nil, fmt.Errorf("get %s: %w", key, objstore.ErrRange)
	}
	return slices.Clone(data[offset : offset+min(length, size-offset)]), nil
}

// GetSuffix implements objstore.Store.
func (s *Store) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	data, err := s.find(ctx, key)
	if err != nil {
		return nil, err
	}
	size := int64(len(data))
	return slices.Clone(data[size-min(max(length, 0), size):]), nil
}

func (s *Store) find(ctx context.Context, key string) ([]byte, error) {
	if err := admit(ctx, "get", key); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.objects[key]
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, objstore.ErrNotFound)
	}
	return o.data, nil
}

// List implements objstore.Store. It yields the objects of the moment at which the iteration began.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		for _, o := range s.snapshot(prefix, startAfter) {
			if err := ctx.Err(); err != nil {
				yield(objstore.Object{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(objstore.Object{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

func (s *Store) snapshot(prefix, startAfter string) []objstore.Object {
	s.mu.RLock()
	var found []objstore.Object
	for key, o := range s.objects {
		if key > startAfter && strings.HasPrefix(key, prefix) {
			found = append(found, objstore.Object{Key: key, Size: int64(len(o.data)), Modified: o.modified})
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(found, func(a, b objstore.Object) int { return strings.Compare(a.Key, b.Key) })
	return found
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := admit(ctx, "delete", key); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		s.bytes -= int64(len(s.objects[key].data))
		delete(s.objects, key)
	}
	return nil
}

// Check implements objstore.Checker.
func (s *Store) Check(ctx context.Context) error { return ctx.Err() }

func admit(ctx context.Context, op, key string) error {
	if err := objstore.ValidKey(key); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}
