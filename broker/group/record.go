package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// record is a group as the metastore keeps it, in GroupRecord.State. FORMAT.md has the bytes. A record with members is
// of a Stable group, one without of an Empty one.
type record struct {
	Generation   Generation
	ProtocolType string
	Protocol     string
	Leader       string
	Members      []recordMember // in the order in which they joined

	writtenAt time.Time // by the metastore, beside the bytes
}

type recordMember struct {
	ID, InstanceID, ClientID, ClientHost string
	SessionTimeout, RebalanceTimeout     time.Duration // whole milliseconds
	Protocols                            []Protocol
	Assignment                           []byte
}

// errCorrupt: the bytes are not a record that this version can read.
var errCorrupt = errors.New("corrupt group record")

const (
	recordMagic   = "RG"
	recordVersion = 1
	minMember     = 4 + 2 + 1 + 1 // bytes of a member whose strings and lists are all empty
	minProtocol   = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// state is what the group is in when it is restored.
func (r *record) state() State {
	if len(r.Members) == 0 {
		return Empty
	}
	return Stable
}

// encode returns the bytes of the record.
func (r *record) encode() []byte {
	b := append([]byte(recordMagic), recordVersion)
	b = binary.AppendUvarint(b, uint64(uint32(r.Generation)))
	b = appendBytes(b, r.ProtocolType)
	b = appendBytes(b, r.Protocol)
	b = appendBytes(b, r.Leader)
	b = binary.AppendUvarint(b, uint64(len(r.Members)))
	for _, m := range r.Members {
		b = m.append(b)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (m *recordMember) append(b []byte) []byte {
	b = appendBytes(b, m.ID)
	b = appendBytes(b, m.InstanceID)
	b = appendBytes(b, m.ClientID)
	b = appendBytes(b, m.ClientHost)
	b = binary.AppendUvarint(b, uint64(m.SessionTimeout.Milliseconds()))
	b = binary.AppendUvarint(b, uint64(m.RebalanceTimeout.Milliseconds()))
	b = binary.AppendUvarint(b, uint64(len(m.Protocols)))
	for _, p := range m.Protocols {
		b = appendBytes(b, p.Name)
		b = appendBytes(b, p.Metadata)
	}
	return appendBytes(b, m.Assignment)
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeRecord reads a record. The result does not share memory with b.
func decodeRecord(b []byte) (record, error) {
	d, err := openRecord(b, recordVersion)
	if err != nil {
		return record{}, err
	}
	r := record{Generation: Generation(d.number(math.MaxInt32)), ProtocolType: d.text(), Protocol: d.text(), Leader: d.text()}
	r.Members = make([]recordMember, d.count(minMember))
	for i := range r.Members {
		r.Members[i] = d.member()
	}
	if d.failed || len(d.rest) != 0 {
		return record{}, fmt.Errorf("%w: body", errCorrupt)
	}
	return r, r.validate()
}

// openRecord checks what records of all versions begin and end with, and returns a decoder of what is between.
func openRecord(b []byte, version byte) (*decoder, error) {
	if len(b) < len(recordMagic)+1+4 || string(b[:len(recordMagic)]) != recordMagic {
		return nil, fmt.Errorf("%w: no magic", errCorrupt)
	}
	if v := b[len(recordMagic)]; v != version {
		return nil, fmt.Errorf("%w: version %d is not known", errCorrupt, v)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("%w: checksum", errCorrupt)
	}
	return &decoder{rest: body[len(recordMagic)+1:]}, nil
}

// validate refuses what the machine relies on.
func (r *record) validate() error {
	ids, instances := make(map[string]bool), make(map[string]bool)
	for _, m := range r.Members {
		if m.ID == "" || ids[m.ID] || instances[m.InstanceID] {
			return fmt.Errorf("%w: member id empty or repeated", errCorrupt)
		}
		if m.SessionTimeout <= 0 || m.RebalanceTimeout <= 0 {
			return fmt.Errorf("%w: member without time-out", errCorrupt)
		}
		ids[m.ID] = true
		instances[m.InstanceID] = m.InstanceID != ""
	}
	return nil
}

// decoder reads a body from its start. After the first failure it returns zero values.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) number(limit uint64) uint64 {
	n, size := binary.Uvarint(d.rest)
	if d.failed || size <= 0 || n > limit {
		d.failed = true
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// count reads the length of a list whose elements take at least size bytes each, so that a lie costs no memory.
func (d *decoder) count(size int) int { return int(d.number(uint64(len(d.rest) / size))) }

func (d *decoder) text() string { return string(d.view()) }

func (d *decoder) bytes() []byte { return append([]byte(nil), d.view()...) }

func (d *decoder) view() []byte {
	n := d.number(uint64(len(d.rest)))
	if uint64(len(d.rest)) < n {
		d.failed = true
		return nil
	}
	v := d.rest[:n]
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) duration() time.Duration {
	return time.Duration(d.number(math.MaxInt32)) * time.Millisecond
}

func (d *decoder) member() recordMember {
	m := recordMember{
		ID: d.text(), InstanceID: d.text(), ClientID: d.text(), ClientHost: d.text(),
		SessionTimeout: d.duration(), RebalanceTimeout: d.duration(),
	}
	m.Protocols = make([]Protocol, d.count(minProtocol))
	for i := range m.Protocols {
		m.Protocols[i] = Protocol{d.text(), d.bytes()}
	}
	m.Assignment = d.bytes()
	return m
}
