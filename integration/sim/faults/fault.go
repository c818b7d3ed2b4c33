// Package faults is what goes wrong in a simulated cluster: a plan, which is a function of a seed, and Nemesis, which
// carries it out.
package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// BrokerParty is the name of a broker, from 0, as a party of the network.
func BrokerParty(broker int) string { return fmt.Sprintf("broker-%d", broker) }

// ClientParty is the name of a client's machine, from 0, as a party of the network.
func ClientParty(client int) string { return fmt.Sprintf("client-%d", client) }

// Fault is one thing that goes wrong for a time.
type Fault struct {
	Number  int // in its plan, from 1
	Kind    Kind
	Begin   time.Duration // since the start of the plan
	Length  time.Duration
	Brokers []int  // that it befalls
	A, B    string // of Partition, OneWay (from A to B) and Reset

	OneOf int           // so many calls that it may befall, it befalls one
	Delay time.Duration // the longest by which calls are late or slow
	Hang  bool          // calls that fail do so when the caller gives up, or the fault is over

	Jump time.Duration // of the metastore's clock
}

// End is when it is healed.
func (f *Fault) End() time.Duration { return f.Begin + f.Length }

// String returns what a reader of a run wants to know.
func (f *Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s #%d", f.Kind, f.Number)
	if f.A != "" {
		between := map[Kind]string{OneWay: "from %s to %s"}[f.Kind]
		if between == "" {
			between = "between %s and %s"
		}
		fmt.Fprintf(&b, " "+between, f.A, f.B)
	}
	if len(f.Brokers) > 0 {
		fmt.Fprintf(&b, " of brokers %v", f.Brokers)
	}
	if f.Jump != 0 {
		fmt.Fprintf(&b, " by %v", f.Jump)
	}
	if f.OneOf > 1 {
		fmt.Fprintf(&b, ", one of %d calls", f.OneOf)
	}
	if f.Delay > 0 {
		fmt.Fprintf(&b, ", by up to %v", f.Delay)
	}
	if f.Hang {
		b.WriteString(", hanging")
	}
	fmt.Fprintf(&b, ", from %v to %v", f.Begin, f.End())
	return b.String()
}

// Text is a plan, a line for each fault.
func Text(plan []Fault) string {
	var b strings.Builder
	for i := range plan {
		b.WriteString(plan[i].String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Kinds are all there are, by name.
func Kinds() []Kind {
	var all []Kind
	for kind := range measures {
		all = append(all, kind)
	}
	slices.Sort(all)
	return all
}
