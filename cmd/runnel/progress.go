package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress keeps one line on a terminal up to date; on anything else it writes nothing.
type progress struct {
	w    io.Writer
	line func() string
	stop chan struct{}
	done sync.WaitGroup
}

// startProgress shows what line returns, which is called from another goroutine, until close.
func startProgress(w io.Writer, line func() string) *progress {
	p := &progress{w: w, line: line, stop: make(chan struct{})}
	if isTerminal(w) {
		p.done.Go(p.run)
	}
	return p
}

func (p *progress) run() {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			fmt.Fprintf(p.w, "\r\033[K%s", p.line())
		case <-p.stop:
			fmt.Fprint(p.w, "\r\033[K")
			return
		}
	}
}

// close removes the line.
func (p *progress) close() {
	close(p.stop)
	p.done.Wait()
}
