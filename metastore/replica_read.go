package metastore

import "github.com/runnel-io/runnel/planted"

// Topic finds a topic by its name.
func (r *Replica) Topic(name string) (*Topic, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if t, ok := r.state.names[name]; ok {
		return t.Topic, true
	}
	return nil, false
}

// TopicByID finds a topic by its id.
func (r *Replica) TopicByID(id TopicID) (*Topic, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if t, ok := r.state.topics[id]; ok {
		return t.Topic, true
	}
	return nil, false
}

// Watermarks returns the borders of a partition, false if there is no such partition.
func (r *Replica) Watermarks(tp TopicPartition) (Watermarks, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if p := r.state.partition(tp); p != nil {
		return p.watermarks(), true
	}
	return Watermarks{LogStart: NoOffset, High: NoOffset, Stable: NoOffset}, false
}

// PartitionSizes returns how many bytes of batches each partition of a topic holds, by partition; nil if there is no such
// topic. A run counts as a whole until the log start is past its end.
func (r *Replica) PartitionSizes(id TopicID) []int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t, ok := r.state.topics[id]
	if !ok {
		return nil
	}
	sizes := make([]int64, len(t.partitions))
	for i := range t.partitions {
		sizes[i] = t.partitions[i].bytes
	}
	return sizes
}

// Runs returns the runs that hold offsets from `from` on, in order, until their bytes add up to maxBytes or more; one
// at least if there is any. The watermarks belong to the same state. ErrUnknownPartition; ErrOffsetOutOfRange, with
// the watermarks.
func (r *Replica) Runs(tp TopicPartition, from Offset, maxBytes int) (Watermarks, []Run, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, w, err := r.state.readable(tp, from)
	if err != nil {
		return w, nil, err
	}
	runs := r.state.runsOf(p, from, w.High, maxBytes)
	if planted.Is(planted.HighAhead) {
		w.High = r.highInFlight(tp, w.High)
	}
	return w, runs, nil
}

// highInFlight is a planted bug: what is being committed may not come to pass.
func (r *Replica) highInFlight(tp TopicPartition, high Offset) Offset {
	if r.flight == nil || r.flight.decision == nil {
		return high
	}
	d := r.flight.decision
	if i, ok := d.index[decidedPartition(r.state.topics[tp.Topic].number)<<32|decidedPartition(tp.Partition)]; ok {
		return max(high, d.partitions[i].high)
	}
	return high
}

// readable finds a partition that may be read from an offset on.
func (s *State) readable(tp TopicPartition, from Offset) (*partition, Watermarks, error) {
	p := s.partition(tp)
	if p == nil {
		return nil, Watermarks{LogStart: NoOffset, High: NoOffset, Stable: NoOffset}, ErrUnknownPartition
	}
	w := p.watermarks()
	if from < w.LogStart || from > w.High {
		return nil, w, ErrOffsetOutOfRange
	}
	return p, w, nil
}

// runsOf returns the runs that hold offsets from `from` on and begin below end, until their bytes are enough.
func (s *State) runsOf(p *partition, from, end Offset, maxBytes int) []Run {
	var runs []Run
	var markers []Marker // room for those of runs, so that thousands of transactions do not cost an allocation each
	for _, r := range p.runs.all(p.runs.find(from)) {
		if r.base >= end {
			break
		}
		if r.segment == markerSegment {
			if len(markers) == cap(markers) {
				markers = make([]Marker, 0, min(2*cap(markers)+1, 256))
			}
			markers = append(markers, *s.markers.at(r.position))
			runs = append(runs, r.marked(&markers[len(markers)-1]))
		} else {
			runs = append(runs, s.export(r))
		}
		maxBytes -= int(r.length)
		if maxBytes <= 0 {
			break
		}
	}
	return runs
}

// RunAt returns the first run that holds a timestamp of at least the one given, in ms.
func (r *Replica) RunAt(tp TopicPartition, timestamp int64) (Run, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.state.partition(tp)
	if p == nil {
		return Run{}, false
	}
	i := p.runs.since(0, timestamp)
	if i == p.runs.len() {
		return Run{}, false
	}
	return r.state.export(p.runs.at(i)), true
}

// RunWithMaxTimestamp returns the first of the runs that hold the greatest timestamp of the partition.
func (r *Replica) RunWithMaxTimestamp(tp TopicPartition) (Run, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.state.partition(tp)
	if p == nil {
		return Run{}, false
	}
	i := p.runs.latest()
	if i < 0 {
		return Run{}, false
	}
	return r.state.export(p.runs.at(i)), true
}

// Memory is about how many bytes the folded state takes. It grows with what the log tells of, and no budget bounds it.
func (r *Replica) Memory() int64 {
	const (
		topicBytes     = 250
		partitionBytes = 80
		writtenBytes   = 130 // of a partition with runs, beside them: room for more
		runBytes       = 34
		producerBytes  = 140
		segmentBytes   = 100
		markerBytes    = 18
		txnBytes       = 200 // beside what is ongoing
	)
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := r.state
	partitions := 0
	for _, t := range s.topics {
		partitions += len(t.partitions)
	}
	return tailBytes + int64(len(s.topics))*topicBytes + int64(partitions)*partitionBytes + int64(s.written)*writtenBytes +
		int64(s.runs)*runBytes + int64(s.producers.count)*producerBytes + int64(s.table.used)*segmentBytes +
		int64(s.markers.count)*markerBytes + int64(len(s.txns.byID))*txnBytes + s.txns.bytes
}

// SegmentCommitted tells whether the segment is known to be committed. For those older than MaxSegmentAge it says false.
func (r *Replica) SegmentCommitted(id SegmentID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.state.committed(id)
	return ok
}
