package metastore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// ErrInvalidCommit: the request is not one that a broker makes; nothing of it was appended.
var ErrInvalidCommit = errors.New("invalid commit request")

// check refuses what could not be encoded or folded. Whoever builds commit requests has validated the batches, so a
// failure here is a defect, caught before it is in the log.
func (c *SegmentCommit) check() error {
	if c.Size < 0 || c.ID.Tier() != 0 {
		return fmt.Errorf("%w: segment %s of %d bytes, of tier %d", ErrInvalidCommit, c.ID, c.Size, c.ID.Tier())
	}
	for i := range c.Runs {
		r := &c.Runs[i]
		end := int64(r.Position)
		for j := range r.Batches {
			b := &r.Batches[j]
			end += int64(b.Length)
			if b.Records < 1 || b.At < 0 || b.ProducerID < NoProducerID ||
				b.ProducerID != NoProducerID && (b.ProducerEpoch < 0 || b.BaseSequence < 0) {
				return fmt.Errorf("%w: segment %s, %s, batch %d: %+v", ErrInvalidCommit, c.ID, r.TopicPartition, j, *b)
			}
		}
		if r.Partition < 0 || end > c.Size || end > math.MaxUint32 {
			return fmt.Errorf("%w: segment %s, %s ends at byte %d of %d", ErrInvalidCommit, c.ID, r.TopicPartition, end, c.Size)
		}
	}
	return nil
}

// tooOld tells whether a segment can no longer be committed; nor can one from the future, which would be remembered for
// too long. It goes by the log's time too, and by that of the entry that is being appended: once the log has an entry that is
// dated later than a segment may be, no later entry commits the segment, whatever the clock says of the broker that decides.
// So what the state has forgotten is refused, and an object that the log does not know by then it never will.
func (s *State) tooOld(id SegmentID, now time.Time, before *commitDecision) bool {
	latest := max(now.UnixMilli(), s.time)
	if before != nil {
		latest = max(latest, before.time)
	}
	return outOfAge(id, latest, MaxSegmentAge)
}

// outOfAge tells whether a segment was made longer ago than a bound, or as long in the future.
func outOfAge(id SegmentID, now int64, bound time.Duration) bool {
	age := now - id.Time().UnixMilli()
	return age > bound.Milliseconds() || age < -bound.Milliseconds()
}

// decideCommit gives offsets to segments that are neither known, nor held by before, nor too old. before is the decision
// of the entry that is being appended, or nil: the new decision is what it would be once that entry is folded. It is a
// pure function of state, before and request; batches are judged in order, each seeing the ones before it.
//
// The decision returned may be the next one's before as soon as its own before is folded. If the entry of before does
// not land where it was meant to, what was decided on it is void. A decision that is not needed any more may be released.
func (s *State) decideCommit(segments []*SegmentCommit, before *commitDecision) (commitSegments, *commitDecision) {
	runs, batches, idempotent := 0, 0, 0
	for _, in := range segments {
		runs += len(in.Runs)
		for i := range in.Runs {
			batches += len(in.Runs[i].Batches)
			for j := range in.Runs[i].Batches {
				if in.Runs[i].Batches[j].ProducerID != NoProducerID {
					idempotent++
				}
			}
		}
	}
	d := s.decisions.Get().(*commitDecision)
	d.state, d.before, d.decided = s, before, make([]committedBatch, batches)
	d.partitions = slices.Grow(d.partitions, runs)
	d.producers = slices.Grow(d.producers, idempotent)
	c := commitSegments{segments: make([]committedSegment, len(segments))}
	made := make([]committedRun, runs)
	for i, in := range segments {
		d.segments = append(d.segments, in.ID)
		out := &c.segments[i]
		out.id, out.size = in.ID, in.Size
		out.runs, made = made[:len(in.Runs):len(in.Runs)], made[len(in.Runs):]
		for j := range in.Runs {
			d.decideRun(&in.Runs[j], &out.runs[j])
		}
	}
	// Else a chain of all decisions ever made would stay in memory.
	d.state, d.before, d.decided, d.topic = nil, nil, nil, nil
	return c, d
}

// commitDecision is what partitions and producers will be after the batches that were decided so far, as far as they
// differ from the state: absolute values, not differences to what was decided before.
type commitDecision struct {
	state    *State           // while deciding
	before   *commitDecision  // while deciding
	decided  []committedBatch // while deciding: room for the batches to come
	topic    *topicState      // while deciding: of the run before
	segments []SegmentID
	time     int64 // of the entry

	index         map[decidedPartition]int32 // into partitions
	partitions    []partitionDecision
	producerIndex map[decidedProducer]int32 // into producers: those that this decision changed
	producers     []producer
	pool          *sync.Pool // of the state that it was made on
}

type decidedPartition uint64 // number of the topic, and partition: a key that is hashed fast

type partitionDecision struct {
	high    Offset
	known   *producerIndex // what the state has of producers; while deciding
	txns    *partitionTxns // what the state has of transactions; while deciding
	earlier int32          // in the partitions of before, or -1
}

