// Package metered counts and times the requests to a store.
package metered

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/objstore"
)

// Store is an objstore.Store that passes calls on to another and keeps metrics of them:
//
//	runnel_objstore_requests_total{op,outcome}  calls
//	runnel_objstore_request_seconds{op}         how long they took, of List without the time its caller took
//	runnel_objstore_bytes_total{op}             bytes of objects put, and returned by get and get_suffix
//
// op is put, get, get_suffix, list or delete. outcome is ok, exists, not_found, range, invalid_key, cancelled (by the
// caller, or its deadline passed) or error.
type Store struct {
	inner   objstore.Store
	metrics metrics
}

var (
	_ objstore.Store      = (*Store)(nil)
	_ objstore.Checker    = (*Store)(nil)
	_ objstore.IntoGetter = (*Store)(nil)
)

// New returns a store that keeps its metrics in reg. A registry takes one.
func New(inner objstore.Store, reg prometheus.Registerer) *Store {
	return &Store{inner: inner, metrics: newMetrics(reg)}
}

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_objstore_requests_total",
			Help: "Calls of the object store by operation and outcome.",
		}, []string{"op", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "runnel_objstore_request_seconds",
			Help:    "Duration of calls of the object store, retries included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 17), // 0.5 ms to 33 s
		}, []string{"op"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_objstore_bytes_total",
			Help: "Bytes of objects put and read by successful calls.",
		}, []string{"op"}),
	}
	reg.MustRegister(m.requests, m.seconds, m.bytes)
	return m
}

func (m metrics) observe(op string, took time.Duration, bytes int64, err error) {
	m.requests.WithLabelValues(op, outcome(err)).Inc()
	m.seconds.WithLabelValues(op).Observe(took.Seconds())
	if err == nil && bytes > 0 {
		m.bytes.WithLabelValues(op).Add(float64(bytes))
	}
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, objstore.ErrExists):
		return "exists"
	case errors.Is(err, objstore.ErrNotFound):
		return "not_found"
	case errors.Is(err, objstore.ErrRange):
		return "range"
	case errors.Is(err, objstore.ErrInvalidKey):
		return "invalid_key"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled"
	}
	return "error"
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, parts [][]byte) error {
	began := time.Now()
	err := s.inner.Put(ctx, key, parts)
	s.metrics.observe("put", time.Since(began), objstore.Size(parts), err)
	return err
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	began := time.Now()
	data, err := s.inner.Get(ctx, key, offset, length)
	s.metrics.observe("get", time.Since(began), int64(len(data)), err)
	return data, err
}

// GetInto implements objstore.IntoGetter. It counts as a get.
func (s *Store) GetInto(ctx context.Context, key string, offset int64, buf []byte) (int, error) {
	began := time.Now()
	n, err := objstore.GetInto(ctx, s.inner, key, offset, buf)
	s.metrics.observe("get", time.Since(began), int64(n), err)
	return n, err
}

// GetSuffix implements objstore.Store.
func (s *Store) GetSuffix(ctx context.Context, key string, length int64) ([]byte, error) {
	began := time.Now()
	data, err := s.inner.GetSuffix(ctx, key, length)
	s.metrics.observe("get_suffix", time.Since(began), int64(len(data)), err)
	return data, err
}

// List implements objstore.Store. A listing is one call, however many requests it takes.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error] {
	return func(yield func(objstore.Object, error) bool) {
		began := time.Now()
		var elsewhere time.Duration // in the caller's loop
		var last error
		for o, err := range s.inner.List(ctx, prefix, startAfter) {
			last = err
			left := time.Now()
			more := yield(o, err)
			elsewhere += time.Since(left)
			if !more {
				break
			}
		}
		s.metrics.observe("list", time.Since(began)-elsewhere, 0, last)
	}
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, keys []string) error {
	began := time.Now()
	err := s.inner.Delete(ctx, keys)
	s.metrics.observe("delete", time.Since(began), 0, err)
	return err
}

// Check implements objstore.Checker. It is not counted.
func (s *Store) Check(ctx context.Context) error {
	if checker, ok := s.inner.(objstore.Checker); ok {
		return checker.Check(ctx)
	}
	return ctx.Err()
}
