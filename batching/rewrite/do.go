package rewrite

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-io/runnel/batching/recordbatch"
)

// Do rewrites parts, which are as Read wants them, into new objects, and has the log replace their runs. The report is
// there with an error too: a part that is neither replaced nor known to be refused then has the error as its result, and
// whether it was replaced is for the log to tell.
func (e *Engine) Do(ctx context.Context, parts []Part) (Report, error) {
	if err := check(parts); err != nil {
		return Report{}, err
	}
	report := Report{Results: make([]error, len(parts))}
	n := &counts{}
	for i := range report.Results {
		report.Results[i] = errUndone
	}
	err := e.do(ctx, parts, &report, n)
	for i, result := range report.Results {
		if errors.Is(result, errUndone) && err != nil {
			report.Results[i] = err
		}
		if result != nil && !errors.Is(result, ErrRefused) {
			e.metrics.parts.WithLabelValues(string(failed)).Inc()
		}
	}
	e.count(n)
	report.BytesRead, report.BytesWritten = n.read.Load(), n.written.Load()
	report.Gets, report.Objects = int(n.gets.Load()), int(n.objects.Load())
	return report, err
}

var errUndone = errors.New("the job did not get to it")

func (e *Engine) do(ctx context.Context, parts []Part, report *Report, n *counts) error {
	o := &output{engine: e, parts: parts, counts: n, report: report, at: -1}
	ctx, cancel := context.WithCancel(ctx)
	defer o.close()
	defer cancel()                       // before close waits
	results := make([]error, len(parts)) // of those that cannot be read or cleaned
	defer func() {
		for i, result := range results {
			if result != nil {
				report.Results[i] = result
			}
		}
	}()
	err := e.read(ctx, parts, results, n, func(part int, b Batch) error {
		if part != o.at {
			if err := o.turn(ctx, part, results); err != nil {
				return &stopError{err}
			}
		}
		return o.take(ctx, b)
	})
	if err != nil {
		return err
	}
	if err := o.turn(ctx, -1, results); err != nil {
		return err
	}
	return o.flush(ctx)
}

// turn ends the part at hand, whose result is known, and goes on to another; -1: there is none.
func (o *output) turn(ctx context.Context, to int, results []error) error {
	if o.at >= 0 {
		if results[o.at] != nil {
			o.drop()
		} else if err := o.end(ctx); err != nil {
			return err
		}
	}
	if to < 0 {
		return nil
	}
	return o.begin(ctx, to)
}

// take takes a batch of the part at hand, as its Clean leaves it.
func (o *output) take(ctx context.Context, b Batch) error {
	clean := o.parts[o.at].Clean
	if clean == nil {
		err := o.add(ctx, b.Header, b.Bytes, b.Run)
		if err == nil || errors.As(err, new(*stopError)) {
			return err
		}
		return &CorruptError{Run: o.parts[o.at].Runs[b.Run], Reason: err} // such as offsets that tier 1 has no room for
	}
	kept, err := clean(b)
	if err != nil || kept == nil {
		return err
	}
	h, err := cleaned(b.Header, kept)
	if err != nil {
		return fmt.Errorf("partition %s: %w", o.parts[o.at].TopicPartition, err)
	}
	return o.add(ctx, h, kept, b.Run)
}

var errCleaned = errors.New("cleaning made a batch that is none")

// cleaned checks what is left of a batch.
func cleaned(of recordbatch.Header, b []byte) (recordbatch.Header, error) {
	h, err := recordbatch.ParseHeader(b)
	switch {
	case err != nil:
		return h, fmt.Errorf("%w: %w", errCleaned, err)
	case h.Size() != len(b):
		return h, fmt.Errorf("%w: %d bytes of %d", errCleaned, len(b), h.Size())
	case h.BaseOffset < of.BaseOffset || h.LastOffset() > of.LastOffset() || h.Records < 0 || h.Records > of.Records:
		return h, fmt.Errorf("%w: %d records from offset %d to %d, of %d from %d to %d", errCleaned,
			h.Records, h.BaseOffset, h.LastOffset(), of.Records, of.BaseOffset, of.LastOffset())
	case h.CRC != recordbatch.Checksum(b):
		return h, fmt.Errorf("%w: its CRC is wrong", errCleaned)
	}
	return h, nil
}
