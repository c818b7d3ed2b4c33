package metastore

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Restoration is the state of a log that was lost, as it is made anew for the first entry of another log: what a copy of it
// says, changed to what is left. It is read as a Survey is, and belongs to one goroutine.
//
// Positions of the lost log mean nothing in the new one, so nothing of it can be asked for again: no commit, and no swap. What
// was garbage, or becomes it here, is found by those who look for objects that the log does not know.
type Restoration struct {
	*Survey
	now   int64                  // ms
	known map[SegmentID]struct{} // that the copy knows, and no run names
	added map[TopicID]struct{}
	steps Seq
}

// ErrInvalidRestoration: what is to be restored contradicts itself.
var ErrInvalidRestoration = errors.New("invalid restoration")

// OpenRestoration decodes a copy of the lost log's state. now dates what is added. ErrCorrupt, ErrNewerFormat.
func OpenRestoration(copied Snapshot, now time.Time) (*Restoration, error) {
	s, err := decodeState(copied)
	if err != nil {
		return nil, err
	}
	r := &Restoration{Survey: &Survey{Position: copied.Position, Snapshot: copied.Position, state: s}, now: now.UnixMilli(), known: make(map[SegmentID]struct{}), added: make(map[TopicID]struct{})}
	for id, n := range s.table.byID {
		if s.table.uses[n].runs == 0 {
			r.known[id] = struct{}{}
		}
	}
	for _, list := range [][]uint32{s.recent, s.rewritten} {
		for _, n := range list {
			s.table.unmark(n, knownRecent)
		}
	}
	s.recent, s.rewritten = nil, nil
	s.collected(math.MaxInt64)
	s.garbage = garbageList{}
	r.steps = s.renumber()
	return r, nil
}

const (
	// stepBytes and stepSegments are how much of the lost log goes to one position of the new one, about.
	stepBytes    = 256 << 20
	stepSegments = 1000
	// mostSteps is how many positions there are at most.
	mostSteps = 1000
)

// renumber gives the segments positions of the new log, in the order that they had in the lost one, and returns how many
// entries it takes until none of them is in the future. Nothing but the order matters to anybody, and what is written next
// comes after all of it. Segments of one entry stay together.
func (s *State) renumber() (steps Seq) {
	var order []uint32
	bytes := int64(0)
	for n := range s.table.used {
		if s.table.uses[n] != (segmentUse{}) {
			order = append(order, n)
			bytes += s.table.at(n).size
		}
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(s.table.at(a).before.Seq, s.table.at(b).before.Seq) })
	most, mostSegments := max(stepBytes, bytes/mostSteps), max(stepSegments, len(order)/mostSteps)
	taken, segments, was := int64(0), 0, Seq(-1)
	for _, n := range order {
		g := s.table.change(n)
		if g.before.Seq != was && (taken >= most || segments >= mostSegments) {
			steps, taken, segments = steps+1, 0, 0
		}
		taken, segments, was = taken+g.size, segments+1, g.before.Seq
		g.before = Position{Seq: steps}
	}
	return steps
}

// WasKnown tells whether the copy knows a segment that no run of it names: its commit was refused, or it was replaced.
func (r *Restoration) WasKnown(id SegmentID) bool {
	_, known := r.known[id]
	return known
}

// OpenTxn is a transaction that has records in a partition and no end there.
type OpenTxn struct {
	Producer ProducerID
	First    Offset // of its first record there
}

// Open returns the transactions that are open in a partition, by their first offsets.
func (r *Restoration) Open(tp TopicPartition) []OpenTxn {
	p := r.state.partition(tp)
	if p == nil {
		return nil
	}
	var open []OpenTxn
	for _, o := range p.openTxns() {
		open = append(open, OpenTxn{o.producer, o.first})
	}
	return open
}

// Aborted returns the aborted transactions of a partition that end at its log start or later, by their ends.
func (r *Restoration) Aborted(tp TopicPartition) []AbortedTxn {
	p := r.state.partition(tp)
	if p == nil {
		return nil
	}
	return p.txns.overlapping(0, math.MaxInt64)
}

