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

// tooOld tells whether a segment can no longer be committed; nor can one from the future, which would be remembered for
// too long. It uses the state's time too: whatever the state has
// forgotten is refused by every broker, whatever its clock says.
func (s *State) tooOld(id SegmentID, now time.Time) bool {
	latest, bound := max(now.UnixMilli(), s.time), MaxSegmentAge.Milliseconds()
	age := latest - id.Time().UnixMilli()
	return age > bound || age < -bound
}

// decideCommit gives offsets to segments that are neither known nor too old. It is a pure function of state and
// request; batches are judged in order, each seeing the ones before it.
func (s *State) decideCommit(segments []*SegmentCommit) commitSegments {
	runs, batches := 0, 0
	for _, in := range segments {
		runs += len(in.Runs)
		for i := range in.Runs {
			batches += len(in.Runs[i].Batches)
		}
	}
	d := commitDecision{
		state:      s,
		partitions: make(map[TopicPartition]*partitionDecision, runs),
		decided:    make([]committedBatch, batches),
	}
	c := commitSegments{segments: make([]committedSegment, len(segments))}
	made := make([]committedRun, runs)
	for i, in := range segments {
		out := &c.segments[i]
		out.id, out.size = in.ID, in.Size
		out.runs, made = made[:len(in.Runs):len(in.Runs)], made[len(in.Runs):]
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
	producers  map[decidedProducer]*producer // those that this decision changed
	decided    []committedBatch              // room for what is not decided yet
	made       []producer                    // room for producers
}

type partitionDecision struct {
	high  Offset
	known *partition
}

type decidedProducer struct {
	in *partitionDecision
	id ProducerID
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
	n := len(in.Batches)
	out.batches, d.decided = d.decided[:n:n], d.decided[n:]
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
			o.verdict, o.offset = d.decide(p, b)
		}
	}
}

func (d *commitDecision) decide(p *partitionDecision, b *BatchCommit) (Verdict, Offset) {
	offset := p.high
	if b.At > 0 {
		offset = b.At - 1
	}
	var from *producer
	if b.ProducerID != NoProducerID {
		from = d.producer(p, b.ProducerID)
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
			from = d.keep(p, b.ProducerID, producer{epoch: -1})
		}
		from.accepted(b.ProducerEpoch, b.BaseSequence, b.Records, offset, d.state.time)
	}
	return Accepted, offset
}

// producer returns a copy that the decision may change, or nil if the partition does not know the producer.
func (d *commitDecision) producer(p *partitionDecision, id ProducerID) *producer {
	if changed, ok := d.producers[decidedProducer{p, id}]; ok {
		return changed
	}
	if known, ok := p.known.producers[id]; ok {
		return d.keep(p, id, *known)
	}
	return nil
}

func (d *commitDecision) keep(p *partitionDecision, id ProducerID, own producer) *producer {
	if d.producers == nil {
		d.producers = make(map[decidedProducer]*producer, len(d.decided))
	}
	if len(d.made) == cap(d.made) {
		d.made = make([]producer, 0, 64) // the full one stays: it is pointed into
	}
	d.made = append(d.made, own)
	kept := &d.made[len(d.made)-1]
	d.producers[decidedProducer{p, id}] = kept
	return kept
}
