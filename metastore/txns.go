package metastore

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// txn is a transactional id.
type txn struct {
	id           string // "" where the number is free
	producer     ProducerID
	lastProducer ProducerID
	number       TxnNumber
	changed      int64    // ms
	raised       Seq      // of the entry that made producer or epoch what they are, or a later one; in no format
	ongoing      *ongoing // nil if there is no transaction
	timeout      int32    // ms
	epoch        ProducerEpoch
	lastEpoch    ProducerEpoch
	state        TxnState
	version      int8
	committed    bool // the last transaction that ended
}

// ongoing is what an ongoing transaction has so far. It is copied before it changes once it may be in a view.
type ongoing struct {
	epoch      uint64                    // of the sharing
	started    int64                     // ms
	kept       Seq                       // of the last entry with offsets, or a later one; in no format
	partitions map[TopicPartition]Offset // of the first record, NoOffset if there is none yet. Their topics may be gone.
	groups     map[string]struct{}
	offsets    map[groupPartition]CommittedOffset
	bytes      int64 // what groups and offsets take, about
}

type groupPartition struct {
	group string
	TopicPartition
}

func (p groupPartition) String() string { return p.group + " " + p.TopicPartition.String() }

func (p groupPartition) compare(to groupPartition) int {
	return cmp.Or(cmp.Compare(p.group, to.group), p.TopicPartition.compare(to.TopicPartition))
}

// txnTable holds the transactional ids.
type txnTable struct {
	slab[txn]
	byID       map[string]uint32
	byProducer map[ProducerID]uint32
	pending    map[string][]uint32 // by group: the ongoing transactions that hold offsets of it
	bytes      int64               // of all ongoing transactions
}

func newTxnTable(shared *sharing) txnTable {
	return txnTable{
		slab: slab[txn]{sharing: shared},
		byID: make(map[string]uint32), byProducer: make(map[ProducerID]uint32), pending: make(map[string][]uint32),
	}
}

func (t *txnTable) view() txnTable { return txnTable{slab: t.slab.view(), bytes: t.bytes} }

// find returns nil if there is no such transactional id. It is to be read only.
func (t *txnTable) find(id string) *txn {
	if n, ok := t.byID[id]; ok {
		return t.at(n)
	}
	return nil
}

// ofProducer finds the transactional id that has the producer id.
func (t *txnTable) ofProducer(id ProducerID) *txn {
	if n, ok := t.byProducer[id]; ok {
		return t.at(n)
	}
	return nil
}

// put sets all of a transactional id but what is ongoing.
func (t *txnTable) put(to txn) uint32 {
	n, ok := t.byID[to.id]
	if !ok {
		n = t.take()
		*t.change(n) = txn{id: to.id, producer: NoProducerID}
		t.byID[to.id] = n
	}
	is := t.change(n)
	if is.producer != to.producer {
		delete(t.byProducer, is.producer)
		t.byProducer[to.producer] = n
	}
	to.id, to.ongoing = is.id, is.ongoing
	*is = to
	return n
}

// remove forgets a transactional id that has nothing ongoing.
func (t *txnTable) remove(id string) {
	n, ok := t.byID[id]
	if !ok {
		return
	}
	delete(t.byID, id)
	delete(t.byProducer, t.at(n).producer)
	*t.change(n) = txn{}
	t.release(n)
}

// own returns what is ongoing, to be written. A transaction begins if there is none.
func (t *txnTable) own(n uint32, at int64) *ongoing {
	is := t.change(n)
	switch o := is.ongoing; {
	case o == nil:
		is.ongoing = newOngoing()
		is.ongoing.epoch, is.ongoing.started = t.sharing.epoch, at
	case o.epoch < t.sharing.shared:
		is.ongoing = &ongoing{
			epoch: t.sharing.epoch, started: o.started, kept: o.kept, bytes: o.bytes,
			partitions: maps.Clone(o.partitions), groups: maps.Clone(o.groups), offsets: maps.Clone(o.offsets),
		}
	}
	return is.ongoing
}

