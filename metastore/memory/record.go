package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// ErrCorrupt is returned by Open for a journal that is damaged elsewhere than at an end that a crash left behind.
var ErrCorrupt = errors.New("journal is corrupt")

// recordKind says which change a record of the journal holds. FORMAT.md has their fields.
type recordKind uint8

const (
	kindClusterID          recordKind = 1
	kindLogBase            recordKind = 2
	kindLogEntry           recordKind = 3
	kindLogTrim            recordKind = 4
	kindSnapshot           recordKind = 5
	kindBrokerEpoch        recordKind = 6
	kindGroupEpoch         recordKind = 7
	kindGroupClaim         recordKind = 8
	kindGroupWrite         recordKind = 9
	kindGroupDelete        recordKind = 10
	kindOffsetsCommit      recordKind = 11
	kindOffsetsDelete      recordKind = 12
	kindTopicOffsetsDelete recordKind = 13
	kindCheckpointEnd      recordKind = 14
	kindLeaseEpoch         recordKind = 15 // since version 2
	kindGroupDatedWrite    recordKind = 16 // since version 3
)

// newChange returns the empty change of a kind, nil if there is no such kind.
func newChange(k recordKind) change {
	switch k {
	case kindClusterID:
		return &clusterID{}
	case kindLogBase:
		return &logBase{}
	case kindLogEntry:
		return &logEntry{}
	case kindLogTrim:
		return &logTrim{}
	case kindSnapshot:
		return &snapshot{}
	case kindBrokerEpoch:
		return &brokerEpoch{}
	case kindGroupEpoch:
		return &groupEpoch{}
	case kindGroupClaim:
		return &groupClaim{}
	case kindGroupWrite:
		return &groupWrite{}
	case kindGroupDelete:
		return &groupDelete{}
	case kindOffsetsCommit:
		return &offsetsCommit{}
	case kindOffsetsDelete:
		return &offsetsDelete{}
	case kindTopicOffsetsDelete:
		return &topicOffsetsDelete{}
	case kindCheckpointEnd:
		return &checkpointEnd{}
	case kindLeaseEpoch:
		return &leaseEpoch{}
	case kindGroupDatedWrite:
		return &groupDatedWrite{}
	}
	return nil
}

// appendRecord encodes a change with its kind and length.
func appendRecord(b []byte, c change) []byte {
	body := fields{}
	c.fields(&body)
	b = append(b, byte(c.kind()))
	b = binary.AppendUvarint(b, uint64(len(body.data)))
	return append(b, body.data...)
}

// decodeRecord takes one change off the front of b and returns the rest. The change refers to b.
func decodeRecord(b []byte) (change, []byte, error) {
	f := fields{data: b, decoding: true}
	var kind uint8
	f.u8(&kind)
	var body []byte
	f.bytes(&body)
	if f.failed {
		return nil, nil, fmt.Errorf("record is cut short: %w", ErrCorrupt)
	}
	c := newChange(recordKind(kind))
	if c == nil {
		return nil, nil, fmt.Errorf("record of unknown kind %d: %w", kind, ErrCorrupt)
	}
	rest := f.data
	f = fields{data: body, decoding: true}
	c.fields(&f)
	if f.failed || len(f.data) > 0 {
		return nil, nil, fmt.Errorf("record of kind %d is malformed: %w", kind, ErrCorrupt)
	}
	return c, rest, nil
}

// fields is a cursor over the fields of a record: it appends them to data or takes them off its front, so that each
// change lists its fields once.
type fields struct {
	data     []byte
	decoding bool
	failed   bool // data ended too early; all later fields stay zero
}

// take returns the next n bytes, or nil and fails.
func (f *fields) take(n uint64) []byte {
	if f.failed || n > uint64(len(f.data)) {
		f.failed = true
		return nil
	}
	taken := f.data[:n:n]
	f.data = f.data[n:]
	return taken
}

