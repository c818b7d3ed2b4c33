package metastore

import (
	"encoding/binary"
	"fmt"
	"math"
)

// recordVersion is the version of the entry format that this package writes. See FORMAT.md.
const recordVersion = 1

// kind says which change an entry makes. The numbers are part of the format.
type kind byte

const (
	kindCommit              kind = 1
	kindCreateTopic         kind = 2
	kindDeleteTopic         kind = 3
	kindCreatePartitions    kind = 4
	kindAlterTopicConfigs   kind = 5
	kindAllocateProducerIDs kind = 6
	kindExpireProducers     kind = 7
	kindDeleteRecords       kind = 8
	kindTransact            kind = 9
	kindAlterConfigs        kind = 10
	kindReplicationFactor   kind = 11
	kindSwap                kind = 12
	kindCollected           kind = 13
	kindTouch               kind = 14
	kindCleaned             kind = 15
	kindRestore             kind = 16
	kindPutOff              kind = 17
)

// nonce marks a proposal: all attempts of one proposal carry the same, so that its outcome can be found in the log
// after an ambiguous append (promise 9).
type nonce uint64

// record is the decoded payload of an entry.
type record struct {
	time  int64 // ms, by the clock of the broker that decided
	nonce nonce
	change
}

// change is what an entry does to the state. Changes hold results, not commands: applying one cannot fail and does not
// depend on the version of the broker.
type change interface {
	kind() kind
	append(b []byte) []byte
	apply(s *State, at int64, touched func(TopicPartition))
}

func (r record) encode() []byte {
	size := 128
	if c, ok := r.change.(interface{ sizeHint() int }); ok {
		size += c.sizeHint()
	}
	b := make([]byte, 0, size)
	b = append(b, recordVersion, byte(r.kind()))
	b = binary.AppendVarint(b, r.time)
	b = binary.BigEndian.AppendUint64(b, uint64(r.nonce))
	return r.append(b)
}

// touches is about how often applying a change calls touched.
func touches(c change) int {
	n := 0
	switch c := c.(type) {
	case commitSegments:
		for i := range c.segments {
			n += len(c.segments[i].runs)
		}
	case createTopic:
		n = int(c.partitions)
	case transact:
		for i := range c.changes {
			if ended := c.changes[i].ended; ended != nil {
				n += len(ended.at)
			}
		}
	case moveLogStarts:
		for i := range c.topics {
			n += len(c.topics[i].partitions)
		}
	}
	return n
}

func decodeRecord(payload []byte) (record, error) {
	d := &decoder{b: payload}
	version := d.byte()
	if d.err == nil && version != recordVersion {
		return record{}, fmt.Errorf("%w: entry version %d", ErrNewerFormat, version)
	}
	k := kind(d.byte())
	r := record{time: d.varint(), nonce: nonce(d.uint64())}
	if d.err != nil {
		return record{}, d.err
	}
	switch k {
	case kindCommit:
		r.change = decodeCommit(d)
	case kindCreateTopic:
		r.change = decodeCreateTopic(d)
	case kindDeleteTopic:
		r.change = deleteTopic{id: d.uuid()}
	case kindCreatePartitions:
		r.change = createPartitions{id: d.uuid(), partitions: int32(d.uvarintMax(MaxPartitions, "partitions"))}
	case kindAlterTopicConfigs:
		r.change = alterTopicConfigs{id: d.uuid(), set: d.stringMap(), unset: d.strings()}
	case kindAllocateProducerIDs:
		r.change = allocateProducerIDs{first: ProducerID(d.uvarintMax(1<<62, "producer id")), count: int64(d.uvarintMax(1<<32, "producer ids"))}
	case kindExpireProducers:
		r.change = expireProducers{before: d.varint()}
	case kindDeleteRecords:
		r.change = decodeMoveLogStarts(d)
	case kindReplicationFactor:
		r.change = setReplicationFactor{id: d.uuid(), replicationFactor: int16(d.uvarintMax(math.MaxInt16, "replication factor"))}
	case kindTransact:
		r.change = decodeTransact(d)
	case kindAlterConfigs:
		r.change = decodeAlterConfigs(d)
	case kindSwap:
		r.change = decodeSwap(d)
	case kindCollected:
		r.change = collectGarbage{through: int64(d.uvarintMax(math.MaxInt64, "number of garbage"))}
	case kindPutOff:
		r.change = decodePutOff(d)
	case kindTouch:
		r.change = touch{}
	case kindCleaned:
		r.change = decodeNoteCleaned(d)
	case kindRestore:
		var err error
		if r.change, err = decodeRestore(d); err != nil {
			return record{}, err
		}
	default:
		return record{}, fmt.Errorf("%w: entry kind %d", ErrNewerFormat, k)
	}
	return r, d.end()
}
