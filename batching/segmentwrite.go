package batching

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// batchOverhead is what a batch costs in memory beside its bytes: slice headers and descriptors.
const batchOverhead = 256

// phase is how far a sealed segment has come. Guarded by Writer.mu.
type phase uint8

const (
	waiting  phase = iota // for an upload slot
	uploaded              // durable in the object store
	failed                // not uploaded in time: it will never be committed
)

// segmentWrite is a segment from its first batch to the answer to its last waiter.
//
// Until it is sealed, Writer.mu guards everything. From the seal on, parts, id and reason do not change; object and
// commit belong to the uploader, and from the phase uploaded on to the committer. results and err are written before
// done is closed and read only after.
type segmentWrite struct {
	// while open
	index   map[metastore.TopicPartition]int32 // into parts; nil from the seal on
	eager   time.Time                          // when its first batch came that may cause an early PUT; zero: none
	latest  time.Time                          // when the first of its batches has waited for its longest
	stalled int64                              // bytes of sources that wait for us, see share.count
	parts   []part                             // one per partition, in order of first appearance
	size    int64                              // bytes of all batches
	held    int64                              // bytes of memory that they take
	records int64
	batches int

	shares []*share                 // by source, until finished
	keys   map[sequenceKey]struct{} // see sequence; until the committer takes it

	// from the seal on
	id       metastore.SegmentID
	sealedAt time.Time
	phase    phase
	after    map[*segmentWrite]struct{} // that must be taken before it
	taken    bool                       // by the committer

	// from the upload on
	order  []int32 // order[i] is the index in parts of the i-th run of the object
	commit metastore.SegmentCommit

	done    chan struct{}
	results [][]metastore.BatchResult // by part and batch
	err     error
}

// part collects the batches of one partition.
type part struct {
	tp      metastore.TopicPartition
	batches []segment.Batch
	txn     []txnBatch // of the batches up to the last transactional one

	// of the latest batch, whose keys the segment has
	source, producer int64
}

// txnBatch is what the log is told of transactions about a batch. The zero value is that of a plain one.
type txnBatch struct{ transactional, implicit bool }

// transaction notes that the batch which comes next is transactional.
func (p *part) transaction(implicit bool) {
	for len(p.txn) < len(p.batches) {
		p.txn = append(p.txn, txnBatch{})
	}
	p.txn = append(p.txn, txnBatch{transactional: true, implicit: implicit})
}

// txnOf tells of the i-th batch.
func (p *part) txnOf(i int) txnBatch {
	if i < len(p.txn) {
		return p.txn[i]
	}
	return txnBatch{}
}

func newSegmentWrite() *segmentWrite {
	return &segmentWrite{
		index: make(map[metastore.TopicPartition]int32),
		keys:  make(map[sequenceKey]struct{}),
		done:  make(chan struct{}),
	}
}

// add appends the batches of one request of a source, whose bytes are in copies.
func (s *segmentWrite) add(source int64, batches []Batch, copies [][]byte, r request) *Pending {
	p := &Pending{seg: s, places: make([]place, len(batches))}
	for i := range batches {
		b := &batches[i]
		at, ok := s.index[b.TopicPartition]
		if !ok {
			at = int32(len(s.parts))
			s.index[b.TopicPartition] = at
			s.parts = append(s.parts, part{tp: b.TopicPartition, source: -1, producer: -1})
		}
		pt := &s.parts[at]
		if pt.source != source {
			pt.source = source
			s.keys[sourceKey(source, pt.tp)] = struct{}{}
		}
		if id := b.Header.ProducerID; id >= 0 && pt.producer != id {
			pt.producer = id
			s.keys[producerKey(id, pt.tp)] = struct{}{}
		}
		p.places[i] = place{part: at, batch: int32(len(pt.batches))}
		if b.Header.Transactional() {
			pt.transaction(b.Implicit)
		}
		pt.batches = append(pt.batches, segment.Batch{
			Bytes:         copies[i],
			Records:       int32(b.records()),
			MaxTimestamp:  b.Header.MaxTimestamp,
			ProducerID:    b.Header.ProducerID,
			ProducerEpoch: b.Header.ProducerEpoch,
			BaseSequence:  b.Header.BaseSequence,
		})
	}
	s.size += r.size
	s.held += r.held
	s.records += r.records
	s.batches += len(batches)
	return p
}

