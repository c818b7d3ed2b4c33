package batching

import (
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

const (
	// lossMemory is for how long a producer's lost batch is remembered: longer than clients try.
	lossMemory = 30 * time.Minute
	// maxLosses bounds the memory of an outage, since clients choose their producer ids: some 10 MiB.
	maxLosses = 100_000
	// lossPrune is how often all of them are looked through, which takes milliseconds after an outage.
	lossPrune = time.Minute
)

// losses are the batches of idempotent producers that did not get into the log, so that their successors, which were
// sent before the producer heard of it, do not take their places:
//
//  1. a new producer sends sequences 0 and 10; 0 is in a segment whose upload fails, 10 in the next one;
//  2. the log does not know the producer, which may then begin anywhere (KIP-360), and accepts 10;
//  3. the producer sends 0 again, which is refused for ever.
//
// A producer that the log knows needs none of this. There are losses only after a failure.
type losses struct {
	mu     sync.Mutex
	of     map[lostFrom]loss
	pruned time.Time // when those were last looked for that are too old
}

type lostFrom struct {
	tp       metastore.TopicPartition
	producer metastore.ProducerID
}

type loss struct {
	epoch metastore.ProducerEpoch
	first int32 // sequence of the earliest lost batch
	at    time.Time
}

// add remembers the batches of a segment that failed.
func (l *losses) add(parts []part, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range parts {
		for j := range parts[i].batches {
			b := &parts[i].batches[j]
			l.addOne(parts[i].tp, b.ProducerID, b.ProducerEpoch, b.BaseSequence, now)
		}
	}
}

// addRefused remembers the batches of a request that was not taken.
func (l *losses) addRefused(batches []Batch, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range batches {
		h := &batches[i].Header
		l.addOne(batches[i].TopicPartition, h.ProducerID, h.ProducerEpoch, h.BaseSequence, now)
	}
}

func (l *losses) addOne(tp metastore.TopicPartition, id int64, epoch int16, sequence int32, now time.Time) {
	if id < 0 {
		return
	}
	from, lost := lostFrom{tp, metastore.ProducerID(id)}, loss{metastore.ProducerEpoch(epoch), sequence, now}
	known, ok := l.of[from]
	switch {
	case ok && known.epoch > lost.epoch && now.Sub(known.at) < lossMemory:
		return // it failed late, and the producer has gone on
	case ok && known.epoch == lost.epoch && isAfter(sequence, known.first):
		lost.first = known.first
	case !ok && len(l.of) >= maxLosses:
		return
	}
	if l.of == nil {
		l.of = make(map[lostFrom]loss)
	}
	l.of[from] = lost
}

// mark tells the log which batches of a commit come after a lost one. It does so in a copy: after an attempt without an
// answer, the Committer may still read what it was asked for.
func (l *losses) mark(c *metastore.SegmentCommit, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.of) == 0 {
		return
	}
	c.Runs = slices.Clone(c.Runs)
	for i := range c.Runs {
		c.Runs[i].Batches = slices.Clone(c.Runs[i].Batches)
		for j := range c.Runs[i].Batches {
			b := &c.Runs[i].Batches[j]
			lost, ok := l.of[lostFrom{c.Runs[i].TopicPartition, b.ProducerID}]
			b.AfterLoss = ok && lost.epoch == b.ProducerEpoch && isAfter(b.BaseSequence, lost.first) && now.Sub(lost.at) < lossMemory
		}
	}
}

// settled forgets the producers that the log knows now, and what is too old.
func (l *losses) settled(parts []part, results [][]metastore.BatchResult, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.of) == 0 {
		return
	}
	for i := range parts {
		for j := range parts[i].batches {
			if v := results[i][j].Verdict; v == metastore.Accepted || v == metastore.Duplicate {
				delete(l.of, lostFrom{parts[i].tp, producerOf(&parts[i].batches[j])})
			}
		}
	}
	if now.Sub(l.pruned) < lossPrune {
		return
	}
	l.pruned = now
	for from, lost := range l.of {
		if now.Sub(lost.at) >= lossMemory {
			delete(l.of, from)
		}
	}
}

func producerOf(b *segment.Batch) metastore.ProducerID { return metastore.ProducerID(b.ProducerID) }

// isAfter tells whether sequence a comes after b; they wrap at 2^31.
func isAfter(a, b int32) bool {
	distance := uint32(a-b) & (1<<31 - 1)
	return distance > 0 && distance < 1<<30
}
