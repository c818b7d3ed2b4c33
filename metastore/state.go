package metastore

import (
	"errors"
	"math"
	"sort"
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
	SegmentSize  int64  // bytes of the whole object
	Position     uint32 // bytes from the start of the object
	Length       uint32 // bytes
	MaxTimestamp int64  // ms
}

// State is what the commit log folds into, the same on every broker. It is not safe for concurrent use; Replica guards
// it.
type State struct {
	at             Position
	time           int64 // greatest time of an entry, ms
	nextProducerID ProducerID
	topics         map[TopicID]*topicState
	names          map[string]*topicState
	segments       map[SegmentID]*segment
	recent         []*segment // committed in the last MaxSegmentAge or so, in order of commit
}

type topicState struct {
	*Topic
	partitions []partition
	frozen     [][]frozenProducer // in a clone: by partition, in place of their producers
}

// segment is a committed segment. before is the position of the entry before the one that committed it.
type segment struct {
	id     SegmentID
	size   int64
	before Position
}

type partition struct {
	logStart, high Offset
	runs           []run
	producers      map[ProducerID]*producer
}

type run struct {
	base         Offset
	segment      *segment
	maxTimestamp int64
	position     uint32
	length       uint32
	records      int32
}

// NewState is the state of the empty log.
func NewState() *State {
	return &State{
		topics:   make(map[TopicID]*topicState),
		names:    make(map[string]*topicState),
		segments: make(map[SegmentID]*segment),
	}
}

// apply folds the record at next. touched hears of every partition whose watermarks moved, or that came or went; of
// some more than once.
func (s *State) apply(next Position, r record, touched func(TopicPartition)) {
	s.time = max(s.time, r.time)
	r.apply(s, r.time, touched)
	s.at = next
	s.forgetSegments()
}

// forgetSegments drops what is too old to be asked for again: a segment is refused by its age before this happens.
func (s *State) forgetSegments() {
	horizon := time.UnixMilli(s.time).Add(-MaxSegmentAge)
	n := 0
	for n < len(s.recent) && s.recent[n].id.Time().Before(horizon) {
		delete(s.segments, s.recent[n].id)
		n++
	}
	if n == len(s.recent) {
		s.recent = nil
	} else {
		s.recent = s.recent[n:]
	}
}

func (s *State) partition(tp TopicPartition) *partition {
	t, ok := s.topics[tp.Topic]
	if !ok || tp.Partition < 0 || tp.Partition >= int32(len(t.partitions)) {
		return nil
	}
	return &t.partitions[tp.Partition]
}

func (c commitSegments) apply(s *State, at int64, touched func(TopicPartition)) {
	for i := range c.segments {
		in := &c.segments[i]
		seg := &segment{id: in.id, size: in.size, before: s.at}
		s.segments[in.id] = seg
		s.recent = append(s.recent, seg)
		for j := range in.runs {
			if p := s.partition(in.runs[j].TopicPartition); p != nil && p.take(seg, &in.runs[j], at) {
				touched(in.runs[j].TopicPartition)
			}
		}
	}
}

// take appends the accepted batches of a run, as one run for each stretch of them without a gap (and whose count fits),
// and tells whether there were any.
func (p *partition) take(seg *segment, in *committedRun, at int64) bool {
	position, last, any := in.position, (*run)(nil), false
	for i := range in.batches {
		b := &in.batches[i]
		if b.verdict != Accepted {
			position += b.length
			last = nil
			continue
		}
		if last == nil || b.offset != last.base+Offset(last.records) || last.records > math.MaxInt32-b.records {
			p.runs = append(p.runs, run{base: b.offset, segment: seg, maxTimestamp: b.maxTimestamp, position: position})
			last = &p.runs[len(p.runs)-1]
		}
		last.length += b.length
		last.records += b.records
		last.maxTimestamp = max(last.maxTimestamp, b.maxTimestamp)
		position += b.length
		p.high = b.offset + Offset(b.records)
		any = true
		if b.producerID != NoProducerID {
			p.producer(b.producerID).accepted(b.producerEpoch, b.baseSequence, b.records, b.offset, at)
		}
	}
	return any
}

func (p *partition) producer(id ProducerID) *producer {
	if p.producers == nil {
		p.producers = make(map[ProducerID]*producer)
	}
	known, ok := p.producers[id]
	if !ok {
		known = &producer{epoch: -1}
		p.producers[id] = known
	}
	return known
}

// find returns the index of the first run that ends after the offset.
func (p *partition) find(offset Offset) int {
	return sort.Search(len(p.runs), func(i int) bool { return p.runs[i].base+Offset(p.runs[i].records) > offset })
}

func (p *partition) watermarks() Watermarks {
	return Watermarks{LogStart: p.logStart, High: p.high, Stable: p.high}
}

func (r *run) export() Run {
	return Run{
		Base: r.base, Records: r.records, Segment: r.segment.id, SegmentSize: r.segment.size,
		Position: r.position, Length: r.length, MaxTimestamp: r.maxTimestamp,
	}
}
