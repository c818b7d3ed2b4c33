package rebuild

import (
	"cmp"
	"math"
	"slices"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
)

// The batches beyond the index say where transactions begin, and control batches among them where they end. What a partition
// lacks of its batches may have been the end of one.
//
// In version 2 of the protocol each transaction has an epoch of its own, and its marker the next one. In version 1 a producer
// has one epoch for many transactions, and its markers have it too, or the next one if it was fenced. So of a transaction
// whose end is missing in one partition, what another partition, or what follows, has of that producer tells the outcome in
// version 2 alone. Where nothing does, it is aborted.
//
// Log compaction leaves gaps, too, in which nothing ended. They cannot be told from others.

// txnSpan is a transaction of a producer in a partition, from its first batch there to its marker.
type txnSpan struct {
	producer metastore.ProducerID
	epoch    metastore.ProducerEpoch // of its batches
	indexed  bool                    // the index has it open
	lost     bool                    // it ended in a gap
	first    metastore.Offset
	end      metastore.Offset // of its marker; metastore.NoOffset: there is none
	endEpoch metastore.ProducerEpoch
	commit   bool
	gap      int // the first gap behind it, -1 if there is none
}

// history is what batches of a partition say of transactions and producers, those beyond the index, in order.
type history struct {
	metastore.TopicPartition
	ids       transactional
	spans     []txnSpan
	gaps      []span                       // offsets without a batch, in which a transaction may have ended
	open      map[metastore.ProducerID]int // spans
	producers map[metastore.ProducerID]*metastore.RestoredProducer
	ends      []txnEnd // markers
}

// txnEnd is a marker. clean: it ended a transaction whose batches are there, and nothing is missing in between.
type txnEnd struct {
	producer    metastore.ProducerID
	epoch, data metastore.ProducerEpoch // the marker's, and that of the batches that it ended if clean
	clean       bool                    // or the producer makes nothing but transactions of version 2
	indexed     bool                    // what it ended, if clean, the index has open
	commit      bool
}

// transactional is what the index says of the transactional id that has a producer.
type transactional map[metastore.ProducerID]struct {
	epoch   metastore.ProducerEpoch
	version int8 // of the last transaction
}

// newHistory begins with the transactions that the index has open in the partition.
func newHistory(tp metastore.TopicPartition, open []metastore.OpenTxn, ids transactional) *history {
	h := &history{TopicPartition: tp, ids: ids, open: make(map[metastore.ProducerID]int), producers: make(map[metastore.ProducerID]*metastore.RestoredProducer)}
	for _, o := range open {
		h.begin(txnSpan{producer: o.Producer, epoch: ids[o.Producer].epoch, indexed: true, first: o.First})
	}
	return h
}

func (h *history) begin(s txnSpan) {
	s.end, s.gap = metastore.NoOffset, -1
	h.open[s.producer] = len(h.spans)
	h.spans = append(h.spans, s)
}

// missing notes that offsets have no batch, although they had.
func (h *history) missing(from, to metastore.Offset) {
	h.gaps = append(h.gaps, span{from, to})
	for _, i := range h.open {
		if s := &h.spans[i]; s.gap < 0 {
			s.gap = len(h.gaps) - 1
		}
	}
}

// add takes the next batch. A *damage: it cannot be understood.
func (h *history) add(b *batch) error {
	if b.ProducerID < 0 {
		return nil
	}
	id, epoch := metastore.ProducerID(b.ProducerID), metastore.ProducerEpoch(b.ProducerEpoch)
	p := h.producers[id]
	if p == nil {
		p = metastore.NewRestoredProducer(id)
		h.producers[id] = p
	}
	if b.Control() {
		commit, ok := commits(b)
		if !ok {
			return damaged("at byte %d of the run: a control batch that is not the end of a transaction", b.position)
		}
		p.Marked(epoch)
		h.mark(id, epoch, b.offset, commit)
		return nil
	}
	p.Wrote(metastore.RestoredBatch{Epoch: epoch, BaseSequence: b.BaseSequence, Records: b.LastOffsetDelta + 1, Offset: b.offset})
	if !b.Transactional() {
		return nil
	}
	if i, ok := h.open[id]; ok {
		s := &h.spans[i]
		if s.gap < 0 || epoch == s.epoch && h.ids[id].version == 2 {
			s.epoch = max(s.epoch, epoch) // the same, or the log was wrong
			s.gap = -1                    // it did not end there
			return nil
		}
		s.lost = true // unless its producer turns out not to have ended it: see resolve
	}
	h.begin(txnSpan{producer: id, epoch: epoch, first: b.offset})
	return nil
}

