package history

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Summary counts what a history holds, for reports and for the assertion that a run did something.
type Summary struct {
	Seed       uint64                   `json:"seed"`
	Lasted     time.Duration            `json:"lasted"`
	Operations map[Kind]map[Outcome]int `json:"operations"`

	Sent        int `json:"sent"`         // records
	Acked       int `json:"acked"`        // of these: the send is OK
	Refused     int `json:"refused"`      // of these: it Failed
	Read        int `json:"read"`         // records that polls returned before the final ones, each time that one did
	FinallyRead int `json:"finally_read"` // the same of final polls

	Committed int `json:"committed"` // transactions
	Aborted   int `json:"aborted"`   // asked to abort, failed to commit, or never decided
	InDoubt   int `json:"in_doubt"`  // asked to commit, and no answer that tells

	// Errors of operations and steps, by name: that of the protocol where the text has one.
	Errors map[string]int `json:"errors,omitempty"`
}

// Summarize counts.
func Summarize(h *History) Summary {
	s := Summary{Seed: h.Seed, Operations: map[Kind]map[Outcome]int{}, Errors: map[string]int{}}
	names := map[string]string{}
	failed := func(text string) {
		if text == "" {
			return
		}
		if _, known := names[text]; !known {
			names[text] = errorName(text)
		}
		s.Errors[names[text]]++
	}
	for i := range h.Operations {
		o := &h.Operations[i]
		s.Lasted = max(s.Lasted, o.Begun.At, o.Ended.At)
		if s.Operations[o.Kind] == nil {
			s.Operations[o.Kind] = map[Outcome]int{}
		}
		s.Operations[o.Kind][o.Outcome]++
		failed(o.Error)
		if o.Kind == Transaction {
			s.countTransaction(o)
		}
		for j := range o.Steps {
			failed(o.Steps[j].Error)
			s.countStep(o, &o.Steps[j])
		}
	}
	return s
}

func (s *Summary) countTransaction(o *Operation) {
	switch o.Fate() {
	case OK:
		s.Committed++
	case Failed:
		s.Aborted++
	case Unknown:
		s.InDoubt++
	}
}

func (s *Summary) countStep(o *Operation, step *Step) {
	if o.Final {
		s.FinallyRead += len(step.Read)
	} else {
		s.Read += len(step.Read)
	}
	if step.Send == nil {
		return
	}
	s.Sent++
	switch step.Outcome {
	case OK:
		s.Acked++
	case Failed:
		s.Refused++
	}
}

// Fate tells of a Transaction whether it is committed: OK it is, Failed it is not and never will be, since nobody asked for
// it or who asked was refused, Unknown it may be.
func (o *Operation) Fate() Outcome {
	if o.Deciding.Never() || !o.Commit {
		return Failed
	}
	return o.Outcome
}

var (
	protocolName = regexp.MustCompile(`\b[A-Z]+(_[A-Z]+)+\b`)
	digits       = regexp.MustCompile(`[0-9]+`)
)

// errorName is what errors are counted by: without it each would be counted alone, since texts hold ports and offsets.
func errorName(text string) string {
	if name := protocolName.FindString(text); name != "" {
		return name
	}
	const longest = 100
	text = strings.ReplaceAll(digits.ReplaceAllString(text, "#"), "\n", "; ") // errors.Join puts each on a line of its own
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}

// String gives some lines of text, the same for the same history.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %v\n", s.Seed, s.Lasted)
	fmt.Fprintf(&b, "records: %d sent, %d acknowledged, %d refused, %d read, %d read finally\n", s.Sent, s.Acked, s.Refused, s.Read, s.FinallyRead)
	fmt.Fprintf(&b, "transactions: %d committed, %d aborted, %d in doubt\n", s.Committed, s.Aborted, s.InDoubt)
	for _, kind := range slices.Sorted(maps.Keys(s.Operations)) {
		fmt.Fprintf(&b, "%s:", kind)
		for _, outcome := range []Outcome{OK, Failed, Unknown} {
			if n := s.Operations[kind][outcome]; n > 0 {
				fmt.Fprintf(&b, " %d %s", n, outcome)
			}
		}
		b.WriteByte('\n')
	}
	for _, name := range slices.Sorted(maps.Keys(s.Errors)) {
		fmt.Fprintf(&b, "error %s: %d\n", name, s.Errors[name])
	}
	return b.String()
}
