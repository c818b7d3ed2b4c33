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
	over    chan struct{} // closed when nothing new is begun
	healed  chan struct{} // to be closed when all is mended
	quiet   chan struct{} // closed when all that was begun has an answer, or was given up
	settled chan struct{} // to be closed when nothing of it can take effect any more

	working sync.WaitGroup
	mu      sync.Mutex
	errs    []error
}

// startLoad begins, until ctx ends or the time of the options is over.
func startLoad(ctx context.Context, o options, c *cluster, java *javaLoad, recorder *history.Recorder) *load {
	l := &load{over: make(chan struct{}), healed: make(chan struct{}), quiet: make(chan struct{}), settled: make(chan struct{})}
	javaEnded := make(chan struct{})
	l.working.Go(func() {
		defer close(javaEnded)
		ctx, cancel := context.WithTimeout(ctx, o.load)
		defer cancel()
		if err := java.run(ctx); err != nil {
			l.add(fmt.Errorf("the Java clients: %w", err))
		}
	})
	over, quiet := sync.OnceFunc(func() { close(l.over) }), sync.OnceFunc(func() { close(l.quiet) })
	l.working.Go(func() {
		defer quiet()
		defer over() // also of a workload that does not come so far
		_, err := workload.Run(ctx, workload.Options{
			Seed: o.seed, Seeds: c.seeds(), Recorder: recorder, Duration: o.load,
			// A long run has not more topics than a short one has time for.
			Rotate: max(5*time.Second, o.load/60),
			Final:  2*time.Minute + o.load/4,
			// Rounds take longer than in a simulation where processors are short and stores are slow.
			Trailing: time.Minute,
			Heal: func() {
				over()
				await(ctx, l.healed)
			},
			Settle: func() {
				await(ctx, javaEnded)
				quiet()
				await(ctx, l.settled)
			},
		})
		if err != nil {
			l.add(fmt.Errorf("the workload: %w", err))
		}
	})
	return l
}

func await(ctx context.Context, c <-chan struct{}) {
	select {
	case <-c:
	case <-ctx.Done():
	}
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