// ProducerEpoch is that of the transactional id that has a producer id; -1 if there is none.
func (r *Restoration) ProducerEpoch(id ProducerID) ProducerEpoch {
	if t := r.state.txns.ofProducer(id); t != nil {
		return t.epoch
	}
	return -1
}

// TxnStepKind says what happens to a transaction at an offset.
type TxnStepKind uint8

// The kinds.
const (
	TxnBegins  TxnStepKind = iota // its first record in the partition is there
	TxnCommits                    // the marker
	TxnAborts
)

// TxnStep is the beginning or the end of a producer's transaction in a partition.
type TxnStep struct {
	Offset   Offset
	Producer ProducerID
	Kind     TxnStepKind
}

// RestoredBatch is a batch of an idempotent producer.
type RestoredBatch struct {
	Epoch        ProducerEpoch
	BaseSequence int32
	Records      int32 // sequences that it takes
	Offset       Offset
}

// RestoredProducer is what the batches of a producer in a partition say of it, in their order.
type RestoredProducer struct {
	ID ProducerID
	is producer
}

// NewRestoredProducer is of a producer without batches.
func NewRestoredProducer(id ProducerID) *RestoredProducer {
	return &RestoredProducer{ID: id, is: producer{epoch: -1}}
}

// Epoch is the newest seen; -1 if there was none.
func (p *RestoredProducer) Epoch() ProducerEpoch { return p.is.epoch }

// Wrote takes the next batch with records.
func (p *RestoredProducer) Wrote(b RestoredBatch) {
	p.is.accepted(b.Epoch, b.BaseSequence, b.Records, b.Offset, 0)
}

// Marked takes the end of a transaction.
func (p *RestoredProducer) Marked(epoch ProducerEpoch) { p.is.marked(epoch, 0) }

// RestoredPartition is what a partition is from now on.
type RestoredPartition struct {
	TopicPartition
	LogStart, High Offset
	Runs           []Run // in order; those with an object have its size
	// Steps are those of transactions since the copy was made, by offset. What is open at their end must be of a
	// transactional id that has a transaction ongoing.
	Steps []TxnStep
	// Forgotten are the offsets of markers, in order, whose aborted transactions the copy lists and of which nothing is left.
	Forgotten []Offset
	Producers []*RestoredProducer // what they wrote since
	Unclean   bool                // log compaction is to begin anew
	CleanedTo Offset              // it has got so far at least, as gaps show; 0: says nothing
}

// SetPartition makes a partition what it is said to be. ErrInvalidRestoration.
func (r *Restoration) SetPartition(is *RestoredPartition) error {
	s, t := r.state, r.state.topics[is.Topic]
	p := t.partition(is.Partition)
	if p == nil || is.LogStart < p.logStart || is.High < p.high || is.LogStart > is.High || is.CleanedTo > is.High {
		return fmt.Errorf("%w: %s from %d to %d", ErrInvalidRestoration, is.TopicPartition, is.LogStart, is.High)
	}
	if err := r.setRuns(p, is); err != nil {
		return fmt.Errorf("%s: %w", is.TopicPartition, err)
	}
	if p.txns != nil && len(is.Forgotten) > 0 {
		known := s.ownTxns(p)
		known.aborted = slices.DeleteFunc(slices.Clone(known.aborted), func(a abortedTxn) bool {
			_, forgotten := slices.BinarySearch(is.Forgotten, a.Last)
			return forgotten
		})
	}
	for _, step := range is.Steps {
		if step.Kind == TxnBegins {
			s.openTxn(p, step.Producer, step.Offset)
			continue
		}
		p.high = step.Offset + 1 // as it was right after the marker
		s.closeTxn(p, step.Producer, step.Offset, step.Kind == TxnCommits)
	}
	p.logStart, p.high = is.LogStart, is.High
	s.forgetAborted(p)
	if is.Unclean {
		p.cleanedTo = 0
	}
	p.cleanedTo = max(p.cleanedTo, is.CleanedTo)
	for _, known := range is.Producers {
		r.setProducer(t, p, is.Partition, known)
	}
	for _, open := range p.openTxns() {
		n, ok := s.txns.byProducer[open.producer]
		if !ok || s.txns.at(n).ongoing == nil {
			return fmt.Errorf("%w: %s: a transaction of producer %d is open from %d on, and nothing can end it", ErrInvalidRestoration, is.TopicPartition, open.producer, open.first)
		}
		if at, ok := s.txns.at(n).ongoing.partitions[is.TopicPartition]; !ok || at == NoOffset {
			s.txns.own(n, r.now).partitions[is.TopicPartition] = open.first
		}
	}
	return nil
}

