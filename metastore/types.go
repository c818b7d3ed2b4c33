package metastore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Offset is the place of a record in its partition.
type Offset int64

// NoOffset is what error answers carry in place of an offset.
const NoOffset Offset = -1

// TopicID identifies a topic for its whole life; a topic re-created under the same name gets another one.
type TopicID uuid.UUID

func (t TopicID) String() string { return uuid.UUID(t).String() }

// SegmentID holds the time of the segment's creation, and its tier: it is a UUID of version 7, or for segments that were
// rewritten one of version 8 with the same layout.
type SegmentID uuid.UUID

// rewrittenVersion is the version of the ids of tier 1.
const rewrittenVersion = 8

func (s SegmentID) String() string { return uuid.UUID(s).String() }

// Tier is 0 for segments as producers' brokers upload them, 1 for those that are made of others.
func (s SegmentID) Tier() int {
	if s[6]>>4 == rewrittenVersion {
		return 1
	}
	return 0
}

// Time is the segment's creation, to the millisecond, by the clock of the broker that made it.
func (s SegmentID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(s[:8]) >> 16))
}

// NewSegmentID makes an id of tier 0 from a time and random bits. (uuid.NewV7 takes the time itself, and never goes back
// with it.)
func NewSegmentID(at time.Time) SegmentID { return newSegmentID(at, 7) }

// NewRewrittenID makes an id of tier 1. No id is for two objects: what is rewritten again gets another.
func NewRewrittenID(at time.Time) SegmentID { return newSegmentID(at, rewrittenVersion) }

func newSegmentID(at time.Time, version byte) SegmentID {
	id := SegmentID(uuid.New())
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | version<<4
	return id
}

// NodeID is the Kafka node id of a broker, 0 or more.
type NodeID int32

// AnyNodeID asks RegisterBroker to choose the lowest free id.
const AnyNodeID NodeID = -1

type (
	// ProducerID identifies an idempotent producer; NoProducerID marks batches that have none.
	ProducerID int64
	// ProducerEpoch counts the incarnations of one ProducerID, from 0.
	ProducerEpoch int16
)

// NoProducerID marks record batches of producers that are not idempotent.
const NoProducerID ProducerID = -1

// TopicPartition names one partition of one incarnation of a topic.
type TopicPartition struct {
	Topic     TopicID
	Partition int32
}

func (tp TopicPartition) compare(to TopicPartition) int {
	if c := bytes.Compare(tp.Topic[:], to.Topic[:]); c != 0 {
		return c
	}
	return cmp.Compare(tp.Partition, to.Partition)
}

func (tp TopicPartition) String() string { return fmt.Sprintf("%s-%d", tp.Topic, tp.Partition) }

// Errors that every implementation returns for these conditions, wrapped or bare.
var (
	// ErrConflict: the log does not end at the position that Append expected. Nothing was appended.
	ErrConflict = errors.New("commit log moved on")
	// ErrContended: the store gave the call up for the sake of others, time and again. Nothing was done; any call may return
	// it, and may be made again.
	ErrContended = errors.New("given up for the sake of other calls")
	// ErrTrimmed: the entries after the position are gone; start from a snapshot.
	ErrTrimmed = errors.New("commit log trimmed past position")
	// ErrRegressed: the log does not contain the position although it should: the metastore went back in time or is
	// another cluster's. Nobody may go on from here.
	ErrRegressed = errors.New("commit log does not contain the expected entry: the metastore went back in time or belongs to another cluster")
	// ErrNoSnapshot: no snapshot was saved yet.
	ErrNoSnapshot = errors.New("no snapshot")
	// ErrFenced: somebody else holds the role, with a higher epoch, or the lease is lost.
	ErrFenced = errors.New("fenced by a newer epoch")
	// ErrNodeIDInUse: a live broker holds the node id.
	ErrNodeIDInUse = errors.New("node id in use by a live broker")
	// ErrGroupNotFound: the metastore has no such group.
	ErrGroupNotFound = errors.New("group not found")
	// ErrSchema: the database lacks migrations or has newer ones than this binary knows.
	ErrSchema = errors.New("metastore schema does not match")
	// ErrNewerSchema is an ErrSchema: the database has migrations that this binary does not know.
	ErrNewerSchema = fmt.Errorf("%w: run a newer binary", ErrSchema)
)
