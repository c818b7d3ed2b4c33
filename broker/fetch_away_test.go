package broker

import (
	"testing"
	"time"
)

func TestPaceGoesOnWhenTheClockIsSetBack(t *testing.T) {
	var p pace
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {0, false}, {time.Second, true}, {999 * time.Millisecond, false}, {-time.Hour, true}, {0, false}, {time.Second, true}} {
		at = at.Add(step.after)
		if got := p.allow(at, time.Second); got != step.want {
			t.Errorf("%v later: allowed is %v, want %v", step.after, got, step.want)
		}
	}
}