// setRuns replaces all runs.
func (r *Restoration) setRuns(p *partition, is *RestoredPartition) error {
	s, runs := r.state, make([]run, 0, len(is.Runs))
	last := NoOffset
	for i := range is.Runs {
		from := &is.Runs[i]
		if from.Base < max(last, 0) || from.Records <= 0 || from.End() > is.High || from.End() <= is.LogStart {
			return fmt.Errorf("%w: run %d of %d offsets from %d on", ErrInvalidRestoration, i, from.Records, from.Base)
		}
		last = from.End()
		to := run{base: from.Base, records: from.Records, position: from.Position, length: from.Length, maxTimestamp: from.MaxTimestamp, segment: markerSegment}
		if from.Marker == nil {
			n, ok := s.table.find(from.Segment)
			if !ok {
				n = s.table.add(segment{id: from.Segment, size: from.SegmentSize})
			} else if s.table.at(n).size != from.SegmentSize {
				return fmt.Errorf("%w: segment %s of %d bytes, and of %d", ErrInvalidRestoration, from.Segment, from.SegmentSize, s.table.at(n).size)
			}
			s.table.mark(n, knownRecent) // while no run names it
			to.segment = n
		}
		runs = append(runs, to)
	}
	s.replaceRuns(p, 0, p.runs.len(), nil, s.table.releaseUnused)
	for i := range runs {
		if runs[i].segment == markerSegment {
			runs[i].position = s.markers.add(*is.Runs[i].Marker)
		}
		s.addRun(p, runs[i])
		if runs[i].segment != markerSegment {
			s.table.unmark(runs[i].segment, knownRecent)
		}
	}
	return nil
}

// setProducer adds what a producer wrote since to what is known of it.
func (r *Restoration) setProducer(t *topicState, p *partition, number int32, since *RestoredProducer) {
	table := &r.state.producers
	n, ok := table.find(p.producers, since.ID)
	if !ok {
		n = table.add(p, t.number, number, since.ID)
	}
	known := table.change(n)
	was := known.lastSeen
	known.marked(since.is.epoch, r.now)
	if since.is.epoch == known.epoch {
		for _, b := range since.is.batches[:since.is.count] {
			known.accepted(known.epoch, b.first, (b.last-b.first)&math.MaxInt32+1, b.offset, r.now)
		}
	}
	table.seen(n, was)
}

// AddTopic makes a topic of whose creation the copy does not know, with overrides of configs. ErrInvalidRestoration.
func (r *Restoration) AddTopic(id TopicID, name string, partitions int32, configs map[string]string) error {
	if _, there := r.state.topics[id]; there || r.state.names[name] != nil || partitions < 1 || partitions > MaxPartitions {
		return fmt.Errorf("%w: topic %s, %q with %d partitions", ErrInvalidRestoration, id, name, partitions)
	}
	s := r.state
	r.added[id] = struct{}{}
	s.addTopic(createTopic{id: id, name: name, partitions: partitions, replicationFactor: 1, configs: configs}, r.now)
	for n := range s.txns.used { // what a transaction wrote to a topic that was deleted
		if o := s.txns.at(n).ongoing; o != nil {
			maps.DeleteFunc(s.txns.own(n, r.now).partitions, func(tp TopicPartition, _ Offset) bool { return tp.Topic == id })
		}
	}
	return nil
}

// GrowTopic makes partitions of whose creation the copy does not know. ErrInvalidRestoration.
func (r *Restoration) GrowTopic(id TopicID, partitions int32) error {
	if t := r.state.topics[id]; t == nil || partitions < t.Partitions || partitions > MaxPartitions {
		return fmt.Errorf("%w: topic %s with %d partitions", ErrInvalidRestoration, id, partitions)
	}
	createPartitions{id, partitions}.apply(r.state, r.now, func(TopicPartition) {})
	return nil
}

