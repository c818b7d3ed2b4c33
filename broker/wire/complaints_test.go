package wire

import (
	"testing"
	"time"
)

func TestComplaintsAreFewPerSecond(t *testing.T) {
	var c complaints
	now := time.Unix(1e9, 0)
	logged := 0
	for range 1000 {
		if _, ok := c.next(now); ok {
			logged++
		}
	}
	if logged != complaintsPerSecond {
		t.Errorf("%d lines in a second", logged)
	}
	if suppressed, ok := c.next(now.Add(time.Second)); !ok || suppressed != 1000-complaintsPerSecond {
		t.Errorf("then %v, %d not logged", ok, suppressed)
	}
}