// assemble lays the object out and prepares the commit. It reads every byte once, for the checksums.
func (s *segmentWrite) assemble() ([][]byte, error) {
	s.order = make([]int32, len(s.parts))
	for i := range s.order {
		s.order[i] = int32(i)
	}
	slices.SortFunc(s.order, func(a, b int32) int { return comparePartitions(s.parts[a].tp, s.parts[b].tp) })
	parts := make([]segment.Part, len(s.order))
	for i, at := range s.order {
		pt := &s.parts[at]
		parts[i] = segment.Part{Topic: pt.tp.Topic, Partition: pt.tp.Partition, Batches: pt.batches}
	}
	object, index, err := segment.Assemble(s.id, s.id.Time(), parts)
	if err != nil {
		return nil, fmt.Errorf("assemble segment %s: %w", s.id, err)
	}
	s.commit = metastore.SegmentCommit{ID: s.id, Size: index.Size, Runs: make([]metastore.RunCommit, len(parts))}
	descriptors := make([]metastore.BatchCommit, 0, s.batches)
	for i, at := range s.order {
		first := len(descriptors)
		for j, b := range s.parts[at].batches {
			txn := s.parts[at].txnOf(j)
			descriptors = append(descriptors, metastore.BatchCommit{
				Length:        uint32(len(b.Bytes)),
				Records:       b.Records,
				MaxTimestamp:  b.MaxTimestamp,
				ProducerID:    metastore.ProducerID(b.ProducerID),
				ProducerEpoch: metastore.ProducerEpoch(b.ProducerEpoch),
				BaseSequence:  b.BaseSequence,
				Transactional: txn.transactional,
				Implicit:      txn.implicit,
			})
		}
		s.commit.Runs[i] = metastore.RunCommit{
			TopicPartition: s.parts[at].tp,
			Position:       index.Runs[i].Position,
			Batches:        descriptors[first:len(descriptors):len(descriptors)],
		}
	}
	return object, nil
}

// settle hands the results of a commit to the waiters' order. False if they do not have the shape of the commit.
func (s *segmentWrite) settle(r metastore.SegmentResult) bool {
	if len(r.Runs) != len(s.order) {
		return false
	}
	results := make([][]metastore.BatchResult, len(s.parts))
	for i, at := range s.order {
		if len(r.Runs[i]) != len(s.parts[at].batches) {
			return false
		}
		results[at] = r.Runs[i]
	}
	s.results = results
	return true
}

// finish wakes the waiters and lets go of the batches.
func (s *segmentWrite) finish(err error) {
	s.err = err
	s.parts, s.commit, s.order = nil, metastore.SegmentCommit{}, nil
	close(s.done)
}

// recentCost is what recent keeps of memory.
func (s *segmentWrite) recentCost() int64 { return s.held + int64(s.batches)*batchOverhead }

// recent is what Recent keeps of an uploaded segment: the memory that it was uploaded from.
func (s *segmentWrite) recent() recentSegment {
	r := recentSegment{id: s.id, cost: s.recentCost(), runs: make(map[uint32]recentRun, len(s.order))}
	for i, at := range s.order {
		batches := s.parts[at].batches
		run := recentRun{slices: make([][]byte, len(batches))}
		for j := range batches {
			run.slices[j] = batches[j].Bytes
			run.length += uint32(len(batches[j].Bytes))
		}
		r.runs[s.commit.Runs[i].Position] = run
	}
	return r
}

func comparePartitions(a, b metastore.TopicPartition) int {
	if c := bytes.Compare(a.Topic[:], b.Topic[:]); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}
