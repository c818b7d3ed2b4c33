package hedge

import (
	"context"
	"time"
)

// Outcome is what became of the second request.
type Outcome struct {
	Sent bool // there was one
	Won  bool // it was faster than the first
}

// Do makes a request of so many bytes, and a second one beside it if that is late. The first that succeeds counts; an
// error is returned when none is under way any more. The other is cancelled and not waited for: goroutines runs both, and
// knows when they have ended.
func Do[T any](ctx context.Context, e *Estimator, size int64, goroutines func(func()),
	request func(context.Context) (T, error)) (T, Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	late := time.NewTimer(e.Began(size))
	defer late.Stop()
	type answer struct {
		value  T
		err    error
		second bool
	}
	answers := make(chan answer, 2)
	send := func(second bool) {
		goroutines(func() {
			value, err := request(ctx)
			answers <- answer{value, err, second}
		})
	}
	send(false)
	var outcome Outcome
	for running := 1; ; {
		select {
		case a := <-answers:
			running--
			if a.err == nil {
				e.Took(size, time.Since(start))
				outcome.Won = a.second
				return a.value, outcome, nil
			}
			if running == 0 {
				return a.value, outcome, a.err
			}
		case <-late.C:
			if e.Allow() {
				outcome.Sent = true
				send(true)
				running++
			}
		}
	}
}
