package checker

import (
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/integration/history"
)

// border is one of those that Marks tell.
type border struct {
	name string // of the anomaly
	what string
	of   func(*history.Marks) int64
}

var borders = []border{
	{HWMBack, "high watermark", func(m *history.Marks) int64 { return m.High }},
	{LSOBack, "last stable offset", func(m *history.Marks) int64 { return m.Stable }},
	{LogStartBack, "log start offset", func(m *history.Marks) int64 { return m.LogStart }},
}

// checkMarks finds borders that went back at one broker, over all its lives, and borders in the wrong order. What two brokers
// tell is not compared: one may hear of commits later than the other.
func checkMarks(x *index, f *findings) {
	type watched struct {
		broker string
		history.Partition
	}
	observations := map[watched][]*history.Operation{}
	var order []watched
	for i := range x.ops {
		o := &x.ops[i]
		if o.Kind != history.Observe || o.Outcome != history.OK || o.Marks == nil {
			continue
		}
		checkBorders(f, o)
		key := watched{o.Broker, o.Marks.Partition}
		if observations[key] == nil {
			order = append(order, key)
		}
		observations[key] = append(observations[key], o)
	}
	for _, key := range order {
		checkRising(f, observations[key])
	}
}

func checkBorders(f *findings, o *history.Operation) {
	m, at := o.Marks, []place{{op: o}}
	switch {
	case m.LogStart < -1 || m.Stable < -1 || m.High < -1:
		f.add(BadMarks, m.Partition, at, "a border is before the first offset")
	case m.High >= 0 && m.Stable > m.High:
		f.add(BadMarks, m.Partition, at, "the last stable offset %d is beyond the high watermark %d", m.Stable, m.High)
	case m.High >= 0 && m.LogStart > m.High:
		f.add(BadMarks, m.Partition, at, "the log start offset %d is beyond the high watermark %d", m.LogStart, m.High)
	case m.Stable >= 0 && m.LogStart > m.Stable:
		f.add(BadMarks, m.Partition, at, "the log start offset %d is beyond the last stable offset %d", m.LogStart, m.Stable)
	}
}

// checkRising compares each observation with the highest of those that were over before it began.
func checkRising(f *findings, byBegin []*history.Operation) {
	byEnd := slices.Clone(byBegin)
	slices.SortStableFunc(byEnd, func(a, b *history.Operation) int { return cmp.Compare(endOf(a.Ended), endOf(b.Ended)) })
	highest := make([]*history.Operation, len(borders))
	for _, o := range byBegin {
		for len(byEnd) > 0 && endOf(byEnd[0].Ended) < o.Begun.Seq {
			for i, b := range borders {
				if highest[i] == nil || b.of(byEnd[0].Marks) > b.of(highest[i].Marks) {
					highest[i] = byEnd[0]
				}
			}
			byEnd = byEnd[1:]
		}
		for i, b := range borders {
			if highest[i] == nil {
				continue
			}
			before, now := b.of(highest[i].Marks), b.of(o.Marks)
			if now >= 0 && now < before {
				f.add(b.name, o.Marks.Partition, []place{{op: highest[i]}, {op: o}}, "broker %q told of the %s %d, and then of %d", o.Broker, b.what, before, now)
			}
		}
	}
}
