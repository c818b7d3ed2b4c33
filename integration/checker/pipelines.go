package checker

import "github.com/runnel-io/runnel/integration/history"

// checkPipelines finds records of a pipeline's input of which the output has not exactly one, and records of the output that
// were made from what is not in the input. Pipelines are done before the final reads.
func checkPipelines(x *index, f *findings) {
	for i := range x.pipelines {
		checkOutput(x, f, &x.pipelines[i], x.input(x.pipelines[i].To))
	}
}

// input gives the values that anybody saw at read_committed in the topics from which pipelines make a topic.
func (x *index) input(to string) map[int64]bool {
	values := map[int64]bool{}
	from := map[string]bool{}
	for _, p := range x.pipelines {
		if p.To == to {
			from[p.From] = true
		}
	}
	for i := range x.reads {
		if r := &x.reads[i]; x.committedRead(r) && from[r.record.Topic] {
			values[r.record.Value] = true
		}
	}
	return values
}

// committedRead tells whether a read shows what is committed.
func (x *index) committedRead(r *read) bool { return r.committed || !x.transactional }

func checkOutput(x *index, f *findings, p *history.Pipeline, input map[int64]bool) {
	made := map[int64]*read{} // by what it was made from
	told := map[int64]bool{}
	fromKnown := x.topicReadFinally(p.From)
	for i := range x.reads {
		r := &x.reads[i]
		of := r.record.Of
		if r.record.Topic != p.To || of == 0 || told[of] || !x.committedRead(r) {
			continue
		}
		first := made[of]
		switch {
		case first == nil:
			made[of] = r
			if !input[of] && fromKnown {
				told[of] = true
				f.add(NotExactlyOnce, r.record.Partition, []place{x.readPlace(r)}, "the value %d was made from %d, which is not in %q", r.record.Value, of, p.From)
			}
		case first.record.Value != r.record.Value || first.partition != r.partition || first.record.Offset != r.record.Offset:
			told[of] = true
			f.add(NotExactlyOnce, r.record.Partition, []place{x.readPlace(first), x.readPlace(r)}, "the value %d of %q was made twice: as %v and as %v",
				of, p.From, first.record, r.record)
		}
	}
	if x.topicReadFinally(p.To) {
		checkAllMade(x, f, p, made)
	}
}

// checkAllMade finds what is in the input and has nothing in the output. A record that was not acknowledged may have come
// after the pipeline was done: it counts if something after it is known to have come before the final reads.
func checkAllMade(x *index, f *findings, p *history.Pipeline, made map[int64]*read) {
	told := map[int64]bool{}
	early := x.earlyEnds()
	for i := range x.reads {
		r := &x.reads[i]
		value := r.record.Value
		if r.record.Topic != p.From || r.reader < 0 || !x.committedRead(r) || told[value] || made[value] != nil {
			continue
		}
		if r.record.Offset > early[r.partition] {
			continue
		}
		told[value] = true
		f.add(NotExactlyOnce, r.record.Partition, []place{x.readPlace(r)}, "nothing in %q was made from the value %d, at offset %d", p.To, value, r.record.Offset)
	}
}

// earlyEnds gives, by partition, the last offset of which anybody knew before the final reads, -1 where nobody did.
func (x *index) earlyEnds() []int64 {
	ends := make([]int64, len(x.partitions))
	for i := range ends {
		ends[i] = -1
	}
	for i := range x.sends {
		if s := &x.sends[i]; s.acked() {
			ends[s.partition] = max(ends[s.partition], x.offsetOf(s))
		}
	}
	for i := range x.reads {
		if r := &x.reads[i]; r.reader < 0 {
			ends[r.partition] = max(ends[r.partition], r.record.Offset)
		}
	}
	return ends
}

// topicReadFinally tells whether all of a topic that is known was read to its end, and none of it may be deleted.
func (x *index) topicReadFinally(topic string) bool {
	if len(x.readers) == 0 {
		return false
	}
	for i := range x.partitions {
		if p := &x.partitions[i]; p.Topic == topic && (!x.readFinally(int32(i)) || p.deleted > 0) {
			return false
		}
	}
	return true
}
