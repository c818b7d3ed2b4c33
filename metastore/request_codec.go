package metastore

import (
	"encoding/binary"
	"fmt"
	"math"
)

// requestVersion is the version of the commit request and answer formats that this package writes. See FORMAT.md.
const requestVersion = 1

// Bits of the first byte of a batch in a request.
const (
	requestHasProducer   = 1 << 0
	requestAfterLoss     = 1 << 1
	requestHasAt         = 1 << 2
	requestTransactional = 1 << 3
	requestImplicit      = 1 << 4
	requestFlags         = requestHasProducer | requestAfterLoss | requestHasAt | requestTransactional | requestImplicit
)

// AppendCommitRequest appends the encoding of segments, for the broker that sequences on behalf of others.
func AppendCommitRequest(b []byte, segments []SegmentCommit) []byte {
	b = append(b, requestVersion)
	topics, index := requestTopics(segments)
	b = binary.AppendUvarint(b, uint64(len(topics)))
	for _, t := range topics {
		b = append(b, t[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(segments)))
	for i := range segments {
		s := &segments[i]
		b = append(b, s.ID[:]...)
		b = binary.AppendUvarint(b, uint64(s.Size))
		b = binary.AppendUvarint(b, uint64(len(s.Runs)))
		for j := range s.Runs {
			b = s.Runs[j].appendRequest(b, index[s.Runs[j].Topic])
		}
	}
	return b
}

// requestTopics lists the topics in order of first use, and where each stands.
func requestTopics(segments []SegmentCommit) ([]TopicID, map[TopicID]int) {
	var topics []TopicID
	index := make(map[TopicID]int)
	for i := range segments {
		for j := range segments[i].Runs {
			t := segments[i].Runs[j].Topic
			if _, ok := index[t]; !ok {
				index[t] = len(topics)
				topics = append(topics, t)
			}
		}
	}
	return topics, index
}

func (r *RunCommit) appendRequest(b []byte, topic int) []byte {
	b = binary.AppendUvarint(b, uint64(topic))
	b = binary.AppendUvarint(b, uint64(r.Partition))
	b = binary.AppendUvarint(b, uint64(r.Position))
	b = binary.AppendUvarint(b, uint64(len(r.Batches)))
	timestamp := int64(0)
	for i := range r.Batches {
		x := &r.Batches[i]
		flags := byte(0)
		if x.ProducerID != NoProducerID {
			flags |= requestHasProducer
		}
		if x.AfterLoss {
			flags |= requestAfterLoss
		}
		if x.At != 0 {
			flags |= requestHasAt
		}
		if x.Transactional {
			flags |= requestTransactional
		}
		if x.Implicit {
			flags |= requestImplicit
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(x.Length))
		b = binary.AppendUvarint(b, uint64(x.Records))
		b = binary.AppendVarint(b, x.MaxTimestamp-timestamp)
		timestamp = x.MaxTimestamp
		if flags&requestHasProducer != 0 {
			b = binary.AppendUvarint(b, uint64(x.ProducerID))
			b = binary.AppendUvarint(b, uint64(x.ProducerEpoch))
			b = binary.AppendUvarint(b, uint64(x.BaseSequence))
		}
		if flags&requestHasAt != 0 {
			b = binary.AppendUvarint(b, uint64(x.At))
		}
	}
	return b
}

// DecodeCommitRequest reads what AppendCommitRequest wrote. The segments are as valid as Commit demands. ErrCorrupt,
// ErrNewerFormat, ErrInvalidCommit.
func DecodeCommitRequest(b []byte) ([]SegmentCommit, error) {
	d := &decoder{b: b}
	if v := d.byte(); d.err == nil && v != requestVersion {
		return nil, fmt.Errorf("%w: commit request version %d", ErrNewerFormat, v)
	}
	topics := make([]TopicID, d.count(16, "topics"))
	for i := range topics {
		topics[i] = d.uuid()
	}
	segments := make([]SegmentCommit, d.count(18, "segments"))
	for i := range segments {
		s := &segments[i]
		s.ID = d.uuid()
		s.Size = int64(d.uvarintMax(math.MaxInt64, "segment size"))
		s.Runs = make([]RunCommit, d.count(4, "runs"))
		for j := range s.Runs {
			s.Runs[j].decodeRequest(d, topics)
		}
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("commit request: %w", err)
	}
	return segments, CheckCommit(segments)
}

func (r *RunCommit) decodeRequest(d *decoder, topics []TopicID) {
	if t := d.uvarint(); t < uint64(len(topics)) {
		r.Topic = topics[t]
	} else {
		d.fail("topic reference")
	}
	r.Partition = int32(d.uvarintMax(math.MaxInt32, "partition"))
	r.Position = uint32(d.uvarintMax(math.MaxUint32, "position"))
	r.Batches = make([]BatchCommit, d.count(4, "batches"))
	timestamp := int64(0)
	for i := range r.Batches {
		x := &r.Batches[i]
		flags := d.byte()
		if flags&^requestFlags != 0 {
			d.fail("batch flags")
		}
		x.Length = uint32(d.uvarintMax(math.MaxUint32, "batch length"))
		x.Records = int32(d.uvarintMax(math.MaxInt32, "record count"))
		timestamp += d.varint()
		x.MaxTimestamp = timestamp
		x.ProducerID = NoProducerID
		if flags&requestHasProducer != 0 {
			x.ProducerID = ProducerID(d.uvarintMax(math.MaxInt64, "producer id"))
			x.ProducerEpoch = ProducerEpoch(d.uvarintMax(math.MaxInt16, "producer epoch"))
			x.BaseSequence = int32(d.uvarintMax(math.MaxInt32, "sequence"))
		}
		x.AfterLoss = flags&requestAfterLoss != 0
		x.Transactional, x.Implicit = flags&requestTransactional != 0, flags&requestImplicit != 0
		if flags&requestHasAt != 0 {
			x.At = Offset(d.uvarintMax(math.MaxInt64, "offset"))
		}
	}
}

// AppendCommitAnswer appends the encoding of the answer to a commit: its results, and a position of the log that holds
// them.
func AppendCommitAnswer(b []byte, through Seq, results []SegmentResult) []byte {
	b = append(b, requestVersion)
	b = binary.AppendUvarint(b, uint64(through))
	b = binary.AppendUvarint(b, uint64(len(results)))
	for _, s := range results {
		b = binary.AppendUvarint(b, uint64(len(s.Runs)))
		for _, run := range s.Runs {
			b = binary.AppendUvarint(b, uint64(len(run)))
			last := BatchResult{Offset: NoOffset, LogStart: NoOffset}
			for _, x := range run {
				b = append(b, byte(x.Verdict))
				b = binary.AppendVarint(b, int64(x.Offset-last.Offset))
				b = binary.AppendVarint(b, int64(x.LogStart-last.LogStart))
				last = x
			}
		}
	}
	return b
}

// DecodeCommitAnswer reads what AppendCommitAnswer wrote. ErrCorrupt, ErrNewerFormat.
func DecodeCommitAnswer(b []byte) (through Seq, results []SegmentResult, err error) {
	d := &decoder{b: b}
	if v := d.byte(); d.err == nil && v != requestVersion {
		return 0, nil, fmt.Errorf("%w: commit answer version %d", ErrNewerFormat, v)
	}
	through = Seq(d.uvarintMax(math.MaxInt64, "seq"))
	results = make([]SegmentResult, d.count(1, "segments"))
	for i := range results {
		results[i].Runs = make([][]BatchResult, d.count(1, "runs"))
		for j := range results[i].Runs {
			run := make([]BatchResult, d.count(3, "batches"))
			last := BatchResult{Offset: NoOffset, LogStart: NoOffset}
			for k := range run {
				x := &run[k]
				x.Verdict = Verdict(d.byte())
				if x.Verdict >= verdicts {
					d.fail("verdict")
				}
				x.Offset = last.Offset + Offset(d.varint())
				x.LogStart = last.LogStart + Offset(d.varint())
				last = *x
			}
			results[i].Runs[j] = run
		}
	}
	if err := d.end(); err != nil {
		return 0, nil, fmt.Errorf("commit answer: %w", err)
	}
	return through, results, nil
}

// Answers tells whether results have the shape of the answer to a commit of segments.
func Answers(results []SegmentResult, segments []SegmentCommit) bool {
	if len(results) != len(segments) {
		return false
	}
	for i := range segments {
		if len(results[i].Runs) != len(segments[i].Runs) {
			return false
		}
		for j := range segments[i].Runs {
			if len(results[i].Runs[j]) != len(segments[i].Runs[j].Batches) {
				return false
			}
		}
	}
	return true
}
