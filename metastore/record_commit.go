package metastore

import (
	"encoding/binary"
	"math"
)

// commitSegments is the sequencing of segments: what was asked and what came of each batch.
type commitSegments struct {
	segments []committedSegment
}

type committedSegment struct {
	id   SegmentID
	size int64
	runs []committedRun
}

type committedRun struct {
	TopicPartition
	position uint32
	batches  []committedBatch
}

type committedBatch struct {
	length        uint32
	records       int32
	maxTimestamp  int64
	producerID    ProducerID
	producerEpoch ProducerEpoch
	baseSequence  int32
	verdict       Verdict
	offset        Offset
}

// Bits of the first byte of a batch; the low four hold the verdict.
const (
	batchHasProducer = 1 << 6
	batchHasOffset   = 1 << 7 // else it follows the last accepted batch of the run
	batchVerdictMask = 0x0f
)

func (c commitSegments) kind() kind { return kindCommit }

func (c commitSegments) append(b []byte) []byte {
	topics, index := c.topicTable()
	b = binary.AppendUvarint(b, uint64(len(topics)))
	for _, t := range topics {
		b = append(b, t[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(c.segments)))
	for i := range c.segments {
		s := &c.segments[i]
		b = append(b, s.id[:]...)
		b = binary.AppendUvarint(b, uint64(s.size))
		b = binary.AppendUvarint(b, uint64(len(s.runs)))
		for j := range s.runs {
			b = s.runs[j].append(b, index)
		}
	}
	return b
}

// topicTable lists the topics in order of first use: a commit of hundreds of runs names few topics.
func (c commitSegments) topicTable() ([]TopicID, map[TopicID]int) {
	var topics []TopicID
	index := make(map[TopicID]int)
	for i := range c.segments {
		for j := range c.segments[i].runs {
			t := c.segments[i].runs[j].Topic
			if _, ok := index[t]; !ok {
				index[t] = len(topics)
				topics = append(topics, t)
			}
		}
	}
	return topics, index
}

func (r *committedRun) append(b []byte, topics map[TopicID]int) []byte {
	b = binary.AppendUvarint(b, uint64(topics[r.Topic]))
	b = binary.AppendUvarint(b, uint64(r.Partition))
	b = binary.AppendUvarint(b, uint64(r.position))
	b = binary.AppendUvarint(b, uint64(len(r.batches)))
	next, timestamp := NoOffset, int64(0)
	for i := range r.batches {
		x := &r.batches[i]
		flags := byte(x.verdict)
		if x.producerID != NoProducerID {
			flags |= batchHasProducer
		}
		if x.offset != NoOffset && x.offset != next {
			flags |= batchHasOffset
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(x.length))
		b = binary.AppendUvarint(b, uint64(x.records))
		b = binary.AppendVarint(b, x.maxTimestamp-timestamp)
		timestamp = x.maxTimestamp
		if flags&batchHasProducer != 0 {
			b = binary.AppendUvarint(b, uint64(x.producerID))
			b = binary.AppendUvarint(b, uint64(x.producerEpoch))
			b = binary.AppendUvarint(b, uint64(x.baseSequence))
		}
		if flags&batchHasOffset != 0 {
			b = binary.AppendUvarint(b, uint64(x.offset))
		}
		if x.verdict == Accepted {
			next = x.offset + Offset(x.records)
		}
	}
	return b
}

func decodeCommit(d *decoder) commitSegments {
	topics := make([]TopicID, d.count(16, "topics"))
	for i := range topics {
		topics[i] = d.uuid()
	}
	c := commitSegments{segments: make([]committedSegment, d.count(18, "segments"))}
	for i := range c.segments {
		s := &c.segments[i]
		s.id = d.uuid()
		s.size = int64(d.uvarintMax(math.MaxInt64, "segment size"))
		s.runs = make([]committedRun, d.count(4, "runs"))
		for j := range s.runs {
			s.runs[j].decode(d, topics)
		}
	}
	return c
}

func (r *committedRun) decode(d *decoder, topics []TopicID) {
	if t := d.uvarint(); t < uint64(len(topics)) {
		r.Topic = topics[t]
	} else {
		d.fail("topic reference")
	}
	r.Partition = int32(d.uvarintMax(math.MaxInt32, "partition"))
	r.position = uint32(d.uvarintMax(math.MaxUint32, "position"))
	r.batches = make([]committedBatch, d.count(4, "batches"))
	next, timestamp := NoOffset, int64(0)
	for i := range r.batches {
		x := &r.batches[i]
		flags := d.byte()
		x.verdict = Verdict(flags & batchVerdictMask)
		if x.verdict >= verdicts {
			d.fail("verdict")
		}
		x.length = uint32(d.uvarintMax(math.MaxUint32, "batch length"))
		x.records = int32(d.uvarintMax(math.MaxInt32, "record count"))
		timestamp += d.varint()
		x.maxTimestamp = timestamp
		x.producerID = NoProducerID
		if flags&batchHasProducer != 0 {
			x.producerID = ProducerID(d.uvarintMax(math.MaxInt64, "producer id"))
			x.producerEpoch = ProducerEpoch(d.uvarintMax(math.MaxInt16, "producer epoch"))
			x.baseSequence = int32(d.uvarintMax(math.MaxInt32, "sequence"))
		}
		x.offset = NoOffset
		switch {
		case flags&batchHasOffset != 0:
			x.offset = Offset(d.uvarintMax(math.MaxInt64, "offset"))
		case x.verdict == Accepted:
			if next == NoOffset {
				d.fail("first accepted batch without an offset")
			}
			x.offset = next
		case x.verdict == Duplicate:
			x.offset = next
		}
		if x.verdict == Accepted {
			next = x.offset + Offset(x.records)
		}
	}
}

// result is the answer to who asked for the segment.
func (s *committedSegment) result(logStart func(TopicPartition) Offset) SegmentResult {
	res := SegmentResult{Runs: make([][]BatchResult, len(s.runs))}
	for i := range s.runs {
		run := &s.runs[i]
		start := logStart(run.TopicPartition)
		res.Runs[i] = make([]BatchResult, len(run.batches))
		for j := range run.batches {
			res.Runs[i][j] = BatchResult{Verdict: run.batches[j].verdict, Offset: run.batches[j].offset, LogStart: start}
		}
	}
	return res
}
