package metastore

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrInvalidCommit: the request is not one that a broker makes; nothing of it was appended.
var ErrInvalidCommit = errors.New("invalid commit request")

// check refuses what could not be encoded or folded. Whoever builds commit requests has validated the batches, so a
// failure here is a defect, caught before it is in the log.
func (c *SegmentCommit) check() error {
	if c.Size < 0 {
		return fmt.Errorf("%w: segment %s of %d bytes", ErrInvalidCommit, c.ID, c.Size)
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

// tooOld tells whether a segment can no longer be committed. It uses the state's time too: whatever the state has
// forgotten is refused by every broker, whatever its clock says.
func (s *State) tooOld(id SegmentID, now time.Time) bool {
	latest := max(now.UnixMilli(), s.time)
	return latest-id.Time().UnixMilli() > MaxSegmentAge.Milliseconds()
}

// decideCommit gives offsets to segments that are neither known nor too old. It is a pure function of state and
// request; batches are judged in order, each seeing the ones before it.
func (s *State) decideCommit(segments []*SegmentCommit) commitSegments {
	d := commitDecision{state: s, partitions: make(map[TopicPartition]*partitionDecision)}
	c := commitSegments{segments: make([]committedSegment, len(segments))}
	for i, in := range segments {
		out := &c.segments[i]
		out.id, out.size = in.ID, in.Size
		out.runs = make([]committedRun, len(in.Runs))
		for j := range in.Runs {
			d.decideRun(&in.Runs[j], &out.runs[j])
		}
	}
	return c
}

// commitDecision is what the state will be after the batches that were decided so far.
type commitDecision struct {
	state      *State
	partitions map[TopicPartition]*partitionDecision
}

type partitionDecision struct {
	high      Offset
	known     *partition
	producers map[ProducerID]*producer // those that this decision changed
}

func (d *commitDecision) partition(tp TopicPartition) *partitionDecision {
	if p, ok := d.partitions[tp]; ok {
		return p
	}
	var p *partitionDecision
	if known := d.state.partition(tp); known != nil {
		p = &partitionDecision{high: known.high, known: known}
	}
	d.partitions[tp] = p
	return p
}

func (d *commitDecision) decideRun(in *RunCommit, out *committedRun) {
	out.TopicPartition, out.position = in.TopicPartition, in.Position
	out.batches = make([]committedBatch, len(in.Batches))
	p := d.partition(in.TopicPartition)
	for i := range in.Batches {
		b := &in.Batches[i]
		o := &out.batches[i]
		*o = committedBatch{
			length: b.Length, records: b.Records, maxTimestamp: b.MaxTimestamp,
			producerID: b.ProducerID, producerEpoch: b.ProducerEpoch, baseSequence: b.BaseSequence,
			verdict: UnknownPartition, offset: NoOffset,
		}
		if p != nil {
			o.verdict, o.offset = p.decide(b, d.state.time)
		}
	}
}

func (p *partitionDecision) decide(b *BatchCommit, at int64) (Verdict, Offset) {
	offset := p.high
	if b.At > 0 {
		offset = b.At - 1
	}
	var from *producer
	if b.ProducerID != NoProducerID {
		from = p.producer(b.ProducerID)
		if verdict, first := from.judge(b); verdict != Accepted {
			return verdict, first
		}
	}
	if offset < p.high || offset > math.MaxInt64-Offset(b.Records) {
		return OffsetNotMonotonic, NoOffset
	}
	p.high = offset + Offset(b.Records)
	if b.ProducerID != NoProducerID {
		if from == nil {
			from = &producer{epoch: -1}
			p.keep(b.ProducerID, from)
		}
		from.accepted(b.ProducerEpoch, b.BaseSequence, b.Records, offset, at)
	}
	return Accepted, offset
}

// producer returns a copy that the decision may change, or nil if the partition does not know the producer.
func (p *partitionDecision) producer(id ProducerID) *producer {
	if changed, ok := p.producers[id]; ok {
		return changed
	}
	known, ok := p.known.producers[id]
	if !ok {
		return nil
	}
	own := *known
	p.keep(id, &own)
	return &own
}

func (p *partitionDecision) keep(id ProducerID, own *producer) {
	if p.producers == nil {
		p.producers = make(map[ProducerID]*producer)
	}
	p.producers[id] = own
}
