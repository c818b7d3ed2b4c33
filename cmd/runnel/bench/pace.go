package bench

import (
	"context"
	"time"
)

// Pace spaces events evenly. A latency is counted from when its event was due, not from when the sender got round to it:
// a system that stalls would else hide its stall by stopping the sender, too.
type Pace struct {
	start    time.Time
	interval time.Duration // 0: as fast as it goes
}

// NewPace is for one of several senders, numbered from 0, that share a rate of events per second; 0 is as fast as it
// goes. Their events fall between each other's.
func NewPace(start time.Time, rate float64, sender, senders int) Pace {
	if rate <= 0 {
		return Pace{start: start}
	}
	interval := time.Duration(float64(senders) / rate * float64(time.Second))
	return Pace{start: start.Add(interval * time.Duration(sender) / time.Duration(senders)), interval: interval}
}

// Wait waits until the nth event, from 0, is due, and tells since when that has been so: now, if there is no rate.
func (p Pace) Wait(ctx context.Context, n int64) (due time.Time, err error) {
	if p.interval == 0 {
		return time.Now(), ctx.Err()
	}
	due = p.start.Add(p.interval * time.Duration(n))
	return due, SleepUntil(ctx, due)
}

// SleepUntil returns at a time, or with ctx's error before.
func SleepUntil(ctx context.Context, at time.Time) error {
	left := time.Until(at)
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
