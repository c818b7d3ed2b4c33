package chaos

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// nemesis carries a schedule out.
type nemesis struct {
	*cluster
	recorder *history.Recorder
	now      func() time.Duration // since the load began, as in the history
	log      func(format string, args ...any)

	ending     map[*broker]<-chan error // brokers that were told to end
	badExits   int                      // how many of them did not end well
	rebuilding chan error               // a standby that is being made
	done       []deed
}

// deed is a fault as it was.
type deed struct {
	strike
	From, To time.Duration // until it was ended, and what it broke runs again
}

func newNemesis(c *cluster, recorder *history.Recorder, now func() time.Duration, log func(string, ...any)) *nemesis {
	return &nemesis{cluster: c, recorder: recorder, now: now, log: log, ending: make(map[*broker]<-chan error)}
}

func (n *nemesis) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	n.log("%6.1fs %s", n.now().Seconds(), text)
	n.recorder.Happened(history.Operation{Kind: history.Fault, Text: text})
}

// step is the begin or the end of a strike.
type step struct {
	at    time.Duration
	index int
	ends  bool
}

// run does what the schedule says, one step after the other, each at its time or as soon as the one before is done. All that
// began ends, also when ctx does. It must be called by the test's own goroutine.
func (n *nemesis) run(ctx context.Context, t testing.TB, schedule []strike) {
	t.Helper()
	var steps []step
	for i, s := range schedule {
		steps = append(steps, step{s.At, i, false}, step{s.ends(), i, true})
	}
	began := make(map[int]time.Duration)
	for len(steps) > 0 {
		slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
		st := steps[0]
		steps = steps[1:]
		select {
		case <-time.After(st.at - n.now()):
		case <-ctx.Done():
		}
		s := schedule[st.index]
		from, active := began[st.index]
		switch {
		case st.ends && !active, !st.ends && ctx.Err() != nil:
			// It did not begin, or need not.
		case st.ends && n.stillEnding(s):
			const pause = 50 * time.Millisecond
			st.at = n.now() + pause
			steps = append(steps, st)
			time.Sleep(pause) // also once ctx has ended
		case st.ends:
			// What is broken has to be mended for whatever comes after.
			if err := n.do(context.WithoutCancel(ctx), s, faultNamed(s.Fault).end); err != nil {
				t.Fatalf("end of a fault: %v", err)
			}
			n.done = append(n.done, deed{s, from, n.now()})
			n.note("ended: %s%s", s.Fault, n.names(s))
		case n.stillBroken(s):
			n.note("left out, as what it breaks is not whole yet: %s%s", s.Fault, n.names(s))
		default:
			began[st.index] = n.now()
			n.note("%s%s", s.Fault, n.names(s))
			if err := n.do(ctx, s, faultNamed(s.Fault).begin); err != nil {
				t.Fatalf("begin of a fault: %v", err)
			}
		}
	}
}

// stillEnding tells whether a strike befalls a broker that was told to end and drains, or a server whose standby is being made.
// Both are bounded, and nothing else waits for them.
func (n *nemesis) stillEnding(s strike) bool {
	if faultNamed(s.Fault).breaks == server && n.rebuilding != nil && len(n.rebuilding) == 0 {
		return true
	}
	return slices.ContainsFunc(s.Brokers, func(i int) bool {
		ending := n.ending[n.brokers[i]]
		return ending != nil && len(ending) == 0
	})
}

// stillBroken tells whether a strike would befall what an earlier one has not given back: also a broker that has drained
// later than was planned, and is down until somebody looks.
func (n *nemesis) stillBroken(s strike) bool {
	return n.stillEnding(s) || slices.ContainsFunc(s.Brokers, func(i int) bool { return n.ending[n.brokers[i]] != nil })
}

// names are those whom a strike befalls.
func (n *nemesis) names(s strike) string {
	text := ""
	for i, b := range s.Brokers {
		text += cmp.Or(map[bool]string{true: " at "}[i == 0], ", ") + n.brokers[b].name
	}
	return text
}
