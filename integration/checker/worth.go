package checker

import "github.com/runnel-io/runnel/integration/history"

// checkWorth says what a history cannot prove: without acknowledgements, or without final reads, everything would pass.
func checkWorth(x *index, f *findings) {
	acked := false
	for i := range x.partitions {
		acked = acked || x.partitions[i].acked >= 0
	}
	if !acked {
		f.add(NothingHappened, nowhere, nil, "of %d operations, no send was acknowledged", len(x.ops))
	}
	if len(x.readers) == 0 {
		f.add(NoFinalRead, nowhere, nil, "of %d operations, none is a final poll", len(x.ops))
		return
	}
	// With transactions in the history, only read_committed tells whether they are whole.
	isolation := "any isolation"
	if x.transactional {
		isolation = string(history.ReadCommitted)
	}
	for i := range x.partitions {
		p := &x.partitions[i]
		if p.acked >= 0 && !p.removed() && !x.readFinally(int32(i)) {
			f.add(NoFinalRead, p.Partition, []place{x.sendPlace(&x.sends[p.acked])},
				"records were acknowledged, but no final poll at %s came to the end", isolation)
		}
	}
}

// readFinally tells whether what is visible in a partition is known to its end.
func (x *index) readFinally(partition int32) bool {
	for i := range x.readers {
		if r := &x.readers[i]; (r.committed || !x.transactional) && r.covers(partition) {
			return true
		}
	}
	return false
}

// checkContract says where the history breaks its own contract, in which case what else is said of it may be wrong.
func checkContract(x *index, f *findings) {
	for _, id := range x.again {
		s := &x.sends[id]
		first, _ := x.byValue.get(s.record.Value)
		f.add(BadHistory, s.record.Partition, []place{x.sendPlace(&x.sends[first]), x.sendPlace(s)},
			"the value %d was sent twice", s.record.Value)
	}
}
