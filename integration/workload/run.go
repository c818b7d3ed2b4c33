package workload

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// run is a workload on its way.
type run struct {
	Options
	keys    *keys
	shelf   shelf
	again   *incarnations
	variant variant

	mu      sync.Mutex
	foreign []error // records that nobody here has written
}

// Run drives a cluster for a while, heals it, reads everything, and returns what the recorder has by then. An error that
// begins with "stuck" says what did not come in the final phase; the history is there nevertheless.
func Run(ctx context.Context, o Options) (*history.History, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &run{
		Options: o, variant: variantOf(o.Seed), shelf: shelf{end: map[history.Partition]int64{}}, again: &incarnations{byID: map[[16]byte]string{}, ids: map[string][16]byte{}},
		keys: &keys{start: time.Now(), count: int64(o.Keys), rotate: o.Rotate, created: map[string]bool{}, told: map[string]bool{}},
	}
	o.Recorder.Clock(time.Now())
	o.Recorder.Trails(o.Trailing)
	if o.Movers > 0 {
		o.Recorder.Pipeline(history.Pipeline{From: pipelineFrom, To: pipelineTo, Group: pipelineGroup})
	}
	err = r.drive(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	return o.Recorder.History(o.Seed), errors.Join(append([]error{err}, r.foreign...)...)
}

// drive is the load, and what comes after it.
func (r *run) drive(ctx context.Context) error {
	load, stopLoad := context.WithTimeout(ctx, r.Duration)
	defer stopLoad()
	drained, stopMovers := context.WithCancel(ctx)
	defer stopMovers()

	var loading, moving sync.WaitGroup
	var failed errorsOf
	number := 0
	start := func(wg *sync.WaitGroup, what func(number int) error) {
		n := number
		number++
		wg.Go(func() { failed.add(what(n)) })
	}
	for range r.Workers {
		start(&loading, func(n int) error { return r.newWorker(n).work(ctx, load) })
	}
	for _, address := range r.Brokers {
		start(&loading, func(n int) error { return r.newObserver(n, address).observe(ctx, load) })
	}
	start(&loading, func(n int) error { return r.newObserver(n, "").wander(ctx, load) })
	start(&loading, func(n int) error { return r.newScanner(n).scan(ctx, load) })
	start(&loading, func(n int) error { return r.newRecreator(n).recreate(ctx, load) })
	start(&loading, func(n int) error { return r.newAlterer(n).alter(ctx, load) })
	start(&loading, func(n int) error { return (&untimer{worker: r.newWorker(n)}).write(ctx, load) })
	if r.Movers > 0 {
		start(&loading, func(n int) error { return (&feeder{r.newWorker(n)}).feed(ctx, load) })
		start(&loading, func(n int) error { return (&bookkeeper{worker: r.newWorker(n)}).keep(ctx, load) })
	}
	for range r.Movers {
		start(&moving, func(n int) error { return (&mover{worker: r.newWorker(n)}).move(ctx, drained) })
	}

	<-load.Done()
	r.Heal()
	loading.Wait()
	r.Settle()
	final, cancel := context.WithTimeout(ctx, r.Final)
	defer cancel()
	draining, stop := context.WithTimeout(final, r.Final/2)
	defer stop()
	f := &finale{run: r, number: number}
	failed.add(f.drain(draining))
	stopMovers()
	moving.Wait()
	if ctx.Err() == nil {
		failed.add(f.readAll(final))
	}
	return failed.join()
}

// errorsOf collects what went wrong, from any goroutine.
type errorsOf struct {
	mu  sync.Mutex
	all []error
}

func (e *errorsOf) add(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, err)
}

func (e *errorsOf) join() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(e.all...)
}

// decoded reads a record. One that cannot be read stands in the history as an operation of its own.
func (r *run) decoded(k *kgo.Record) history.Record {
	record, err := decode(k)
	if err != nil {
		op := r.Recorder.Begin(history.Operation{Kind: history.Admin, Text: "foreign record"})
		r.Recorder.End(op, history.Failed, err)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.foreign = append(r.foreign, err)
	}
	return record
}
