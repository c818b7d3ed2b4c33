package group

import (
	"time"

	"github.com/runnel-io/runnel/broker/group/assignor"
	"github.com/runnel-io/runnel/metastore"
)

// MemberEpoch is what a member of a consumer group (KIP-848) has been told last. It is the group's epoch as of the
// assignment that the member has, or is on its way to.
type MemberEpoch int32

// What heartbeats have in place of an epoch.
const (
	JoinEpoch        MemberEpoch = 0
	LeaveEpoch       MemberEpoch = -1
	LeaveStaticEpoch MemberEpoch = -2 // a static member that will be back
)

// ConsumerHeartbeatRequest is all that a member of a consumer group ever sends. Nil and negative values mean that it is as
// before.
type ConsumerHeartbeatRequest struct {
	GroupID, MemberID, InstanceID string // no member id: the coordinator makes one
	ClientID, ClientHost          string
	Epoch                         MemberEpoch
	Rack                          *string
	RebalanceTimeout              time.Duration
	TopicNames                    []string
	TopicRegex                    *string // RE2; "" ends the subscription by expression
	Assignor                      *string
	Owned                         []metastore.TopicPartition
	Sight                         Sight
}

// Sight is which topics a member may know of. The zero value is all.
type Sight struct {
	Who  string                  // members with the same have the same; "" only for all
	Sees func(topic string) bool // does not wait; it is asked at any time while there is the member
}

// ConsumerHeartbeatResponse tells a member what it has.
type ConsumerHeartbeatResponse struct {
	MemberID string
	Epoch    MemberEpoch
	Interval time.Duration // until the next heartbeat; 0 after leaving
	// Assignment holds for the member from now on; nil means as before, and is not the empty one.
	Assignment []metastore.TopicPartition
}

// ConsumerDescription is a consumer group in the answer to DescribeConsumer.
type ConsumerDescription struct {
	GroupID         string
	State           State
	Epoch           int32
	AssignmentEpoch int32
	Assignor        string
	Members         []ConsumerMemberDescription
}

// ConsumerMemberDescription is a member in a ConsumerDescription.
type ConsumerMemberDescription struct {
	MemberID, InstanceID, Rack, ClientID, ClientHost string
	Epoch                                            MemberEpoch
	TopicNames                                       []string
	TopicRegex                                       string
	Assignment, Target                               []metastore.TopicPartition
	Classic                                          bool // uses the classic protocol
}

// Migration is group.consumer.migration.policy: which way a group with members may change its protocol.
type Migration uint8

// The policies. The zero value is Kafka's default.
const (
	MigrateBothWays Migration = iota
	MigrateUpgrade
	MigrateDowngrade
	MigrateNever
)

func (m Migration) upgrades() bool   { return m == MigrateBothWays || m == MigrateUpgrade }
func (m Migration) downgrades() bool { return m == MigrateBothWays || m == MigrateDowngrade }

// ConsumerTimes are the times of one consumer group.
type ConsumerTimes struct {
	HeartbeatInterval time.Duration // group.consumer.heartbeat.interval.ms
	SessionTimeout    time.Duration // group.consumer.session.timeout.ms
	// AssignmentInterval is the shortest time between two target assignments: group.consumer.assignment.interval.ms.
	AssignmentInterval time.Duration
}

// consumerLimits are the settings that a consumer group's machine needs.
type consumerLimits struct {
	maxSize   int      // group.consumer.max.size; 0: none
	assignors []string // group.consumer.assignors, the default first
	migration Migration
}

func (l *consumerLimits) defaultAssignor() string { return l.assignors[0] }

// DefaultAssignors is Kafka's group.consumer.assignors.
func DefaultAssignors() []string { return []string{assignor.UniformName, assignor.RangeName} }

// memberState is how far a member is on its way to its target.
type memberState uint8

const (
	memberStable     memberState = iota // has its target
	memberUnrevoked                     // has partitions that it has to give up, and has not confirmed yet
	memberUnreleased                    // waits for partitions that others have not given up yet
)

func (s memberState) String() string {
	return [...]string{"stable", "unrevoked", "unreleased"}[s]
}

// consumerMember is one member of a consumer group.
type consumerMember struct {
	id, instance, rack   string
	clientID, clientHost string
	rebalance            time.Duration
	names                []string // subscribed, sorted, each once
	regex                string   // subscribed, or ""
	sight                Sight    // as of its last heartbeat; not durable
	assignor             string   // that it asks for, or ""

	epoch, previous MemberEpoch // previous: what it knows if it did not get our answer
	state           memberState
	assigned        partitions // it may use
	revoking        partitions // it may no longer use, and has not confirmed to have given up
	target          partitions
	kept            partitions // of what it was assigned in the epoch before its present one; not durable

	classic *classicSide // nil: it uses the consumer protocol

	deadline time.Time // of the session
	revokeBy time.Time // zero unless unrevoked
	joinBy   time.Time // classic only: told to join again
	syncBy   time.Time // classic only: has joined and not synced
}

// classicSide is what a group remembers of a member that uses the classic protocol.
type classicSide struct {
	session   time.Duration
	protocols []Protocol // as in JoinGroup
	version   int16      // of its subscription
}

// owns is all that nobody else may have while the member is there.
func (mb *consumerMember) owns() partitions { return mb.assigned.with(mb.revoking) }

const (
	consumerMemberBytes = 256 // of a member that says nothing
	nameBytes           = 16  // of an empty name
)

// bytes is what the group remembers at the member's request, about.
func (mb *consumerMember) bytes() int {
	n := consumerMemberBytes + len(mb.id) + len(mb.instance) + len(mb.rack) + len(mb.regex) + len(mb.assignor) + len(mb.clientID) +
		namesBytes(mb.names)
	if mb.classic != nil {
		n += bytesOf(mb.classic.protocols)
	}
	return n
}

func namesBytes(names []string) int {
	n := nameBytes * len(names)
	for _, name := range names {
		n += len(name)
	}
	return n
}
