package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/runnel-io/runnel/integration/history"
	"github.com/runnel-io/runnel/integration/workload"
)

// load is what clients do: those of franz-go, which also read everything in the end, and those of Java.
type load struct {
	over   chan struct{} // closed when nothing new is begun
	healed chan struct{} // to be closed when all is mended

	working sync.WaitGroup
	mu      sync.Mutex
	errs    []error
}

// startLoad begins, until ctx ends or the time of the options is over.
func startLoad(ctx context.Context, o options, c *cluster, java *javaLoad, recorder *history.Recorder) *load {
	l := &load{over: make(chan struct{}), healed: make(chan struct{})}
	l.working.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, o.load)
		defer cancel()
		if err := java.run(ctx); err != nil {
			l.add(fmt.Errorf("the Java clients: %w", err))
		}
	})
	l.working.Go(func() {
		_, err := workload.Run(ctx, workload.Options{
			Seed: o.seed, Seeds: c.seeds(), Recorder: recorder, Duration: o.load,
			// A long run has not more topics than a short one has time for.
			Rotate: max(5*time.Second, o.load/60),
			Final:  2*time.Minute + o.load/4,
			Heal: func() {
				close(l.over)
				select {
				case <-l.healed:
				case <-ctx.Done():
				}
			},
		})
		if err != nil {
			l.add(fmt.Errorf("the workload: %w", err))
		}
	})
	return l
}

func (l *load) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// wait returns what went wrong once everybody has stopped.
func (l *load) wait() []error {
	l.working.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs
}