type decidedProducer struct {
	partition int64
	id        ProducerID
}

// newDecisions is a pool of decisions without anything decided.
func newDecisions() *sync.Pool {
	pool := new(sync.Pool)
	pool.New = func() any {
		return &commitDecision{
			index: make(map[decidedPartition]int32), producerIndex: make(map[decidedProducer]int32), pool: pool,
		}
	}
	return pool
}

// release gives the memory of a decision to a later one. Nobody may use it any more, nor decide on it.
func (d *commitDecision) release() {
	if cap(d.partitions)+cap(d.producers) > 1<<14 {
		return // after one very large commit all the small ones would have large maps to clear
	}
	clear(d.index)
	clear(d.producerIndex)
	clear(d.partitions)
	d.segments, d.partitions, d.producers, d.time = d.segments[:0], d.partitions[:0], d.producers[:0], 0
	d.pool.Put(d)
}

// holds tells whether the segment is one of those decided on. A nil decision holds none.
func (d *commitDecision) holds(id SegmentID) bool {
	return d != nil && slices.Contains(d.segments, id)
}

// partition returns the index of a partition in d.partitions, false if there is no such partition.
func (d *commitDecision) partition(tp TopicPartition) (int32, bool) {
	if d.topic == nil || d.topic.ID != tp.Topic {
		d.topic = d.state.topics[tp.Topic]
	}
	known := d.topic.partition(tp.Partition)
	if known == nil {
		return 0, false
	}
	key := decidedPartition(d.topic.number)<<32 | decidedPartition(tp.Partition)
	if i, ok := d.index[key]; ok {
		return i, true
	}
	p := partitionDecision{high: known.high, known: known.producers, txns: known.txns, earlier: -1}
	if d.before != nil {
		if i, ok := d.before.index[key]; ok {
			p.high, p.earlier = d.before.partitions[i].high, i
		}
	}
	i := int32(len(d.partitions))
	d.partitions = append(d.partitions, p)
	d.index[key] = i
	return i, true
}

func (d *commitDecision) decideRun(in *RunCommit, out *committedRun) {
	out.TopicPartition, out.position = in.TopicPartition, in.Position
	n := len(in.Batches)
	out.batches, d.decided = d.decided[:n:n], d.decided[n:]
	p, known := d.partition(in.TopicPartition)
	for i := range in.Batches {
		b := &in.Batches[i]
		o := &out.batches[i]
		*o = committedBatch{
			length: b.Length, records: b.Records, maxTimestamp: b.MaxTimestamp, transactional: b.Transactional,
			producerID: b.ProducerID, producerEpoch: b.ProducerEpoch, baseSequence: b.BaseSequence,
			verdict: UnknownPartition, offset: NoOffset,
		}
		if known {
			o.verdict, o.offset = d.decide(p, in.TopicPartition, b)
		}
	}
}

func (d *commitDecision) decide(in int32, tp TopicPartition, b *BatchCommit) (Verdict, Offset) {
	p := &d.partitions[in]
	offset := p.high
	if b.At > 0 {
		offset = b.At - 1
	}
	var from *producer
	if b.ProducerID != NoProducerID || b.Transactional {
		from = d.producer(in, b.ProducerID)
		if verdict, first := d.judge(tp, from, b); verdict != Accepted {
			return verdict, first
		}
	}
	if offset < p.high || offset > endOfOffsets-Offset(b.Records) {
		return OffsetNotMonotonic, NoOffset
	}
	p.high = offset + Offset(b.Records)
	if b.ProducerID != NoProducerID {
		if from == nil {
			from = d.keep(in, b.ProducerID, producer{epoch: -1})
		}
		from.accepted(b.ProducerEpoch, b.BaseSequence, b.Records, offset, d.state.time)
		from.inTxn = b.Transactional
	}
	return Accepted, offset
}

// producer returns a copy that the decision may change, valid until the next is kept, or nil if the partition does not
// know the producer.
func (d *commitDecision) producer(in int32, id ProducerID) *producer {
	if i, ok := d.producerIndex[decidedProducer{int64(in), id}]; ok {
		return &d.producers[i]
	}
	p := &d.partitions[in]
	if p.earlier >= 0 {
		if i, ok := d.before.producerIndex[decidedProducer{int64(p.earlier), id}]; ok {
			return d.keep(in, id, d.before.producers[i])
		}
	}
	if n, ok := d.state.producers.find(p.known, id); ok {
		own := d.keep(in, id, d.state.producers.at(n).producer)
		own.inTxn = p.txns != nil && p.txns.openAt(id) != NoOffset
		return own
	}
	return nil
}

func (d *commitDecision) keep(in int32, id ProducerID, own producer) *producer {
	i := int32(len(d.producers))
	d.producers = append(d.producers, own)
	d.producerIndex[decidedProducer{int64(in), id}] = i
	return &d.producers[i]
}