// mark takes the end of a transaction.
func (h *history) mark(id metastore.ProducerID, epoch metastore.ProducerEpoch, at metastore.Offset, commit bool) {
	e := txnEnd{producer: id, epoch: epoch, commit: commit}
	if i, ok := h.open[id]; ok {
		s := &h.spans[i]
		if s.gap < 0 || epoch == s.epoch+1 && h.ids[id].version == 2 {
			s.end, s.endEpoch, s.commit = at, epoch, commit
			e.clean, e.data, e.indexed = true, s.epoch, s.indexed
		} else {
			s.lost = true
		}
		delete(h.open, id)
	}
	if !e.clean && h.ids[id].version == 2 {
		e.clean, e.data = true, epoch-1
	}
	h.ends = append(h.ends, e)
}

// outcome is how a transaction ended.
type outcome struct {
	commit  bool
	epoch   metastore.ProducerEpoch // of its markers
	guessed bool                    // nothing tells how it ended: it is aborted
}

// ongoing is a transaction that the index has ongoing.
type ongoing struct {
	id      string
	epoch   metastore.ProducerEpoch
	version int8
	ended   bool     // it has, since the index was written
	known   *outcome // nil: nothing tells it
}

// outcomes is what all partitions together tell of transactions.
type outcomes struct {
	ongoing map[metastore.ProducerID]*ongoing
	ended   map[epochOf]bool                                 // those of version 2, by the epoch of their batches: committed
	newest  map[metastore.ProducerID]metastore.ProducerEpoch // the greatest seen
}

type epochOf struct {
	producer metastore.ProducerID
	epoch    metastore.ProducerEpoch
}

func newOutcomes() *outcomes {
	return &outcomes{
		ongoing: make(map[metastore.ProducerID]*ongoing), ended: make(map[epochOf]bool),
		newest: make(map[metastore.ProducerID]metastore.ProducerEpoch),
	}
}

func (o *outcomes) saw(id metastore.ProducerID, epoch metastore.ProducerEpoch) {
	if is, ok := o.newest[id]; !ok || epoch > is {
		o.newest[id] = epoch
	}
}

// learn takes what a partition tells.
func (o *outcomes) learn(h *history) {
	for id, p := range h.producers {
		o.saw(id, p.Epoch())
	}
	for i := range h.spans {
		if s := &h.spans[i]; !s.indexed {
			if x := o.ongoing[s.producer]; x != nil && s.epoch > x.epoch {
				x.ended = true
			}
		}
	}
	for i := range h.ends {
		e := &h.ends[i]
		if e.clean && e.epoch == e.data+1 {
			o.ended[epochOf{e.producer, e.data}] = e.commit
		}
		x := o.ongoing[e.producer]
		if x == nil {
			continue
		}
		x.ended = true
		if e.clean && e.indexed || x.version == 2 && e.epoch == x.epoch+1 {
			x.known = &outcome{commit: e.commit, epoch: e.epoch}
		}
	}
	h.ends = nil
}

// conclude settles what is ongoing when all partitions were heard: what has ended and nothing tells how was aborted.
func (o *outcomes) conclude() {
	for id, x := range o.ongoing {
		if !x.ended {
			continue
		}
		if x.known == nil {
			x.known = &outcome{epoch: raised(x.epoch), guessed: true}
		}
		if x.version == 2 {
			o.ended[epochOf{id, x.epoch}] = x.known.commit
		}
	}
}

