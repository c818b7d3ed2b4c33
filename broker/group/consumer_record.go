package group

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// consumerRecord is a consumer group as the metastore keeps it, in GroupRecord.State: version 2 of the group record. FORMAT.md
// has the bytes.
type consumerRecord struct {
	Epoch, AssignmentEpoch int32
	AssignedBy             string
	Metadata               uint64
	Members                []consumerMember // without what is not durable
}

const (
	consumerRecordVersion = 2
	minConsumerMember     = 14 // bytes of a member whose strings and sets are all empty
	minTopicSet           = 3
	topicIDBytes          = 16
)

// record returns the group as it is persisted. The members share memory with the machine.
func (m *consumerMachine) record() consumerRecord {
	r := consumerRecord{Epoch: m.epoch, AssignmentEpoch: m.assignmentEpoch, AssignedBy: m.assignedBy, Metadata: m.metadata}
	for _, mb := range m.order {
		durable := *mb
		durable.deadline, durable.revokeBy, durable.joinBy, durable.syncBy = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		r.Members = append(r.Members, durable)
	}
	return r
}

// restore continues a group from its record. Sessions begin anew, and so does the time that members have to give partitions
// up.
func (m *consumerMachine) restore(now time.Time, r consumerRecord) {
	m.epoch, m.assignmentEpoch, m.assignedBy, m.metadata = r.Epoch, r.AssignmentEpoch, r.AssignedBy, r.Metadata
	for i := range r.Members {
		mb := &r.Members[i]
		m.insert(mb)
		mb.deadline = m.wakeBy(now.Add(m.times.SessionTimeout))
		if mb.classic != nil {
			m.touchClassic(now, mb)
		} else if mb.state == memberUnrevoked {
			mb.revokeBy = m.wakeBy(now.Add(mb.rebalance))
		}
	}
	m.changed = false
}

