package harness

import (
	"testing"
	"time"
)

// look is how long lies between two looks at what a test waits for.
const look = 20 * time.Millisecond

// Eventually fails the test at once if something is not so within a time. It is looked at every so often: what other processes
// do tells nobody that it is done.
func Eventually(t testing.TB, what string, within time.Duration, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
