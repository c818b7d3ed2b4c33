package checker

import (
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/integration/history"
)

// checkGenerations finds commits of offsets that named a generation after somebody had been told of a later one. Whoever
// asks for it does so between begin and end, so only what was over before the begin counts. A generation counts once it has
// assignments: those whose members have joined, and no more, are gone with their coordinator, in Kafka too, and transactions
// may name them.
func checkGenerations(x *index, f *findings) {
	byEnd := make([]*history.Operation, 0, len(x.ops))
	for i := range x.ops {
		switch o := &x.ops[i]; {
		case o.Group == "" || o.Generation <= 0 || o.Ended.Never():
		case o.Kind == history.Assigned, o.Kind == history.CommitOffsets && o.Classic && committedOffsets(o):
			byEnd = append(byEnd, o)
		}
	}
	slices.SortStableFunc(byEnd, func(a, b *history.Operation) int { return cmp.Compare(a.Ended.Seq, b.Ended.Seq) })
	latest := map[string]*history.Operation{}
	for i := range x.ops {
		o := &x.ops[i]
		if !o.Classic || o.Generation <= 0 || !committedOffsets(o) {
			continue
		}
		for len(byEnd) > 0 && byEnd[0].Ended.Seq < o.Begun.Seq {
			if was := latest[byEnd[0].Group]; was == nil || was.Generation < byEnd[0].Generation {
				latest[byEnd[0].Group] = byEnd[0]
			}
			byEnd = byEnd[1:]
		}
		if later := latest[o.Group]; later != nil && later.Generation > o.Generation {
			f.add(StaleGeneration, o.Offsets[0].Partition, []place{{op: later}, {op: o}}, "group %q was in generation %d, and then generation %d committed offsets",
				o.Group, later.Generation, o.Generation)
		}
	}
}

// committedOffsets tells whether offsets were certainly committed.
func committedOffsets(o *history.Operation) bool {
	if len(o.Offsets) == 0 {
		return false
	}
	return o.Kind == history.CommitOffsets && o.Outcome == history.OK || o.Kind == history.Transaction && o.Fate() == history.OK && o.Commit
}
