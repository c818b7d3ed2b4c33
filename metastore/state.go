package metastore

import (
	"errors"
	"math"
	"sync"
	"time"
)

// MaxSegmentAge is how long after its creation a segment can be committed: as long as producers wait by default, so that
// nobody waits for one that is older. The state remembers the segments that were committed for that long, their entries are
// kept as long, and an object older than it without a commit will never get one. It goes by ReplicaOptions.Now, which has to
// agree between brokers to within a fraction of it.
const MaxSegmentAge = 2 * time.Minute

// MaxRewriteAge is to the segments of a swap what MaxSegmentAge is to those of a commit.
const MaxRewriteAge = time.Hour

var (
	// ErrUnknownPartition: there is no such topic or partition.
	ErrUnknownPartition = errors.New("unknown topic or partition")
	// ErrOffsetOutOfRange: the offset is below the log start or above the high watermark.
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrTopicAltered: the settings of the topic are not those any more that somebody went by.
	ErrTopicAltered = errors.New("the settings of the topic were altered")
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
	MaxTimestamp int64   // ms; below 0: no record has a timestamp, see Untimed
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
	table          segmentTable
	recent         []uint32 // segments committed in the last MaxSegmentAge or so, in order of commit
	rewritten      []uint32 // those of swaps of the last MaxRewriteAge or so, in order
	garbage        garbageList
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
	bytes          int64          // the sum of the lengths of the runs, which no format holds
	cleanedTo      Offset         // how far log compaction has got
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

func (r *run) end() Offset { return r.base + Offset(r.records) }

// NewState is the state of the empty log.
func NewState() *State {
	shared := &sharing{}
	return &State{
		topics:    make(map[TopicID]*topicState),
		names:     make(map[string]*topicState),
		table:     segmentTable{slab: slab[segment]{sharing: shared}, byID: make(map[SegmentID]uint32)},
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
	s.recent = s.forgetOlder(s.recent, MaxSegmentAge)
	s.rewritten = s.forgetOlder(s.rewritten, MaxRewriteAge)
}

// forgetOlder returns what is left of a list of segments.
func (s *State) forgetOlder(list []uint32, age time.Duration) []uint32 {
	horizon := time.UnixMilli(s.time).Add(-age)
	n := 0
	for n < len(list) && s.table.at(list[n]).id.Time().Before(horizon) {
		s.table.unmark(list[n], knownRecent)
		n++
	}
	if n == len(list) {
		return nil
	}
	return list[n:]
}

// committed finds a segment whose commit is remembered.
func (s *State) committed(id SegmentID) (*segment, bool) {
	if i, ok := s.table.find(id); ok && s.table.uses[i].known&knownRecent != 0 {
		return s.table.at(i), true
	}
	return nil, false
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
		number := s.addSegment(segment{id: in.id, size: in.size, before: s.at}, &s.recent)
		for j := range in.runs {
			tp := in.runs[j].TopicPartition
			if t == nil || t.ID != tp.Topic {
				t = s.topics[tp.Topic]
			}
			if p := t.partition(tp.Partition); p != nil && s.take(t, p, number, &in.runs[j], at) {
				touched(tp)
			}
		}
		if s.table.uses[number].runs == 0 {
			s.becomesGarbage(number) // none of its batches was accepted
		}
	}
}

// addSegment remembers a segment as the latest of a list.
func (s *State) addSegment(g segment, list *[]uint32) uint32 {
	number := s.table.add(g)
	s.table.mark(number, knownRecent)
	*list = append(*list, number)
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
		if last == nil || b.offset != last.end() || last.records > math.MaxInt32-b.records {
			last = s.addRun(p, run{base: b.offset, segment: segment, maxTimestamp: b.maxTimestamp, position: position})
		}
		last.length += b.length
		s.table.lengthen(segment, b.length)
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

// addRun appends a run. A marker has its number in the markers already.
func (s *State) addRun(p *partition, r run) *run {
	if p.runs.len() == 0 {
		s.written++
	}
	s.runs++
	p.bytes += int64(r.length)
	if r.segment != markerSegment {
		s.table.name(r.segment, r.length)
	}
	return p.runs.add(r)
}

// replaceRuns puts runs in place of those from one index up to another. unnamed hears of segments that no run names any
// more.
func (s *State) replaceRuns(p *partition, from, to int, with []run, unnamed func(segment uint32)) {
	if p.runs.len() > 0 {
		s.written--
	}
	for i := range with {
		s.table.name(with[i].segment, with[i].length)
		p.bytes += int64(with[i].length)
	}
	for _, runs := range p.runs.between(from, to) {
		for i := range runs {
			r := &runs[i]
			p.bytes -= int64(r.length)
			if r.segment == markerSegment {
				s.markers.drop(r.position)
			} else if s.table.unname(r.segment, r.length) {
				unnamed(r.segment)
			}
		}
	}
	s.runs += len(with) - (to - from)
	p.runs.replace(from, to, with)
	if p.runs.len() > 0 {
		s.written++
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
