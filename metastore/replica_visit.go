package metastore

import "slices"

const (
	// visitStep is how many segments are looked at under one lock: some hundred microseconds.
	visitStep = 2048
	// visitPartitions is how many partitions are.
	visitPartitions = 512
)

// PartitionView is a partition that has runs, as of some position. It is good during the call that it was made for.
type PartitionView struct {
	TopicPartition
	Topic *Topic
	Watermarks
	Bytes     int64  // sum of the lengths of its runs
	CleanedTo Offset // how far log compaction has got; 0 if nowhere

	runs    runList
	state   *State // a view
	markers []Marker
}

// Len is how many runs there are.
func (v *PartitionView) Len() int { return v.runs.len() }

// Run returns one of the runs, which are in order; markers are among them. It is the caller's.
func (v *PartitionView) Run(i int) Run {
	r := v.runs.at(i)
	if r.segment != markerSegment {
		return v.state.export(r)
	}
	if len(v.markers) == cap(v.markers) {
		v.markers = make([]Marker, 0, 64)
	}
	v.markers = append(v.markers, *v.state.markers.at(r.position))
	return r.marked(&v.markers[len(v.markers)-1])
}

// RunSeq returns the position of the log before the entry that brought the run's segment; 0 for a marker.
func (v *PartitionView) RunSeq(i int) Seq {
	r := v.runs.at(i)
	if r.segment == markerSegment {
		return 0
	}
	return v.state.table.at(r.segment).before.Seq
}

// VisitPartitions shows every partition that has runs, topic by topic, until visit returns false. What it shows is of one
// position for some hundred partitions, and of later ones for the next. Nothing is locked while visit runs, but what it sees is
// kept until it returns, so it must be short.
func (r *Replica) VisitPartitions(visit func(*PartitionView) bool) {
	r.mu.RLock()
	s := r.state // if a later snapshot takes its place, it stays what it is
	r.mu.RUnlock()
	var at visitPlace
	var views []PartitionView // grows to what is there, which is less than visitPartitions as a rule
	step := func() (more bool) {
		views, more = r.viewPartitions(s, &at, views[:0])
		defer r.thaw(s)
		for i := range views {
			if !visit(&views[i]) {
				return false
			}
		}
		return more
	}
	for step() {
	}
}

// visitPlace is the next partition to look at, by the number of its topic.
type visitPlace struct{ topic, partition int }

// viewPartitions makes views of the next partitions, and freezes the state. more: they are not the last.
func (r *Replica) viewPartitions(s *State, at *visitPlace, views []PartitionView) (_ []PartitionView, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	view := &State{table: s.table.view(), markers: s.markers.view()}
	s.sharing.freeze()
	for looked := 0; at.topic < len(s.numbered); at.topic, at.partition = at.topic+1, 0 {
		t := s.numbered[at.topic]
		for ; t != nil && at.partition < len(t.partitions); at.partition++ {
			if looked == 8*visitPartitions || len(views) == visitPartitions {
				return views, true
			}
			looked++
			if p := &t.partitions[at.partition]; p.runs.len() > 0 {
				views = append(views, PartitionView{
					TopicPartition: TopicPartition{t.ID, int32(at.partition)}, Topic: t.Topic,
					Watermarks: p.watermarks(), Bytes: p.bytes, CleanedTo: p.cleanedTo, runs: p.runs, state: view,
				})
			}
		}
	}
	return views, false
}

// SegmentUse is a segment that runs name.
type SegmentUse struct {
	ID   SegmentID
	Size int64 // bytes of the whole object
	Live int64 // of these, bytes of runs that name it
	Runs int   // how many do
	Seq  Seq   // position of the log before the entry that brought it
}

// VisitSegments shows every segment that runs name, in no order, until visit returns false. What it shows is of one position
// for some thousand segments, and of later ones for the next. Nothing is locked while visit runs.
func (r *Replica) VisitSegments(visit func(SegmentUse) bool) {
	r.mu.RLock()
	s := r.state // as in VisitPartitions
	r.mu.RUnlock()
	for from, more := uint32(0), true; more; from += visitStep {
		var uses []SegmentUse
		uses, more = r.segmentUses(s, from)
		if slices.ContainsFunc(uses, func(u SegmentUse) bool { return !visit(u) }) {
			return
		}
	}
}

func (r *Replica) segmentUses(s *State, from uint32) (uses []SegmentUse, more bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	end := min(from+visitStep, s.table.used)
	for n := from; n < end; n++ {
		if u := &s.table.uses[n]; u.runs > 0 {
			g := s.table.at(n)
			uses = append(uses, SegmentUse{ID: g.id, Size: g.size, Live: u.live, Runs: int(u.runs), Seq: g.before.Seq})
		}
	}
	return uses, end < s.table.used
}