// EndTransaction ends what the transactional id of a producer has ongoing, by a marker of an epoch, and returns the offsets of
// groups that become theirs with it. The partitions get their markers by SetPartition. ErrInvalidRestoration.
func (r *Restoration) EndTransaction(id ProducerID, commit bool, epoch ProducerEpoch) ([]GroupOffsets, error) {
	table := &r.state.txns
	n, ok := table.byProducer[id]
	if !ok || table.at(n).ongoing == nil {
		return nil, fmt.Errorf("%w: producer %d has no transaction that could end", ErrInvalidRestoration, id)
	}
	byGroup := make(map[string][]CommittedOffset)
	if commit {
		for at, offset := range table.at(n).ongoing.offsets {
			if _, added := r.added[at.Topic]; !added && r.state.partition(at.TopicPartition) != nil {
				byGroup[at.group] = append(byGroup[at.group], offset)
			}
		}
	}
	table.end(n)
	t := table.change(n)
	t.changed, t.committed, t.state = r.now, commit, (&txnEnd{Marker: Marker{Commit: commit}}).state()
	t.number++
	if epoch > t.epoch {
		t.lastProducer, t.lastEpoch = NoProducerID, -1
		if t.version == 2 {
			t.lastProducer, t.lastEpoch = t.producer, t.epoch // who asks again is told
		}
		t.epoch = epoch
	}
	groups := make([]GroupOffsets, 0, len(byGroup))
	for group, offsets := range byGroup {
		slices.SortFunc(offsets, func(a, b CommittedOffset) int { return a.TopicPartition.compare(b.TopicPartition) })
		groups = append(groups, GroupOffsets{group, offsets})
	}
	slices.SortFunc(groups, func(a, b GroupOffsets) int { return cmp.Compare(a.Group, b.Group) })
	return groups, nil
}

// RaiseEpoch gives the transactional id of a producer the epoch that the producer was seen with, if that is newer: else those
// that it fenced were not.
func (r *Restoration) RaiseEpoch(id ProducerID, seen ProducerEpoch) {
	n, ok := r.state.txns.byProducer[id]
	if !ok || r.state.txns.at(n).epoch >= seen {
		return
	}
	t := r.state.txns.change(n)
	t.epoch, t.lastProducer, t.lastEpoch, t.changed = seen, NoProducerID, -1, r.now
}

// NextProducerID is the first producer id that the copy knows to be unused.
func (r *Restoration) NextProducerID() ProducerID { return r.state.nextProducerID }

// SkipProducerIDs lets no producer id below one be given any more.
func (r *Restoration) SkipProducerIDs(next ProducerID) {
	r.state.nextProducerID = max(r.state.nextProducerID, next)
}

// Entry is the first entry of the new log, and a snapshot of its position. The restoration must not be changed any more.
// ErrInvalidRestoration: transactional ids and partitions do not agree on what is open.
func (r *Restoration) Entry() (Entry, Snapshot, error) {
	for x := range r.StrayTxns() {
		return Entry{}, Snapshot{}, fmt.Errorf("%w: %s: a transaction of producer %d is open from %d on, by its transactional id %q from %d on",
			ErrInvalidRestoration, x.TopicPartition, x.Producer, x.First, x.ID, x.ByID)
	}
	s := r.state
	s.at, s.time = Position{}, max(r.now, s.time)
	state := s.clone().encode()
	e := Position{}.Next(record{time: s.time, nonce: newNonce(), change: restoreState{state: state}}.encode())
	return e, Snapshot{Position: e.Position, State: state}, nil
}

// Steps are the entries that are to follow the first. They do nothing but make the log so long that what brokers append
// comes after all that was restored.
func (r *Restoration) Steps(first Entry) []Entry {
	entries := make([]Entry, 0, r.steps)
	for at := first.Position; Seq(len(entries)) < r.steps; at = entries[len(entries)-1].Position {
		entries = append(entries, at.Next(record{time: r.state.time, nonce: newNonce(), change: touch{}}.encode()))
	}
	return entries
}

// EmptyState is a copy of a log in which nothing happened.
func EmptyState() []byte { return NewState().clone().encode() }