func newOngoing() *ongoing {
	return &ongoing{
		partitions: make(map[TopicPartition]Offset),
		groups:     make(map[string]struct{}), offsets: make(map[groupPartition]CommittedOffset),
	}
}

// addGroup lets the transaction hold offsets of a group.
func (t *txnTable) addGroup(n uint32, group string, at int64) {
	o := t.own(n, at)
	if _, ok := o.groups[group]; !ok {
		o.groups[group] = struct{}{}
		t.grow(o, groupBytes(group))
	}
}

// keep holds an offset of a group until the transaction ends.
func (t *txnTable) keep(n uint32, group string, offset CommittedOffset, at int64) {
	t.addGroup(n, group, at)
	o, key := t.own(n, at), groupPartition{group, offset.TopicPartition}
	if was, ok := o.offsets[key]; ok {
		t.grow(o, -offsetBytes(&was))
	}
	o.offsets[key] = offset
	t.grow(o, offsetBytes(&offset))
	if !slices.Contains(t.pending[group], n) {
		t.pending[group] = append(t.pending[group], n)
	}
}

func (t *txnTable) grow(o *ongoing, by int64) {
	o.bytes += by
	t.bytes += by
}

// end lets go of what was ongoing.
func (t *txnTable) end(n uint32) {
	o := t.at(n).ongoing
	if o == nil {
		return
	}
	for group := range o.groups {
		if left := slices.DeleteFunc(t.pending[group], func(m uint32) bool { return m == n }); len(left) == 0 {
			delete(t.pending, group)
		} else {
			t.pending[group] = left
		}
	}
	t.bytes -= o.bytes
	t.change(n).ongoing = nil
}

// groupBytes and offsetBytes are about what an ongoing transaction takes in memory.
func groupBytes(group string) int64 { return int64(64 + len(group)) }

func offsetBytes(o *CommittedOffset) int64 { return int64(200 + len(o.TopicName) + len(o.Metadata)) }

// wroteInTxn takes an accepted transactional batch into the transaction of its producer, which begins if need be.
func (s *State) wroteInTxn(p *partition, tp TopicPartition, b *committedBatch, at int64) {
	n, ok := s.txns.byProducer[b.producerID]
	if !ok {
		return // no broker decides so
	}
	if o := s.txns.at(n).ongoing; o != nil {
		if first, ok := o.partitions[tp]; ok && first != NoOffset {
			return
		}
	}
	o := s.txns.own(n, at)
	t := s.txns.change(n)
	if t.state != TxnOngoing {
		t.state, t.version, t.changed = TxnOngoing, 2, at
	}
	o.partitions[tp] = b.offset
	s.openTxn(p, b.producerID, b.offset)
}

// head is the transactional id as others see it, without lists.
func (t *txn) head() Transaction {
	x := Transaction{
		ID: t.id, Producer: t.producer, Epoch: t.epoch, LastProducer: t.lastProducer, LastEpoch: t.lastEpoch,
		Timeout: time.Duration(t.timeout) * time.Millisecond, State: t.state, Version: t.version, Number: t.number,
		ChangedAt: time.UnixMilli(t.changed),
	}
	if t.ongoing != nil {
		x.StartedAt = time.UnixMilli(t.ongoing.started)
	}
	return x
}

// export is the transactional id as others see it, with its lists in no order. exists says which partitions are left.
func (t *txn) export(exists func(TopicPartition) bool) Transaction {
	x, o := t.head(), t.ongoing
	if o == nil {
		return x
	}
	for tp := range o.partitions {
		if exists(tp) {
			x.Partitions = append(x.Partitions, tp)
		}
	}
	x.Groups = slices.Collect(maps.Keys(o.groups))
	return x
}

// sort orders the lists.
func (x *Transaction) sort() {
	slices.SortFunc(x.Partitions, TopicPartition.compare)
	slices.Sort(x.Groups)
}