func (f *fields) u8(v *uint8) {
	if !f.decoding {
		f.data = append(f.data, *v)
	} else if b := f.take(1); b != nil {
		*v = b[0]
	}
}

func (f *fields) u64(v *uint64) {
	if !f.decoding {
		f.data = binary.BigEndian.AppendUint64(f.data, *v)
	} else if b := f.take(8); b != nil {
		*v = binary.BigEndian.Uint64(b)
	}
}

func (f *fields) uvarint(v *uint64) {
	if !f.decoding {
		f.data = binary.AppendUvarint(f.data, *v)
		return
	}
	n, size := binary.Uvarint(f.data)
	if size <= 0 {
		f.failed = true
		return
	}
	f.take(uint64(size))
	*v = n
}

func (f *fields) bytes(v *[]byte) {
	n := uint64(len(*v))
	f.uvarint(&n)
	if !f.decoding {
		f.data = append(f.data, *v...)
	} else {
		*v = f.take(n)
	}
}

// nilable is bytes that may be nil, which is not the same as empty.
func (f *fields) nilable(v *[]byte) {
	var present uint8
	if *v != nil {
		present = 1
	}
	f.u8(&present)
	if present == 1 {
		f.bytes(v)
	} else if present > 1 {
		f.failed = true
	}
}

func (f *fields) text(v *string) {
	b := []byte(*v)
	f.bytes(&b)
	*v = string(b)
}

// fixed is an array of bytes.
func (f *fields) fixed(v []byte) {
	if !f.decoding {
		f.data = append(f.data, v...)
	} else {
		copy(v, f.take(uint64(len(v))))
	}
}

// i64 encodes any signed integer type in 8 bytes.
func i64[T ~int64](f *fields, v *T) {
	u := uint64(*v)
	f.u64(&u)
	*v = T(u)
}

// i32 encodes any signed integer type in 4 bytes.
func i32[T ~int32](f *fields, v *T) {
	if !f.decoding {
		f.data = binary.BigEndian.AppendUint32(f.data, uint32(*v))
	} else if b := f.take(4); b != nil {
		*v = T(binary.BigEndian.Uint32(b))
	}
}

// list encodes the number of items and each of them. Every item takes at least one byte: a count that cannot be true
// is noticed before anything is allocated for it.
func list[T any](f *fields, items *[]T, each func(*T)) {
	n := uint64(len(*items))
	f.uvarint(&n)
	if f.decoding {
		if f.failed || n > uint64(len(f.data)) {
			f.failed = true
			return
		}
		*items = nil
		for range n {
			var item T
			if each(&item); f.failed {
				return
			}
			*items = append(*items, item)
		}
		return
	}
	for i := range *items {
		each(&(*items)[i])
	}
}

func (f *fields) position(p *metastore.Position) {
	i64(f, &p.Seq)
	f.u64(&p.Checksum)
}

func (f *fields) partition(p *metastore.TopicPartition) {
	f.fixed(p.Topic[:])
	i32(f, &p.Partition)
}

func (f *fields) offset(o *metastore.CommittedOffset) {
	f.partition(&o.TopicPartition)
	f.text(&o.TopicName)
	i64(f, &o.Offset)
	i32(f, &o.LeaderEpoch)
	f.text(&o.Metadata)
	f.time(&o.CommittedAt)
}

func (f *fields) time(t *time.Time) {
	seconds, nanos := t.Unix(), int32(t.Nanosecond())
	i64(f, &seconds)
	i32(f, &nanos)
	if f.decoding {
		*t = time.Unix(seconds, int64(nanos))
	}
}

// writtenGroup is what WriteGroup replaces, without the time.
func (f *fields) writtenGroup(g *metastore.GroupRecord) {
	f.text(&g.GroupID)
	f.text(&g.ProtocolType)
	f.text(&g.StateName)
	f.nilable(&g.State)
}
