package metastore

import (
	"errors"
	"math"
	"sync"
	"time"
)

// MaxSegmentAge is how long after its creation a segment can be committed. The state remembers the segments that were
// committed for that long, and an object older than it without a commit will never get one. It goes by
// ReplicaOptions.Now, which has to agree between brokers to within a fraction of it.
const MaxSegmentAge = 10 * time.Minute

var (
	// ErrUnknownPartition: there is no such topic or partition.
	ErrUnknownPartition = errors.New("unknown topic or partition")
	// ErrOffsetOutOfRange: the offset is below the log start or above the high watermark.
	ErrOffsetOutOfRange = errors.New("offset out of range")
)

// Topic is a topic as of some position. It never changes; a change of the topic makes another value.
type Topic struct {
	ID                TopicID
	Name              string
	Partitions        int32
	ReplicationFactor int16             // as asked for; there are no replicas
	Configs           map[string]string // overrides only, by Kafka's names
	CreatedAt         time.Time
}

// Watermarks are the borders of a partition: LogStart <= Stable <= High. High is the offset of the next record.
type Watermarks struct{ LogStart, High, Stable Offset }

// Run is a committed run: the batches lie back to back in the object and take offsets one after the other from Base.
type Run struct {
	Base         Offset
	Records      int32 // offsets taken
	Segment      SegmentID
	SegmentSize  int64   // bytes of the whole object
	Position     uint32  // bytes from the start of the object
	Length       uint32  // bytes
	MaxTimestamp int64   // ms
	Marker       *Marker // instead of an object: the batch that ends a transaction; nil for records
}

// State is what the commit log folds into, the same on every broker. It is not safe for concurrent use; Replica guards
// it.
type State struct {
	at             Position
	time           int64 // greatest time of an entry, ms
	nextProducerID ProducerID
	topics         map[TopicID]*topicState
	names          map[string]*topicState
	numbered       []*topicState // by number; nil where it is free or its topic is being dropped
	segments       map[SegmentID]*segment
	recent         []uint32 // committed in the last MaxSegmentAge or so, in order of commit
	table          segmentTable
	producers      producerTable
	txns           txnTable
	markers        markerTable
	dropped        droppedTopics
	configs        *configOverrides // nil: none; replaced, never changed
	runs           int              // of all partitions
	written        int              // partitions that have runs
	sharing        *sharing
	decisions      *sync.Pool
}

type topicState struct {
	*Topic
	number     uint32
	partitions []partition
}

// partition is small, for there may be very many that nobody writes to.
type partition struct {
	logStart, high Offset
	runs           runList
	bytes          int64          // the sum of the lengths of the runs that end above the log start, which no format holds
	producers      *producerIndex // nil if there are none
	txns           *partitionTxns // nil if there was none yet
}

// run has no pointer: there are millions, and the garbage collector need not look at them. A marker has markerSegment and,
// as its position, its number in the markers.
type run struct {
	base         Offset
	maxTimestamp int64
	segment      uint32 // its number in the table
	position     uint32
	length       uint32
	records      int32
}

// NewState is the state of the empty log.
func NewState() *State {
	shared := &sharing{}
	return &State{
		topics:    make(map[TopicID]*topicState),
		names:     make(map[string]*topicState),
		segments:  make(map[SegmentID]*segment),
		table:     segmentTable{slab: slab[segment]{sharing: shared}},
		producers: newProducerTable(shared),
		txns:      newTxnTable(shared),
		markers:   markerTable{slab: slab[Marker]{sharing: shared}},
		sharing:   shared,
		decisions: newDecisions(),
	}
}

// apply folds the record at next. touched hears of every partition whose watermarks moved, or that came or went; of
// some more than once.
func (s *State) apply(next Position, r record, touched func(TopicPartition)) {
	s.time = max(s.time, r.time)
	r.apply(s, r.time, touched)
	s.at = next
	s.forgetSegments()
	s.dropped.release(s, releaseStep)
}

// forgetSegments drops what is too old to be asked for again: a segment is refused by its age before this happens.
func (s *State) forgetSegments() {
	horizon := time.UnixMilli(s.time).Add(-MaxSegmentAge)
	n := 0
	for n < len(s.recent) && s.table.at(s.recent[n]).id.Time().Before(horizon) {
		delete(s.segments, s.table.at(s.recent[n]).id)
		s.table.drop(s.recent[n])
		n++
	}
	if n == len(s.recent) {
		s.recent = nil
	} else {
		s.recent = s.recent[n:]
	}
}

