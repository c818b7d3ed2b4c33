package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

const (
	// stalled is how long nothing has to succeed to be told of.
	stalled = 10 * time.Second
	// recovery is how long after the last fault nothing may succeed. A request to the bucket is given up after 20 s without
	// a byte, and transactions and memberships of clients that cannot go on are held for as long as their timeouts say.
	recovery = 45 * time.Second
	// recoveryOfAll is that for a cluster in which not one worker gets on.
	recoveryOfAll = 20 * time.Second
)

// stall is a period in which no operation succeeded.
type stall struct {
	Who      string
	From, To time.Duration
	// Faults are those that were there in this time, or ended in the moment before.
	Faults []string
	// Since is how long it went on after the last of them had ended; all of it if there were none.
	Since time.Duration
	// Unexplained: that is longer than recovery takes.
	Unexplained bool
}

// String is a line of the report.
func (s stall) String() string {
	text := fmt.Sprintf("%s: nothing succeeded from %.1f s to %.1f s", s.Who, s.From.Seconds(), s.To.Seconds())
	if s.Unexplained {
		text = "UNEXPLAINED: " + text
	}
	if len(s.Faults) == 0 {
		return text + "; no fault was there"
	}
	return fmt.Sprintf("%s, until %.1f s after the last of: %s", text, max(0, s.Since).Seconds(), strings.Join(s.Faults, "; "))
}

// worstStalls are those to be told of among many: all that are unexplained or everyone's, and of the others those that went
// on longest after what explains them.
func worstStalls(all []stall) (worst []stall, left int) {
	const others = 10
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b stall) int { return cmp.Compare(b.Since, a.Since) })
	told := 0
	for _, s := range sorted {
		switch {
		case s.Unexplained || s.Who == everyone:
			worst = append(worst, s)
		case told < others:
			worst = append(worst, s)
			told++
		default:
			left++
		}
	}
	return worst, left
}

// everyone is who stalls if the cluster does.
const everyone = "everyone"

// stalls finds the periods without success of each worker and of all together, between the begin of the load and its end.
func stalls(h *history.History, deeds []deed, load time.Duration) []stall {
	successes := map[string][]time.Duration{everyone: {0}}
	for i := range h.Operations {
		o := &h.Operations[i]
		if o.Final || o.Kind == history.Fault || o.Kind == history.Observe || o.Begun.At > load {
			continue
		}
		who := fmt.Sprintf("worker %d", o.Worker)
		successes[who] = append(successes[who], 0) // whoever tried is looked at, whatever came of it
		if succeeds(o) {
			successes[who] = append(successes[who], min(o.Ended.At, load))
			successes[everyone] = append(successes[everyone], min(o.Ended.At, load))
		}
	}
	var all []stall
	for _, who := range slices.Sorted(maps.Keys(successes)) {
		times := slices.Sorted(slices.Values(append(successes[who], load)))
		last := times[0]
		for _, t := range times[1:] {
			if t-last > stalled {
				all = append(all, explain(stall{Who: who, From: last, To: t}, deeds))
			}
			last = t
		}
	}
	slices.SortStableFunc(all, func(a, b stall) int { return cmp.Compare(a.From, b.From) })
	return all
}

// succeeds tells whether an operation shows that the cluster works: there was an answer, and what it was asked for.
func succeeds(o *history.Operation) bool {
	if o.Outcome != history.OK || o.Ended.Never() {
		return false
	}
	switch o.Kind {
	case history.Poll: // which is content with nothing
		return slices.ContainsFunc(o.Steps, func(s history.Step) bool { return len(s.Read) > 0 })
	case history.Produce, history.Transaction, history.CommitOffsets, history.FetchOffsets, history.DeleteRecords:
		return true
	case history.Observe, history.Admin, history.Assign, history.Subscribe, history.Rewind, history.Assigned, history.Revoked, history.Fault:
		return false // others than the load's, or the client's own affair
	}
	return false
}

// explain finds the faults of a stall. It is unexplained if it lasts longer, without any fault, than recovery may take.
func explain(s stall, deeds []deed) stall {
	allowed := recovery
	if s.Who == everyone {
		allowed = recoveryOfAll
	}
	last := s.From
	for _, d := range slices.SortedStableFunc(slices.Values(deeds), func(a, b deed) int { return cmp.Compare(a.From, b.From) }) {
		if d.From >= s.To || d.To <= s.From-moment {
			continue
		}
		s.Unexplained = s.Unexplained || d.From-last > allowed
		s.Faults = append(s.Faults, fmt.Sprintf("%s (%.1f to %.1f s)", d.Fault, d.From.Seconds(), d.To.Seconds()))
		last = max(last, d.To)
	}
	s.Since = s.To - last
	if len(s.Faults) == 0 {
		s.Since, s.Unexplained = s.To-s.From, true
		return s
	}
	s.Unexplained = s.Unexplained || s.Since > allowed
	return s
}

// moment is how long after a fault what it broke may show: a connection that was lost without a word, a session of a member
// that was not heard of.
const moment = 10 * time.Second
