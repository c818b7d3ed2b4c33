package faults

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestNobodyIsLaterThanLatest: whoever looked at the clock at some time, and counts on from there by a clock that does not jump.
func TestNobodyIsLaterThanLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		type look struct{ shown, at time.Time }
		looks := []look{{c.Now(), time.Now()}}
		for _, jump := range []time.Duration{-3 * time.Second, 3 * time.Second, 2 * time.Second, -2 * time.Second, time.Second} {
			time.Sleep(time.Second)
			c.Jump(jump)
			looks = append(looks, look{c.Now(), time.Now()})
			for _, l := range looks {
				if counted := l.shown.Add(time.Since(l.at)); counted.After(c.Latest()) {
					t.Errorf("after a jump by %v, somebody is at %v, and the latest is %v", jump, counted, c.Latest())
				}
			}
		}
		if ahead := time.Until(c.Latest()); ahead != 2*time.Second {
			t.Errorf("the latest is ahead by %v", ahead)
		}
	})
}
