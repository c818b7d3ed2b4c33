package metastore

import (
	"encoding/binary"
	"math"
	"time"
)

// transact is what requests made of transactional ids: the answers, which whoever asked again finds, and the changes.
type transact struct {
	results []TxnResult
	changes []txnChange

	rows   GroupChanges       // to be changed with the entry; not part of it
	refuse func([]GroupClaim) // hears of the claims in rows that are not the latest; not part of the entry
}

// txnChange is what one transactional id becomes. Its parts are applied in the order of the fields.
type txnChange struct {
	id         string
	ended      *txnEnd // nil if nothing ends
	becomes    *txn    // all but id, changed and ongoing; nil if it stays
	forgotten  bool
	partitions []TopicPartition // are added
	groups     []string         // are added
	offsets    []groupOffset    // are held
}

// txnEnd is the end of what is ongoing: the marker, and where it stands in the partitions that hold records.
type txnEnd struct {
	Marker
	at []markedPartition
}

type markedPartition struct {
	TopicPartition
	offset Offset
}

type groupOffset struct {
	group string
	CommittedOffset
}

func (c transact) kind() kind { return kindTransact }

func (c transact) groupChanges() *GroupChanges { return &c.rows }

func (c transact) refused(claims []GroupClaim) { c.refuse(claims) }

func (c transact) apply(s *State, at int64, touched func(TopicPartition)) {
	for i := range c.changes {
		c.changes[i].apply(s, at, touched)
	}
}

func (c *txnChange) apply(s *State, at int64, touched func(TopicPartition)) {
	if c.ended != nil {
		c.ended.apply(s, at, touched)
		if n, ok := s.txns.byID[c.id]; ok {
			s.txns.end(n)
		}
	}
	if c.forgotten {
		s.txns.remove(c.id)
		return
	}
	if c.becomes != nil {
		to := *c.becomes
		to.id, to.raised = c.id, s.at.Seq+1
		if was := s.txns.find(c.id); was != nil && was.producer == to.producer && was.epoch == to.epoch {
			to.raised = was.raised
		}
		if n := s.txns.put(to); to.state == TxnOngoing {
			s.txns.own(n, at)
		}
	}
	n, ok := s.txns.byID[c.id]
	if !ok {
		return // no broker decides so
	}
	s.txns.change(n).changed = at
	for _, tp := range c.partitions {
		if o := s.txns.own(n, at); !o.has(tp) {
			o.partitions[tp] = NoOffset
		}
	}
	for _, group := range c.groups {
		s.txns.addGroup(n, group, at)
	}
	for i := range c.offsets {
		s.txns.keep(n, c.offsets[i].group, c.offsets[i].CommittedOffset, at)
		s.txns.own(n, at).kept = s.at.Seq + 1
	}
}

func (o *ongoing) has(tp TopicPartition) bool {
	_, ok := o.partitions[tp]
	return ok
}

// apply puts the markers.
func (e *txnEnd) apply(s *State, at int64, touched func(TopicPartition)) {
	for _, m := range e.at {
		p := s.partition(m.TopicPartition)
		if p == nil {
			continue
		}
		s.addRun(p, run{
			base: m.offset, records: 1, length: MarkerBytes, maxTimestamp: at,
			segment: markerSegment, position: s.markers.add(e.Marker),
		})
		p.high = m.offset + 1
		s.closeTxn(p, e.Producer, m.offset, e.Commit)
		if n, ok := s.producers.find(p.producers, e.Producer); ok {
			s.producers.marked(n, e.Epoch, at)
		}
		touched(m.TopicPartition)
	}
}

// Bits of the first byte of a change.
const (
	changeEnds = 1 << iota
	changeBecomes
	changeForgets
	changeAdds
	changeKeeps
	changeFlags = changeEnds | changeBecomes | changeForgets | changeAdds | changeKeeps
)

func (c transact) append(b []byte) []byte {
	b = appendTxnResults(b, c.results)
	topics := topicTable{index: make(map[TopicID]int)}
	for i := range c.changes {
		c.changes[i].eachTopic(func(t TopicID) { topics.of(t) })
	}
	b = topics.append(b)
	b = binary.AppendUvarint(b, uint64(len(c.changes)))
	for i := range c.changes {
		b = c.changes[i].append(b, &topics)
	}
	return b
}

func (c *txnChange) eachTopic(visit func(TopicID)) {
	if c.ended != nil {
		for i := range c.ended.at {
			visit(c.ended.at[i].Topic)
		}
	}
	for i := range c.partitions {
		visit(c.partitions[i].Topic)
	}
	for i := range c.offsets {
		visit(c.offsets[i].Topic)
	}
}

func (c *txnChange) append(b []byte, topics *topicTable) []byte {
	flags := byte(0)
	if c.ended != nil {
		flags |= changeEnds
	}
	if c.becomes != nil {
		flags |= changeBecomes
	}
	if c.forgotten {
		flags |= changeForgets
	}
	if len(c.partitions)+len(c.groups) > 0 {
		flags |= changeAdds
	}
	if len(c.offsets) > 0 {
		flags |= changeKeeps
	}
	b = append(b, flags)
	b = appendString(b, c.id)
	if c.ended != nil {
		b = c.ended.append(b, topics)
	}
	if c.becomes != nil {
		b = c.becomes.append(b)
	}
	if flags&changeAdds != 0 {
		b = binary.AppendUvarint(b, uint64(len(c.partitions)))
		for _, tp := range c.partitions {
			b = topics.appendPartition(b, tp)
		}
		b = appendStrings(b, c.groups)
	}
	if flags&changeKeeps != 0 {
		b = binary.AppendUvarint(b, uint64(len(c.offsets)))
		for i := range c.offsets {
			b = appendString(b, c.offsets[i].group)
			b = topics.appendPartition(b, c.offsets[i].TopicPartition)
			b = c.offsets[i].append(b)
		}
	}
	return b
}