// encode returns the bytes of the record.
func (r *consumerRecord) encode() []byte {
	b := append([]byte(recordMagic), consumerRecordVersion)
	b = binary.AppendUvarint(b, uint64(uint32(r.Epoch)))
	b = binary.AppendUvarint(b, uint64(uint32(r.AssignmentEpoch)))
	b = appendBytes(b, r.AssignedBy)
	b = binary.LittleEndian.AppendUint64(b, r.Metadata)
	topics := r.topics()
	b = binary.AppendUvarint(b, uint64(len(topics)))
	number := make(map[metastore.TopicID]uint64, len(topics))
	for i, id := range topics {
		b = append(b, id[:]...)
		number[id] = uint64(i)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Members)))
	for i := range r.Members {
		var before *consumerMember
		if i > 0 {
			before = &r.Members[i-1]
		}
		b = r.Members[i].append(b, before, number)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// topics are those of all sets of the members, sorted.
func (r *consumerRecord) topics() []metastore.TopicID {
	all := make(map[metastore.TopicID]bool)
	for i := range r.Members {
		mb := &r.Members[i]
		for _, set := range []partitions{mb.assigned, mb.revoking, mb.target} {
			for j := range set {
				if j == 0 || set[j].Topic != set[j-1].Topic {
					all[set[j].Topic] = true
				}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(all), compareTopicIDs)
}

const (
	flagClassic  = 1 << 0 // uses the classic protocol
	flagSameName = 1 << 1 // subscribes to the same names as the member before
	flagOnTarget = 1 << 2 // its target is what it is assigned
)

func (mb *consumerMember) append(b []byte, before *consumerMember, number map[metastore.TopicID]uint64) []byte {
	var flags byte
	if mb.classic != nil {
		flags |= flagClassic
	}
	if before != nil && slices.Equal(before.names, mb.names) {
		flags |= flagSameName
	}
	if mb.target.equal(mb.assigned) {
		flags |= flagOnTarget
	}
	b = append(b, flags, byte(mb.state))
	for _, s := range []string{mb.id, mb.instance, mb.rack, mb.clientID, mb.clientHost, mb.regex, mb.assignor} {
		b = appendBytes(b, s)
	}
	b = binary.AppendUvarint(b, uint64(mb.rebalance.Milliseconds()))
	b = binary.AppendVarint(b, int64(mb.epoch))
	b = binary.AppendVarint(b, int64(mb.previous))
	if flags&flagSameName == 0 {
		b = binary.AppendUvarint(b, uint64(len(mb.names)))
		for _, name := range mb.names {
			b = appendBytes(b, name)
		}
	}
	b = mb.assigned.append(b, number)
	b = mb.revoking.append(b, number)
	if flags&flagOnTarget == 0 {
		b = mb.target.append(b, number)
	}
	if mb.classic != nil {
		b = binary.AppendUvarint(b, uint64(mb.classic.session.Milliseconds()))
		b = binary.AppendUvarint(b, uint64(len(mb.classic.protocols)))
		for _, p := range mb.classic.protocols {
			b = appendBytes(b, p.Name)
			b = appendBytes(b, p.Metadata)
		}
	}
	return b
}

// append writes the set by topic, each partition as its distance from the one before.
func (p partitions) append(b []byte, number map[metastore.TopicID]uint64) []byte {
	topics := 0
	for i := range p {
		if i == 0 || p[i].Topic != p[i-1].Topic {
			topics++
		}
	}
	b = binary.AppendUvarint(b, uint64(topics))
	for len(p) > 0 {
		n := 1
		for n < len(p) && p[n].Topic == p[0].Topic {
			n++
		}
		b = binary.AppendUvarint(b, number[p[0].Topic])
		b = binary.AppendUvarint(b, uint64(n))
		last := int32(-1)
		for _, x := range p[:n] {
			b = binary.AppendUvarint(b, uint64(x.Partition-last-1))
			last = x.Partition
		}
		p = p[n:]
	}
	return b
}

// isConsumerRecord tells whether bytes are meant for decodeConsumerRecord, and not for decodeRecord.
func isConsumerRecord(b []byte) bool {
	return len(b) > len(recordMagic) && b[len(recordMagic)] == consumerRecordVersion
}

// decodeConsumerRecord reads a record. The result does not share memory with b.
func decodeConsumerRecord(b []byte) (consumerRecord, error) {
	d, err := openRecord(b, consumerRecordVersion)
	if err != nil {
		return consumerRecord{}, err
	}
	r := consumerRecord{
		Epoch: int32(d.number(math.MaxInt32)), AssignmentEpoch: int32(d.number(math.MaxInt32)), AssignedBy: d.text(), Metadata: d.fixed64(),
	}
	topics := d.topicIDs()
	n := d.count(minConsumerMember)
	if n > 0 {
		r.Members = make([]consumerMember, 0, n)
	}
	for range n {
		var names []string
		if len(r.Members) > 0 {
			names = r.Members[len(r.Members)-1].names
		}
		r.Members = append(r.Members, d.consumerMember(names, topics))
	}
	if d.failed || len(d.rest) != 0 {
		return consumerRecord{}, fmt.Errorf("%w: body", errCorrupt)
	}
	return r, r.validate()
}

// validate refuses what the machine relies on.
func (r *consumerRecord) validate() error {
	ids, instances := make(map[string]bool), make(map[string]bool)
	owned := make(map[metastore.TopicPartition]bool)
	if r.AssignmentEpoch > r.Epoch {
		return fmt.Errorf("%w: assignment of a later epoch", errCorrupt)
	}
	for i := range r.Members {
		mb := &r.Members[i]
		if mb.id == "" || ids[mb.id] || instances[mb.instance] {
			return fmt.Errorf("%w: member id empty or repeated", errCorrupt)
		}
		if mb.classic != nil && (mb.classic.session <= 0 || len(mb.classic.protocols) == 0) {
			return fmt.Errorf("%w: member without session timeout or protocol", errCorrupt)
		}
		ids[mb.id] = true
		instances[mb.instance] = mb.instance != ""
		for _, set := range []partitions{mb.assigned, mb.revoking} {
			for _, p := range set {
				if owned[p] {
					return fmt.Errorf("%w: partition with two owners", errCorrupt)
				}
				owned[p] = true
			}
		}
	}
	return nil
}

func (d *decoder) consumerMember(namesBefore []string, topics []metastore.TopicID) consumerMember {
	flags, state := d.byte(), d.byte()
	if flags > flagClassic|flagSameName|flagOnTarget || state > byte(memberUnreleased) {
		d.failed = true
	}
	mb := consumerMember{state: memberState(state)}
	for _, s := range []*string{&mb.id, &mb.instance, &mb.rack, &mb.clientID, &mb.clientHost, &mb.regex, &mb.assignor} {
		*s = d.text()
	}
	mb.rebalance = d.duration()
	mb.epoch, mb.previous = d.epoch(), d.epoch()
	if flags&flagSameName != 0 {
		mb.names = namesBefore
	} else {
		for range d.count(1) {
			mb.names = append(mb.names, d.text())
		}
	}
	mb.assigned, mb.revoking = d.partitions(topics), d.partitions(topics)
	if flags&flagOnTarget != 0 {
		mb.target = mb.assigned
	} else {
		mb.target = d.partitions(topics)
	}
	if flags&flagClassic != 0 {
		mb.classic = &classicSide{session: d.duration(), protocols: make([]Protocol, d.count(minProtocol))}
		for i := range mb.classic.protocols {
			mb.classic.protocols[i] = Protocol{d.text(), d.bytes()}
		}
		mb.classic.version = subscriptionVersion(mb.classic.protocols)
	}
	return mb
}

// subscriptionVersion is that of what the member says about itself; 0 if that cannot be read.
func subscriptionVersion(protocols []Protocol) int16 {
	if len(protocols) == 0 {
		return 0
	}
	s, err := decodeSubscription(protocols[0].Metadata)
	if err != nil {
		return 0
	}
	return s.version
}

func (d *decoder) byte() byte { return byte(d.number(math.MaxInt8)) } // flags are below 128: one byte

func (d *decoder) fixed64() uint64 {
	if d.failed || len(d.rest) < 8 {
		d.failed = true
		return 0
	}
	n := binary.LittleEndian.Uint64(d.rest)
	d.rest = d.rest[8:]
	return n
}

func (d *decoder) epoch() MemberEpoch {
	n, size := binary.Varint(d.rest)
	if d.failed || size <= 0 || n < int64(LeaveStaticEpoch) || n > math.MaxInt32 {
		d.failed = true
		return 0
	}
	d.rest = d.rest[size:]
	return MemberEpoch(n)
}

// topicIDs reads the table of topics; one that is not sorted is refused.
func (d *decoder) topicIDs() []metastore.TopicID {
	all := make([]metastore.TopicID, d.count(topicIDBytes))
	for i := range all {
		if len(d.rest) < topicIDBytes {
			d.failed = true
			return nil
		}
		copy(all[i][:], d.rest)
		d.rest = d.rest[topicIDBytes:]
		if i > 0 && compareTopicIDs(all[i-1], all[i]) >= 0 {
			d.failed = true
		}
	}
	return all
}

// partitions reads a set; what is not sorted is refused.
func (d *decoder) partitions(topics []metastore.TopicID) partitions {
	var set partitions
	for range d.count(minTopicSet) {
		number := d.number(math.MaxInt32)
		n := d.count(1)
		if d.failed || number >= uint64(len(topics)) || n == 0 || len(set) > 0 && compareTopicIDs(set[len(set)-1].Topic, topics[number]) >= 0 {
			d.failed = true
			return nil
		}
		last := int64(-1)
		for range n {
			last += 1 + int64(d.number(math.MaxInt32))
			if last > math.MaxInt32 {
				d.failed = true
				return nil
			}
			set = append(set, metastore.TopicPartition{Topic: topics[number], Partition: int32(last)})
		}
	}
	return set
}
