package hedge

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/objstore"
)

// Source is what a Getter needs of a store.
type Source interface {
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
}

// Getter sends a second GET beside one that is late. What it costs: at most one GET more in 20, and goroutines.
type Getter struct {
	store   Source
	late    Estimator
	gets    sync.WaitGroup
	metrics metrics
}

// NewGetter makes a Getter of a store's objects. reg may be nil.
func NewGetter(store Source, reg prometheus.Registerer) *Getter {
	return &Getter{store: store, metrics: newMetrics(reg)}
}

type metrics struct {
	second, won prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		second: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_hedge_second_gets_total", Help: "Second GETs of a range beside one that was late."}),
		won: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_hedge_second_gets_won_total", Help: "Second GETs that were faster than the first."}),
	}
	if reg != nil {
		reg.MustRegister(m.second, m.won)
	}
	return m
}

// Close waits for GETs that were overtaken, and cancelled. No Get may begin after it.
func (g *Getter) Close() { g.gets.Wait() }

// found is an answer of the store; that there is no such object, or range, is one too.
type found struct {
	data []byte
	err  error
}

// Get is the store's.
func (g *Getter) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	answer, second, err := Do(ctx, &g.late, length, g.gets.Go, func(ctx context.Context) (found, error) {
		data, err := g.store.Get(ctx, key, offset, length)
		if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange) || errors.Is(err, objstore.ErrInvalidKey) {
			return found{err: err}, nil
		}
		return found{data: data}, err
	})
	if second.Sent {
		g.metrics.second.Inc()
	}
	if second.Won {
		g.metrics.won.Inc()
	}
	if err != nil {
		return nil, err
	}
	return answer.data, answer.err
}