func (t *topicTable) appendPartition(b []byte, tp TopicPartition) []byte {
	b = binary.AppendUvarint(b, uint64(t.of(tp.Topic)))
	return binary.AppendUvarint(b, uint64(tp.Partition))
}

func (e *txnEnd) append(b []byte, topics *topicTable) []byte {
	b = e.Marker.append(b)
	b = binary.AppendUvarint(b, uint64(len(e.at)))
	for _, m := range e.at {
		b = topics.appendPartition(b, m.TopicPartition)
		b = binary.AppendUvarint(b, uint64(m.offset))
	}
	return b
}

func (m Marker) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(m.Producer))
	epoch := uint64(m.Epoch) << 1
	if m.Commit {
		epoch |= 1
	}
	return binary.AppendUvarint(b, epoch)
}

// committedTxn is the bit beside the state that says that the last transaction that ended was committed.
const committedTxn = 1 << 4

func (t *txn) append(b []byte) []byte {
	state := byte(t.state)
	if t.committed {
		state |= committedTxn
	}
	b = append(b, state, byte(t.version))
	b = binary.AppendUvarint(b, uint64(t.producer))
	b = binary.AppendUvarint(b, uint64(t.epoch))
	b = binary.AppendVarint(b, int64(t.lastProducer))
	b = binary.AppendVarint(b, int64(t.lastEpoch))
	b = binary.AppendUvarint(b, uint64(t.timeout))
	return binary.AppendUvarint(b, uint64(t.number))
}

// append writes all but the partition.
func (o *CommittedOffset) append(b []byte) []byte {
	b = appendString(b, o.TopicName)
	b = binary.AppendUvarint(b, uint64(o.Offset)) // of all 64 bits: clients may commit negative ones
	b = binary.AppendVarint(b, int64(o.LeaderEpoch))
	b = appendString(b, o.Metadata)
	return binary.AppendVarint(b, o.CommittedAt.UnixMilli())
}

func decodeTransact(d *decoder) transact {
	c := transact{results: decodeTxnResults(d)}
	topics := d.topics()
	c.changes = make([]txnChange, d.count(2, "changes"))
	for i := range c.changes {
		c.changes[i].decode(d, topics)
	}
	return c
}

func (c *txnChange) decode(d *decoder, topics []TopicID) {
	flags := d.byte()
	if flags&^changeFlags != 0 {
		d.fail("flags of a change")
	}
	c.id = d.string()
	if flags&changeEnds != 0 {
		c.ended = &txnEnd{Marker: d.marker()}
		c.ended.at = make([]markedPartition, d.count(3, "markers"))
		for i := range c.ended.at {
			c.ended.at[i] = markedPartition{d.partitionOf(topics), Offset(d.uvarintMax(math.MaxInt64-1, "offset"))}
		}
	}
	if flags&changeBecomes != 0 {
		c.becomes = d.txn()
	}
	c.forgotten = flags&changeForgets != 0
	if flags&changeAdds != 0 {
		if n := d.count(2, "partitions"); n > 0 {
			c.partitions = make([]TopicPartition, n)
		}
		for i := range c.partitions {
			c.partitions[i] = d.partitionOf(topics)
		}
		c.groups = d.strings()
	}
	if flags&changeKeeps != 0 {
		if n := d.count(8, "offsets"); n > 0 {
			c.offsets = make([]groupOffset, n)
		}
		for i := range c.offsets {
			group := d.string()
			tp := d.partitionOf(topics)
			c.offsets[i] = groupOffset{group, d.committedOffset(tp)}
		}
	}
}

func (d *decoder) partitionOf(topics []TopicID) TopicPartition {
	i := d.uvarint()
	if i >= uint64(len(topics)) {
		d.fail("topic reference")
		return TopicPartition{}
	}
	return TopicPartition{topics[i], int32(d.uvarintMax(math.MaxInt32, "partition"))}
}

func (d *decoder) marker() Marker {
	producer := ProducerID(d.uvarintMax(math.MaxInt64, "producer id"))
	epoch := d.uvarintMax(1<<16-1, "producer epoch")
	return Marker{Producer: producer, Epoch: ProducerEpoch(epoch >> 1), Commit: epoch&1 != 0}
}

func (d *decoder) txn() *txn {
	state := d.byte()
	t := &txn{state: TxnState(state &^ committedTxn), committed: state&committedTxn != 0, version: int8(d.byte())}
	if t.state > TxnCompleteAbort || t.version < 0 {
		d.fail("state of a transaction")
	}
	t.producer = ProducerID(d.uvarintMax(math.MaxInt64, "producer id"))
	t.epoch = ProducerEpoch(d.uvarintMax(math.MaxInt16, "producer epoch"))
	t.lastProducer = ProducerID(d.within(int64(NoProducerID), math.MaxInt64, "last producer id"))
	t.lastEpoch = ProducerEpoch(d.within(-1, math.MaxInt16, "last producer epoch"))
	t.timeout = int32(d.uvarintMax(math.MaxInt32, "timeout"))
	t.number = TxnNumber(d.uvarintMax(math.MaxInt64, "number"))
	return t
}

func (d *decoder) committedOffset(tp TopicPartition) CommittedOffset {
	o := CommittedOffset{TopicPartition: tp, TopicName: d.string()}
	o.Offset = Offset(d.uvarint())
	o.LeaderEpoch = int32(d.within(math.MinInt32, math.MaxInt32, "leader epoch"))
	o.Metadata = d.string()
	o.CommittedAt = time.UnixMilli(d.varint())
	return o
}
