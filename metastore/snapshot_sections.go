package metastore

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Tags of sections. The numbers are part of the format.
const (
	sectionConfigs      = 1
	sectionTransactions = 2
	sectionGarbage      = 3
	sectionCleaned      = 4
)

// section is a part of a snapshot that knows its own length.
type section struct {
	tag  uint64
	body []byte
}

// encodeSections adds what does not fit the plain format, and makes the snapshot one with sections if there is anything.
// index is where each segment stands in the list of them.
func (s *State) encodeSections(b []byte, topics []*topicState, index, markers []uint32, sorted bool) []byte {
	var list []section
	if !s.configs.empty() {
		list = append(list, section{sectionConfigs, s.configs.encode()})
	}
	if body := s.encodeTxns(topics, markers, sorted); body != nil {
		list = append(list, section{sectionTransactions, body})
	}
	if body := s.encodeGarbage(index); body != nil {
		list = append(list, section{sectionGarbage, body})
	}
	if body := encodeCleaned(topics); body != nil {
		list = append(list, section{sectionCleaned, body})
	}
	if len(list) == 0 {
		return b
	}
	b[0] = snapshotSections
	return appendSections(b, list)
}

func appendSections(b []byte, list []section) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, part := range list {
		b = binary.AppendUvarint(b, part.tag)
		b = appendString(b, string(part.body))
	}
	return b
}

// sections reads what encodeSections wrote. What a broker does not know it cannot fold on: ErrNewerFormat.
func (d *decoder) sections(s *State) error {
	last := uint64(0)
	for range d.count(2, "sections") {
		tag := d.uvarint()
		body := &decoder{b: d.bytes()}
		if tag <= last {
			d.fail("order of sections")
		}
		if d.err != nil {
			return d.err
		}
		last = tag
		switch tag {
		case sectionConfigs:
			s.configs = decodeConfigs(body)
		case sectionTransactions:
			body.txns(s)
		case sectionGarbage:
			body.garbage(s)
		case sectionCleaned:
			body.cleaned(s)
		default:
			return fmt.Errorf("%w: snapshot section %d", ErrNewerFormat, tag)
		}
		if err := body.end(); err != nil {
			return err
		}
	}
	return d.err
}

// encode writes the body of the section as the one change that makes the overrides out of none, by kind and name.
func (o *configOverrides) encode() []byte {
	var all alterConfigs
	for of, overrides := range o.all() {
		all.changes = append(all.changes, ConfigChange{ConfigResource: of, Set: overrides})
	}
	slices.SortFunc(all.changes, func(a, b ConfigChange) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all.append(nil)
}

func decodeConfigs(d *decoder) *configOverrides {
	var none *configOverrides
	return none.with(decodeAlterConfigs(d).changes)
}

// encodeTxns writes all of transactions, nil if there is nothing.
func (s *State) encodeTxns(all []*topicState, markers []uint32, sorted bool) []byte {
	topics := topicTable{index: make(map[TopicID]int)}
	var ids, partitions []byte
	idCount, partitionCount := 0, 0
	for _, t := range s.namedTxns(sorted) {
		ids = t.encode(ids, &topics)
		idCount++
	}
	for _, t := range all {
		for i := range t.partitions {
			if known := t.partitions[i].txns; known != nil {
				partitions = topics.appendPartition(partitions, TopicPartition{t.ID, int32(i)})
				partitions = known.encode(partitions)
				partitionCount++
			}
		}
	}
	if idCount+partitionCount+len(markers) == 0 {
		return nil
	}
	b := topics.append(nil)
	b = append(binary.AppendUvarint(b, uint64(idCount)), ids...)
	b = append(binary.AppendUvarint(b, uint64(partitionCount)), partitions...)
	b = binary.AppendUvarint(b, uint64(len(markers)))
	for _, n := range markers {
		b = s.markers.at(n).append(b)
	}
	return b
}

// namedTxns are the transactional ids; sorted, in their order.
func (s *State) namedTxns(sorted bool) []*txn {
	var all []*txn
	for n := range s.txns.used {
		if t := s.txns.at(n); t.id != "" {
			all = append(all, t)
		}
	}
	if sorted {
		slices.SortFunc(all, func(a, b *txn) int { return cmp.Compare(a.id, b.id) })
	}
	return all
}

func (t *txn) encode(b []byte, topics *topicTable) []byte {
	b = appendString(b, t.id)
	b = t.append(b)
	b = binary.AppendVarint(b, t.changed)
	o := t.ongoing
	if o == nil {
		return b
	}
	b = binary.AppendVarint(b, o.started)
	b = binary.AppendUvarint(b, uint64(len(o.partitions)))
	for _, tp := range slices.SortedFunc(maps.Keys(o.partitions), TopicPartition.compare) {
		b = topics.appendPartition(b, tp)
		b = binary.AppendUvarint(b, uint64(o.partitions[tp]+1))
	}
	b = appendStrings(b, slices.Sorted(maps.Keys(o.groups)))
	b = binary.AppendUvarint(b, uint64(len(o.offsets)))
	for _, at := range slices.SortedFunc(maps.Keys(o.offsets), groupPartition.compare) {
		offset := o.offsets[at]
		b = appendString(b, at.group)
		b = topics.appendPartition(b, at.TopicPartition)
		b = offset.append(b)
	}
	return b
}

func (t *partitionTxns) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.open)))
	for _, o := range t.open {
		b = binary.AppendUvarint(b, uint64(o.producer))
		b = binary.AppendUvarint(b, uint64(o.first))
	}
	b = binary.AppendUvarint(b, uint64(len(t.aborted)))
	for _, a := range t.aborted {
		b = binary.AppendUvarint(b, uint64(a.Producer))
		b = binary.AppendUvarint(b, uint64(a.First))
		b = binary.AppendUvarint(b, uint64(a.Last))
		b = binary.AppendUvarint(b, uint64(a.stable))
	}
	return b
}