func (s *State) partition(tp TopicPartition) *partition {
	return s.topics[tp.Topic].partition(tp.Partition)
}

// partition returns nil if there is none; a nil topic has none.
func (t *topicState) partition(i int32) *partition {
	if t == nil || i < 0 || i >= int32(len(t.partitions)) {
		return nil
	}
	return &t.partitions[i]
}

func (c commitSegments) apply(s *State, at int64, touched func(TopicPartition)) {
	var t *topicState // of the run before: most runs follow one of their own topic
	for i := range c.segments {
		in := &c.segments[i]
		number := s.addSegment(segment{id: in.id, size: in.size, before: s.at})
		for j := range in.runs {
			tp := in.runs[j].TopicPartition
			if t == nil || t.ID != tp.Topic {
				t = s.topics[tp.Topic]
			}
			if p := t.partition(tp.Partition); p != nil && s.take(t, p, number, &in.runs[j], at) {
				touched(tp)
			}
		}
	}
}

// addSegment remembers a segment as the latest.
func (s *State) addSegment(g segment) uint32 {
	number := s.table.add(g)
	s.table.refer(number)
	s.recent = append(s.recent, number)
	s.segments[g.id] = s.table.at(number)
	return number
}

// take appends the accepted batches of a run, as one run for each stretch of them without a gap (and whose count fits),
// and tells whether there were any.
func (s *State) take(t *topicState, p *partition, segment uint32, in *committedRun, at int64) bool {
	position, last, any := in.position, (*run)(nil), false
	for i := range in.batches {
		b := &in.batches[i]
		if b.verdict != Accepted {
			position += b.length
			last = nil
			continue
		}
		if last == nil || b.offset != last.base+Offset(last.records) || last.records > math.MaxInt32-b.records {
			last = s.addRun(p, run{base: b.offset, segment: segment, maxTimestamp: b.maxTimestamp, position: position})
			s.table.refer(segment)
		}
		last.length += b.length
		p.bytes += int64(b.length)
		last.records += b.records
		p.runs.raiseLast(b.maxTimestamp)
		position += b.length
		p.high = b.offset + Offset(b.records)
		any = true
		if b.producerID != NoProducerID {
			n, ok := s.producers.find(p.producers, b.producerID)
			if !ok {
				n = s.producers.add(p, t.number, in.Partition, b.producerID)
			}
			s.producers.accepted(n, b, at)
		}
		if b.transactional {
			s.wroteInTxn(p, in.TopicPartition, b, at)
		}
	}
	return any
}

func (s *State) addRun(p *partition, r run) *run {
	if p.runs.len() == 0 {
		s.written++
	}
	s.runs++
	return p.runs.add(r)
}

// removeLastRun takes a run away, and lets go of its segment, or of its marker.
func (s *State) removeLastRun(p *partition) {
	s.dropRun(p.runs.at(p.runs.len() - 1))
	p.runs.removeLast()
	s.runs--
	if p.runs.len() == 0 {
		s.written--
	}
}

// dropRun lets go of what a run names.
func (s *State) dropRun(r *run) {
	if r.segment == markerSegment {
		s.markers.drop(r.position)
	} else {
		s.table.drop(r.segment)
	}
}

func (p *partition) watermarks() Watermarks {
	return Watermarks{LogStart: p.logStart, High: p.high, Stable: p.stable()}
}

func (s *State) export(r *run) Run {
	if r.segment == markerSegment {
		marker := *s.markers.at(r.position)
		return r.marked(&marker)
	}
	g := s.table.at(r.segment)
	return Run{
		Base: r.base, Records: r.records, Segment: g.id, SegmentSize: g.size,
		Position: r.position, Length: r.length, MaxTimestamp: r.maxTimestamp,
	}
}

// marked is what others see of a run without an object.
func (r *run) marked(m *Marker) Run {
	return Run{Base: r.base, Records: r.records, Length: r.length, MaxTimestamp: r.maxTimestamp, Marker: m}
}
