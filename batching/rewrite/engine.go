package rewrite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/runnel-io/runnel/metastore"
)

// Engine does jobs. It has no state between them, and may do several at a time, each in memory of its own.
type Engine struct {
	store   Store
	log     Log
	opts    Options
	metrics *metrics
}

// New makes an engine. One is enough for a broker: its metrics are registered once.
func New(store Store, log Log, opts Options) (*Engine, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	return &Engine{store: store, log: log, opts: opts, metrics: newMetrics(opts.Registerer)}, nil
}

// Options are those of the engine, defaults filled in.
func (e *Engine) Options() Options { return e.opts }

// ErrInvalid: the parts of a job are not what Part says, or not in order.
var ErrInvalid = errors.New("invalid job")

// Read gives the batches of parts to visit, in order. Parts come by topic id (its bytes) and partition, each partition
// once. The results are by part: nil, ErrCorrupt, or the error of visit; either ends the part, and the others go on.
// The error is that of the whole: a *SegmentError, ErrInvalid, or that of ctx.
func (e *Engine) Read(ctx context.Context, parts []Part, visit func(part int, b Batch) error) ([]error, error) {
	if err := check(parts); err != nil {
		return nil, err
	}
	var n counts
	defer e.count(&n)
	results := make([]error, len(parts))
	err := e.read(ctx, parts, results, &n, visit)
	return results, err
}

// read is Read, and fills in results.
func (e *Engine) read(ctx context.Context, parts []Part, results []error, n *counts, visit func(part int, b Batch) error) error {
	p := makePlan(parts, e.opts.ReadBytes, e.opts.Reads)
	loads := newLoader(ctx, p, e.store, &e.opts, n)
	defer loads.stop()
	s := newSource(parts, p, loads)
	for {
		part, b, err := s.next(ctx)
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, ErrCorrupt):
			e.metrics.corrupt.Inc()
			e.opts.Logger.Error("run cannot be rewritten", "partition", parts[part].TopicPartition.String(), "error", err)
			results[part] = err
			continue
		case err != nil:
			return err
		}
		if err := visit(part, b); err != nil {
			var stop *stopError
			if errors.As(err, &stop) {
				return stop.error
			}
			results[part] = err
			s.skip()
		}
	}
}

// stopError is that of a visit which ends everything.
type stopError struct{ error }

// check tells whether parts are as they should be.
func check(parts []Part) error {
	for i := range parts {
		p := &parts[i]
		if len(p.Runs) == 0 || len(p.Runs) > MaxPartRuns {
			return fmt.Errorf("%w: %d runs of partition %s", ErrInvalid, len(p.Runs), p.TopicPartition)
		}
		if i > 0 && compare(parts[i-1].TopicPartition, p.TopicPartition) >= 0 {
			return fmt.Errorf("%w: partition %s twice, or out of order", ErrInvalid, p.TopicPartition)
		}
		for j := range p.Runs {
			if r := &p.Runs[j]; r.Records <= 0 || j > 0 && r.Base < p.Runs[j-1].End() {
				return fmt.Errorf("%w: partition %s: run of %d offsets at %d", ErrInvalid, p.TopicPartition, r.Records, r.Base)
			}
		}
	}
	return nil
}

func compare(a, b metastore.TopicPartition) int {
	return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
}

// count adds what a job did to the metrics.
func (e *Engine) count(n *counts) {
	e.metrics.read.Add(float64(n.read.Load()))
	e.metrics.written.Add(float64(n.written.Load()))
	e.metrics.gets.Add(float64(n.gets.Load()))
	e.metrics.objects.Add(float64(n.objects.Load()))
}