// raised is the epoch of a marker that fences the producer.
func raised(epoch metastore.ProducerEpoch) metastore.ProducerEpoch {
	return metastore.ProducerEpoch(min(int(epoch)+1, math.MaxInt16))
}

// of returns how the transaction ended, nil if it is still ongoing.
func (o *outcomes) of(s *txnSpan) *outcome {
	x := o.ongoing[s.producer]
	if x != nil && (s.indexed || !x.ended && s.epoch == x.epoch) {
		return x.known
	}
	commit, told := o.ended[epochOf{s.producer, s.epoch}]
	return &outcome{commit: commit, epoch: raised(s.epoch), guessed: !told}
}

// resolution is what becomes of the transactions of a partition.
type resolution struct {
	steps   []metastore.TxnStep
	runs    []metastore.Run    // ends that are put into gaps, in order
	tail    []metastore.Marker // ends that are put behind the last batch, in order
	guessed int64              // ends of which nothing tells how they were
	room    span               // if not empty, a gap is too small for the ends that belong into it: nothing may be there
}

// resolve decides on all transactions. The markers in gaps keep what follows them apart: consumers that skip an aborted
// transaction do so until its marker. They have the offsets at the end of the gap.
func (h *history) resolve(o *outcomes) *resolution {
	r := &resolution{}
	room := make([]metastore.Offset, len(h.gaps)) // the offset after those that are left
	for i, g := range h.gaps {
		room[i] = g.to
	}
	goesOn := make(map[metastore.ProducerID]bool)
	var last []*txnSpan
	for i := range h.spans {
		s := &h.spans[i]
		if goesOn[s.producer] {
			continue // one transaction with what is before the gap
		}
		if !s.indexed {
			r.steps = append(r.steps, metastore.TxnStep{Offset: s.first, Producer: s.producer, Kind: metastore.TxnBegins})
		}
		switch is := o.of(s); {
		case s.end != metastore.NoOffset:
			r.steps = append(r.steps, endStep(s.end, s.producer, s.commit))
		case is == nil:
			goesOn[s.producer] = true
		case s.lost:
			r.guess(is)
			room[s.gap]--
			r.runs = append(r.runs, metastore.Run{
				Base: room[s.gap], Records: 1, Length: metastore.MarkerBytes,
				Marker: &metastore.Marker{Producer: s.producer, Epoch: s.epoch, Commit: is.commit},
			})
			r.steps = append(r.steps, endStep(room[s.gap], s.producer, is.commit))
		default:
			r.guess(is)
			last = append(last, s)
		}
	}
	for i, g := range h.gaps {
		if room[i] < g.from {
			return &resolution{room: span{g.from, g.to + g.from - room[i]}}
		}
	}
	slices.SortFunc(last, func(a, b *txnSpan) int { return cmp.Compare(a.first, b.first) })
	for _, s := range last {
		is := o.of(s)
		r.tail = append(r.tail, metastore.Marker{Producer: s.producer, Epoch: is.epoch, Commit: is.commit})
	}
	slices.SortFunc(r.steps, func(a, b metastore.TxnStep) int { return cmp.Compare(a.Offset, b.Offset) })
	slices.SortFunc(r.runs, func(a, b metastore.Run) int { return cmp.Compare(a.Base, b.Base) })
	return r
}

func (r *resolution) guess(is *outcome) {
	if is.guessed {
		r.guessed++
	}
}

func endStep(at metastore.Offset, id metastore.ProducerID, commit bool) metastore.TxnStep {
	kind := metastore.TxnAborts
	if commit {
		kind = metastore.TxnCommits
	}
	return metastore.TxnStep{Offset: at, Producer: id, Kind: kind}
}

// commits tells whether a control batch ends a transaction with a commit; not ok: it does not end one.
func commits(b *batch) (commit, ok bool) {
	commit, err := recordbatch.MarkerCommits(b.bytes)
	return commit, err == nil
}
