package checker

import (
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/integration/history"
)

// tenure is a partition in one generation of a group.
type tenure struct {
	groupPartition
	generation int32
}

// membership is a member's hold of a partition, in whichever generations it was told of it.
type membership struct {
	groupPartition
	member string
}

// checkOwners finds partitions that two members of a group had in one generation. A member has a partition from when it was
// told so until it was told to give it up; one that was cut off keeps believing, but in an earlier generation. Members of
// one worker follow each other, as a static member's new life takes over from the old in the same generation.
func checkOwners(x *index, f *findings) {
	type event struct {
		op  *history.Operation
		seq int64
	}
	var events []event
	for i := range x.ops {
		switch o := &x.ops[i]; {
		case o.Kind == history.Assigned && o.Member != "" && o.Generation > 0 && !o.Ended.Never():
			events = append(events, event{o, o.Ended.Seq})
		case o.Kind == history.Revoked:
			events = append(events, event{o, o.Begun.Seq})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.seq, b.seq) })
	owners := map[tenure][]*history.Operation{}
	held := map[membership][]int32{} // generations
	for _, e := range events {
		for _, p := range e.op.Partitions {
			of := membership{groupPartition{e.op.Group, p}, e.op.Member}
			if e.op.Kind == history.Assigned {
				now := tenure{of.groupPartition, e.op.Generation}
				checkTenure(f, p, e.op, owners[now])
				owners[now] = append(owners[now], e.op)
				held[of] = append(held[of], e.op.Generation)
				continue
			}
			for _, generation := range held[of] {
				was := tenure{of.groupPartition, generation}
				owners[was] = slices.DeleteFunc(owners[was], func(o *history.Operation) bool { return o.Member == e.op.Member })
			}
			delete(held, of)
		}
	}
}

func checkTenure(f *findings, p history.Partition, o *history.Operation, others []*history.Operation) {
	for _, other := range others {
		if other.Member != o.Member && other.Worker != o.Worker {
			f.add(TwoOwners, p, []place{{op: other}, {op: o}}, "group %q, generation %d: %q has the partition, and so has %q", o.Group, o.Generation, other.Member, o.Member)
			return
		}
	}
}
