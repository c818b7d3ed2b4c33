package history

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// mostShown is how many records or offsets of an operation its line shows; of the others it shows how many.
const mostShown = 8

// String gives "topic/3".
func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Number) }

// String gives "topic/3@17", and "topic/3@?" where no offset is known.
func (a At) String() string { return a.Partition.String() + "@" + offsetText(a.Offset) }

// String gives "topic/3@17=42": the value 42 at offset 17; of a tombstone "topic/3@17=42(no 5)", with its key.
func (r Record) String() string {
	text := fmt.Sprintf("%s@%s=%d", r.Partition, offsetText(r.Offset), r.Value)
	if r.Tombstone {
		text += fmt.Sprintf("(no %d)", r.Key)
	}
	if r.Of != 0 {
		text += fmt.Sprintf("(of %d)", r.Of)
	}
	return text
}

func offsetText(offset int64) string {
	if offset < 0 {
		return "?"
	}
	return fmt.Sprint(offset)
}

// String gives the name of a topic, and what its settings let go.
func (t *Topic) String() string {
	text := t.Name
	add := func(is bool, format string, args ...any) {
		if is {
			text += fmt.Sprintf(format, args...)
		}
	}
	add(t.Compacted, " compacted, tombstones for %v", t.Tombstones)
	add(t.Lag > 0, " lag %v", t.Lag)
	add(t.Retention > 0, " retention %v", t.Retention)
	add(t.Kept > 0, " kept %d", t.Kept)
	return text
}

// String gives the step in one line.
func (s *Step) String() string {
	var text string
	if s.Send != nil {
		text = "send " + s.Send.String()
	} else {
		text = fmt.Sprintf("read %d: %s", len(s.Read), shown(s.Read))
		if len(s.Read) == 0 {
			text = "read nothing"
		}
	}
	if s.Outcome != OK {
		text += " " + string(s.Outcome)
	}
	return text + quoted(s.Error)
}

// String gives the operation in one line: its Headline and its steps.
func (o *Operation) String() string {
	var b strings.Builder
	b.WriteString(o.Headline())
	for i := range o.Steps {
		if i == mostShown {
			fmt.Fprintf(&b, "; and %d steps more", len(o.Steps)-i)
			break
		}
		b.WriteString("; " + o.Steps[i].String())
	}
	return b.String()
}

// Headline gives the Seqs of an operation's moments, when it was and how long it took, who, what, and what came of it.
func (o *Operation) Headline() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d", o.Begun.Seq)
	switch {
	case o.Ended.Never():
		fmt.Fprintf(&b, "..never %v", o.Begun.At)
	case o.Ended.Seq != o.Begun.Seq:
		fmt.Fprintf(&b, "..#%d %v +%v", o.Ended.Seq, o.Begun.At, (o.Ended.At - o.Begun.At).Round(time.Microsecond))
	default:
		fmt.Fprintf(&b, " %v", o.Begun.At)
	}
	if o.Client != "" {
		fmt.Fprintf(&b, " worker %d (%s)", o.Worker, o.Client)
	}
	b.WriteString(" " + o.what() + " " + string(o.Outcome) + quoted(o.Error))
	if o.Text != "" {
		b.WriteString(": " + o.Text)
	}
	return b.String()
}

// what tells the kind of an operation and what belongs to it.
func (o *Operation) what() string {
	words := []string{string(o.Kind)}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if o.Final {
		words[0] = "final " + words[0]
	}
	if o.Whole {
		add("whole")
	}
	if o.Isolation != "" {
		add("%s", o.Isolation)
	}
	if o.Kind == Transaction {
		add("%q", o.TransactionalID)
		switch {
		case o.Deciding.Never():
			add("undecided")
		case o.Commit:
			add("commit at #%d", o.Deciding.Seq)
		default:
			add("abort at #%d", o.Deciding.Seq)
		}
	}
	if o.Group != "" {
		add("group %q", o.Group)
	}
	if o.Member != "" {
		add("member %q generation %d", o.Member, o.Generation)
	}
	if len(o.Partitions) > 0 {
		add("of %s", shown(o.Partitions))
	}
	if o.Settings != nil {
		add("%s", o.Settings)
	}
	if len(o.Offsets) > 0 {
		add("offsets %s", shown(o.Offsets))
	}
	if o.Marks != nil {
		add("%s at broker %q: log start %d, high %d, stable %d", o.Marks.Partition, o.Broker, o.Marks.LogStart, o.Marks.High, o.Marks.Stable)
	}
	return strings.Join(words, " ")
}

func shown[T fmt.Stringer](list []T) string {
	words := make([]string, 0, mostShown+1)
	for i, one := range list {
		// The last one is shown in any case: where a read ended is what one looks for.
		if i == mostShown-1 && len(list) > mostShown {
			words = append(words, fmt.Sprintf("(%d more)", len(list)-mostShown), list[len(list)-1].String())
			break
		}
		words = append(words, one.String())
	}
	return strings.Join(words, ", ")
}

func quoted(err string) string {
	if err == "" {
		return ""
	}
	return fmt.Sprintf(" %q", err)
}

// Touches tells whether an operation has to do with a partition: sent to it, read from it, or names it.
func (o *Operation) Touches(p Partition) bool {
	for i := range o.Steps {
		s := &o.Steps[i]
		if s.Send != nil && s.Send.Partition == p || slices.ContainsFunc(s.Read, func(r Record) bool { return r.Partition == p }) {
			return true
		}
	}
	return slices.Contains(o.Partitions, p) || slices.Contains(o.Partitions, Partition{p.Topic, -1}) ||
		slices.ContainsFunc(o.Offsets, func(a At) bool { return a.Partition == p }) || o.Marks != nil && o.Marks.Partition == p
}

// Window chooses what Print prints.
type Window struct {
	// Around are the Seqs at which the operations of interest began. Without any, all operations are.
	Around []int64
	// Margin is how many operations to print before and after each of them.
	Margin int
	// Partition, if it is set, leaves out what does not touch it, but for faults and admin operations. The margin counts
	// what is left.
	Partition *Partition
}

// Print writes operations, one a line. It marks those of the window's Around, and writes "..." where it leaves some out.
func (h *History) Print(w io.Writer, window Window) error {
	var candidates []*Operation
	for i := range h.Operations {
		if o := &h.Operations[i]; window.admits(o) {
			candidates = append(candidates, o)
		}
	}
	printed := window.near(candidates)
	gap := false
	for i, o := range candidates {
		if !printed[i] {
			gap = true
			continue
		}
		if gap {
			if _, err := fmt.Fprintln(w, "  ..."); err != nil {
				return err
			}
			gap = false
		}
		mark := "  "
		if slices.Contains(window.Around, o.Begun.Seq) {
			mark = "> "
		}
		if _, err := fmt.Fprintln(w, mark+o.String()); err != nil {
			return err
		}
	}
	return nil
}

func (w Window) admits(o *Operation) bool {
	return w.Partition == nil || o.Kind == Fault || o.Kind == Admin || slices.Contains(w.Around, o.Begun.Seq) || o.Touches(*w.Partition)
}

// near tells of each operation whether it is to be printed.
func (w Window) near(operations []*Operation) []bool {
	printed := make([]bool, len(operations))
	for i, o := range operations {
		if len(w.Around) > 0 && !slices.Contains(w.Around, o.Begun.Seq) {
			continue
		}
		for j := max(0, i-w.Margin); j <= min(len(operations)-1, i+w.Margin); j++ {
			printed[j] = true
		}
	}
	return printed
}
