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

// committedBatch has its large fields first, so that they need no padding: there are very many.
type committedBatch struct {
	maxTimestamp  int64
	producerID    ProducerID
	offset        Offset
	length        uint32
	records       int32
	baseSequence  int32
	producerEpoch ProducerEpoch
	verdict       Verdict
	transactional bool
}

// Bits of the first byte of a batch; the low four hold the verdict.
const (
	batchTransactional = 1 << 4
	batchHasProducer   = 1 << 6
	batchHasOffset     = 1 << 7 // else it follows the last accepted batch of the run
	batchVerdictMask   = 0x0f
)

func (c commitSegments) kind() kind { return kindCommit }

// sizeHint is about how long the encoding will be, rather more than less.
func (c commitSegments) sizeHint() int {
	size := 64
	for i := range c.segments {
		runs := c.segments[i].runs
		size += 32 + 8*len(runs)
		for j := range runs {
			size += 20 * len(runs[j].batches)
		}
	}
	return size
}

func (c commitSegments) append(b []byte) []byte {
	topics := topicTable{index: make(map[TopicID]int)}
	for i := range c.segments {
		for j := range c.segments[i].runs {
			topics.of(c.segments[i].runs[j].Topic)
		}
	}
	b = topics.append(b)
	b = binary.AppendUvarint(b, uint64(len(c.segments)))
	for i := range c.segments {
		s := &c.segments[i]
		b = append(b, s.id[:]...)
		b = binary.AppendUvarint(b, uint64(s.size))
		b = binary.AppendUvarint(b, uint64(len(s.runs)))
		for j := range s.runs {
			b = s.runs[j].append(b, &topics)
		}
	}
	return b
}

// topicTable lists topics in order of first use: a commit of hundreds of runs names few topics.
type topicTable struct {
	ids   []TopicID
	index map[TopicID]int
	last  int // most runs follow one of their own topic
}

// of returns the topic's place in the table, at the end if it was not there.
func (t *topicTable) of(id TopicID) int {
	if len(t.ids) > 0 && t.ids[t.last] == id {
		return t.last
	}
	i, ok := t.index[id]
	if !ok {
		i = len(t.ids)
		t.index[id] = i
		t.ids = append(t.ids, id)
	}
	t.last = i
	return i
}

func (t *topicTable) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.ids)))
	for _, id := range t.ids {
		b = append(b, id[:]...)
	}
	return b
}

// topics reads a topic table.
func (d *decoder) topics() []TopicID {
	topics := make([]TopicID, d.count(16, "topics"))
	for i := range topics {
		topics[i] = d.uuid()
	}
	return topics
}

func (r *committedRun) append(b []byte, topics *topicTable) []byte {
	b = binary.AppendUvarint(b, uint64(topics.of(r.Topic)))
	b = binary.AppendUvarint(b, uint64(r.Partition))
	b = binary.AppendUvarint(b, uint64(r.position))
	b = binary.AppendUvarint(b, uint64(len(r.batches)))
	next, timestamp := NoOffset, int64(0)
	for i := range r.batches {
		x := &r.batches[i]
		flags := byte(x.verdict)
		if x.transactional {
			flags |= batchTransactional
		}
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
	topics := d.topics()
	c := commitSegments{segments: make([]committedSegment, d.count(18, "segments"))}
	var room batchRoom
	for i := range c.segments {
		s := &c.segments[i]
		s.id = d.uuid()
		s.size = int64(d.uvarintMax(math.MaxInt64, "segment size"))
		s.runs = make([]committedRun, d.count(4, "runs"))
		for j := range s.runs {
			s.runs[j].decode(d, topics, &room)
		}
	}
	return c
}

// batchRoom is what is left of the batches that were made at once: there are too many runs for a slice of its own for
// each.
type batchRoom []committedBatch

// take returns n of them, and makes more when there are not enough: about as many as the bytes that are left to decode
// may hold, so that truncated or hostile bytes get no more room than they have length.
func (room *batchRoom) take(n int, d *decoder) []committedBatch {
	const batchBytes = 24 // of a common batch, with a producer, and its part of the run
	if n > len(*room) {
		*room = make([]committedBatch, max(n, d.left()/batchBytes))
	}
	taken := (*room)[:n:n]
	*room = (*room)[n:]
	return taken
}

func (r *committedRun) decode(d *decoder, topics []TopicID, room *batchRoom) {
	if t := d.uvarint(); t < uint64(len(topics)) {
		r.Topic = topics[t]
	} else {
		d.fail("topic reference")
	}
	r.Partition = int32(d.uvarintMax(math.MaxInt32, "partition"))
	r.position = uint32(d.uvarintMax(math.MaxUint32, "position"))
	r.batches = room.take(d.count(4, "batches"), d)
	next, timestamp := NoOffset, int64(0)
	for i := range r.batches {
		x := &r.batches[i]
		flags := d.byte()
		x.verdict = Verdict(flags & batchVerdictMask)
		if x.verdict >= verdicts {
			d.fail("verdict")
		}
		x.transactional = flags&batchTransactional != 0
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
