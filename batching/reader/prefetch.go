package reader

import (
	"context"
	"sync"

	"github.com/runnel-io/runnel/metastore"
)

// prefetch loads the first windows of runs, some ahead of the one that is walked. Runs of one read mostly lie in as
// many objects; one GET after the other would make a catch-up read as slow as their sum.
type prefetch struct {
	reader  *Reader
	runs    []metastore.Run
	window  uint32
	begun   []*load // by run; those that were not begun are missing at the end
	running sync.WaitGroup
}

// load is the first window of a run, to be read when done is closed.
type load struct {
	done  chan struct{} // nil if parts were in memory, or are left to the walk
	parts [][]byte
	err   error
}

// get returns the walk over run i, with its first window. Calls are in order of i. The loads that it begins end with
// ctx, and are to be waited for.
func (p *prefetch) get(ctx context.Context, i int) (*walk, error) {
	for len(p.begun) < min(len(p.runs), i+p.reader.opts.Ahead) {
		p.begun = append(p.begun, p.begin(ctx, p.runs[len(p.begun)]))
	}
	l := p.begun[i]
	p.begun[i] = nil
	if l.done != nil {
		<-l.done
	}
	if l.err != nil {
		return nil, l.err
	}
	return p.reader.begin(p.runs[i], p.window, l.parts), nil
}

func (p *prefetch) begin(ctx context.Context, run metastore.Run) *load {
	l := &load{}
	var ok bool
	if l.parts, ok = p.reader.inMemory(run); ok || len(p.runs) == 1 { // the walk of a single run may load it itself
		return l
	}
	l.done = make(chan struct{})
	p.running.Go(func() {
		defer close(l.done)
		l.parts, l.err = p.reader.load(ctx, run, 0, min(p.window, run.Length))
	})
	return l
}