// txns reads what encodeTxns wrote.
func (d *decoder) txns(s *State) {
	topics := d.topics()
	for range d.count(10, "transactional ids") {
		d.transactionalID(s, topics)
	}
	for range d.count(4, "partitions") {
		tp := d.partitionOf(topics)
		p := s.partition(tp)
		if p == nil || p.txns != nil {
			d.fail("partition with transactions")
			return
		}
		p.txns = d.partitionTxns(s)
	}
	if n := d.count(2, "markers"); n != int(s.markers.used) {
		d.fail("number of markers")
	}
	for n := range s.markers.used {
		*s.markers.change(n) = d.marker()
		s.markers.count++
	}
}

func (d *decoder) transactionalID(s *State, topics []TopicID) {
	id := d.string()
	t := d.txn()
	changed := d.varint()
	if s.txns.find(id) != nil || s.txns.ofProducer(t.producer) != nil || id == "" {
		d.fail("transactional id")
	}
	if d.err != nil {
		return
	}
	t.id, t.changed, t.raised = id, changed, s.at.Seq
	n := s.txns.put(*t)
	if t.state != TxnOngoing {
		return
	}
	o := s.txns.own(n, d.varint())
	for range d.count(3, "partitions") {
		tp := d.partitionOf(topics)
		o.partitions[tp] = Offset(d.uvarintMax(math.MaxInt64, "offset")) - 1
	}
	for _, group := range d.strings() {
		s.txns.addGroup(n, group, 0)
	}
	for range d.count(8, "offsets") {
		group := d.string()
		tp := d.partitionOf(topics)
		s.txns.keep(n, group, d.committedOffset(tp), 0)
		o.kept = s.at.Seq
	}
}

func (d *decoder) partitionTxns(s *State) *partitionTxns {
	t := &partitionTxns{epoch: s.sharing.epoch}
	last := NoOffset
	for range d.count(2, "open transactions") {
		o := openTxnStart{ProducerID(d.uvarintMax(math.MaxInt64, "producer id")), Offset(d.uvarintMax(math.MaxInt64, "offset"))}
		if o.first <= last {
			d.fail("order of open transactions")
		}
		last = o.first
		t.open = append(t.open, o)
	}
	last = NoOffset
	for range d.count(4, "aborted transactions") {
		var a abortedTxn
		a.Producer = ProducerID(d.uvarintMax(math.MaxInt64, "producer id"))
		a.First = Offset(d.uvarintMax(math.MaxInt64, "offset"))
		a.Last = Offset(d.uvarintMax(math.MaxInt64, "offset"))
		a.stable = Offset(d.uvarintMax(math.MaxInt64, "offset"))
		if a.Last <= last {
			d.fail("order of aborted transactions")
		}
		last = a.Last
		t.aborted = append(t.aborted, a)
	}
	return t
}
