package metastore

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Topics returns all topics, by name.
func (s *Survey) Topics() []*Topic {
	list := make([]*Topic, 0, len(s.state.topics))
	for _, t := range s.state.topics {
		list = append(list, t.Topic)
	}
	slices.SortFunc(list, func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Topic finds a topic.
func (s *Survey) Topic(id TopicID) (*Topic, bool) {
	if t := s.state.topics[id]; t != nil {
		return t.Topic, true
	}
	return nil, false
}

// Watermarks returns the borders of a partition, false if there is none.
func (s *Survey) Watermarks(tp TopicPartition) (Watermarks, bool) {
	if p := s.state.partition(tp); p != nil {
		return p.watermarks(), true
	}
	return Watermarks{LogStart: NoOffset, High: NoOffset, Stable: NoOffset}, false
}

// Runs yields all runs of a partition in their order.
func (s *Survey) Runs(tp TopicPartition) iter.Seq[Run] {
	return func(yield func(Run) bool) {
		p := s.state.partition(tp)
		if p == nil {
			return
		}
		for _, r := range p.runs.all(0) {
			if !yield(s.state.export(r)) {
				return
			}
		}
	}
}

// RunOf finds the run that holds an offset.
func (s *Survey) RunOf(tp TopicPartition, offset Offset) (Run, bool) {
	p := s.state.partition(tp)
	if p == nil {
		return Run{}, false
	}
	i := p.runs.find(offset)
	if i == p.runs.len() || p.runs.at(i).base > offset {
		return Run{}, false
	}
	return s.state.export(p.runs.at(i)), true
}

// RememberedBatch is one of the latest batches of a producer in a partition, by which a repeat is recognised.
type RememberedBatch struct {
	Producer    ProducerID
	Epoch       ProducerEpoch
	First, Last int32 // sequences, both in the batch
	Offset      Offset
}

// RememberedBatches yields those of all producers of a partition.
func (s *Survey) RememberedBatches(tp TopicPartition) iter.Seq[RememberedBatch] {
	return func(yield func(RememberedBatch) bool) {
		p := s.state.partition(tp)
		if p == nil || p.producers == nil {
			return
		}
		for _, place := range p.producers.places {
			if place != 0 && !s.state.producers.at(place-1).remembered(yield) {
				return
			}
		}
	}
}

// BatchesOf yields those of one producer.
func (s *Survey) BatchesOf(tp TopicPartition, id ProducerID) iter.Seq[RememberedBatch] {
	return func(yield func(RememberedBatch) bool) {
		if p := s.state.partition(tp); p != nil {
			if n, ok := s.state.producers.find(p.producers, id); ok {
				s.state.producers.at(n).remembered(yield)
			}
		}
	}
}

func (p *knownProducer) remembered(yield func(RememberedBatch) bool) bool {
	for _, b := range p.batches[:p.count] {
		if !yield(RememberedBatch{Producer: p.id, Epoch: p.epoch, First: b.first, Last: b.last, Offset: b.offset}) {
			return false
		}
	}
	return true
}

// Transactions yields all transactional ids, without their lists.
func (s *Survey) Transactions() iter.Seq[Transaction] {
	return func(yield func(Transaction) bool) {
		for n := range s.state.txns.used {
			if t := s.state.txns.at(n); t.id != "" {
				x := t.head()
				if x.AsOf = s.Position.Seq; !yield(x) {
					return
				}
			}
		}
	}
}

// RunCount is how many runs there are, those without an object too; MarkerCount is how many of them have none.
func (s *Survey) RunCount() int { return s.state.runs }

// MarkerCount is how many runs are ends of transactions.
func (s *Survey) MarkerCount() int { return s.state.markers.count }

// SegmentRuns is a segment with all runs that name it.
type SegmentRuns struct {
	ID   SegmentID
	Size int64       // bytes of the whole object
	Runs []PlacedRun // by partition and position
}

// PlacedRun is a run with its partition.
type PlacedRun struct {
	TopicPartition
	Run
}

// runRef names a run in 12 bytes: there are millions.
type runRef struct {
	topic     uint32 // topicState.number
	partition int32
	run       uint32
}

// Segments yields all segments that runs name, in the order that compare gives, each with its runs. The caller owns
// what it gets. It takes 12 bytes of memory for each run and 12 for each segment.
func (s *Survey) Segments(compare func(a, b SegmentID) int) iter.Seq[SegmentRuns] {
	return func(yield func(SegmentRuns) bool) {
		numbers, ends, refs := s.sortRuns(compare)
		from := uint32(0)
		for _, n := range numbers {
			g := s.state.table.at(n)
			of := SegmentRuns{ID: g.id, Size: g.size, Runs: make([]PlacedRun, 0, ends[n]-from)}
			for _, ref := range refs[from:ends[n]] {
				t := s.state.numbered[ref.topic]
				of.Runs = append(of.Runs, PlacedRun{
					TopicPartition{t.ID, ref.partition}, s.state.export(t.partitions[ref.partition].runs.at(int(ref.run)))})
			}
			slices.SortFunc(of.Runs, func(a, b PlacedRun) int {
				return cmp.Or(a.TopicPartition.compare(b.TopicPartition), cmp.Compare(a.Position, b.Position))
			})
			from = ends[n]
			if !yield(of) {
				return
			}
		}
	}
}

// SegmentCount is how many segments runs name.
func (s *Survey) SegmentCount() int { return s.state.table.named }

// Named yields the segments that runs name, in no order.
func (s *Survey) Named() iter.Seq[SegmentID] {
	return func(yield func(SegmentID) bool) {
		for n, use := range s.state.table.uses {
			if use.runs > 0 && !yield(s.state.table.at(uint32(n)).id) {
				return
			}
		}
	}
}

// Garbage yields the segments that no run names any more and whose objects may still be there, the oldest first.
func (s *Survey) Garbage() iter.Seq[Garbage] {
	return func(yield func(Garbage) bool) {
		for n, item := range s.state.garbage.all(0) {
			if !yield(s.state.exportGarbage(n, item)) {
				return
			}
		}
	}
}

// GarbageCount is how many they are.
func (s *Survey) GarbageCount() int { return s.state.garbage.len() }

// IsGarbage tells whether a segment is among them.
func (s *Survey) IsGarbage(id SegmentID) bool {
	n, ok := s.state.table.find(id)
	return ok && s.state.table.uses[n].known&knownGarbage != 0
}

// Known tells whether the log knows a segment: because runs name it, because it is remembered that it was committed or swapped
// in, or as garbage.
func (s *Survey) Known(id SegmentID) bool {
	_, ok := s.state.table.find(id)
	return ok
}

// CleanedTo is how far log compaction has got in a partition; 0 if nowhere.
func (s *Survey) CleanedTo(tp TopicPartition) Offset {
	if p := s.state.partition(tp); p != nil {
		return p.cleanedTo
	}
	return 0
}

// sortRuns lists the numbers of segments in order, where the runs of each end, and the runs.
func (s *Survey) sortRuns(compare func(a, b SegmentID) int) (numbers, ends []uint32, refs []runRef) {
	ends = make([]uint32, s.state.table.used)
	for n, use := range s.state.table.uses {
		if ends[n] = use.runs; use.runs > 0 {
			numbers = append(numbers, uint32(n))
		}
	}
	slices.SortFunc(numbers, func(a, b uint32) int { return compare(s.state.table.at(a).id, s.state.table.at(b).id) })
	total := uint32(0)
	for _, n := range numbers { // where each begins; filling moves it to where it ends
		ends[n], total = total, total+ends[n]
	}
	refs = make([]runRef, total)
	for r, ref := range s.eachRun {
		refs[ends[r.segment]] = ref
		ends[r.segment]++
	}
	return numbers, ends, refs
}

// eachRun yields the runs that have an object.
func (s *Survey) eachRun(yield func(*run, runRef) bool) {
	for _, t := range s.state.topics {
		for i := range t.partitions {
			p := &t.partitions[i]
			for j, r := range p.runs.all(0) {
				if r.segment != markerSegment && !yield(r, runRef{t.number, int32(i), uint32(j)}) {
					return
				}
			}
		}
	}
}
