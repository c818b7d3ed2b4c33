// Package group coordinates groups of consumers: membership, assignments and committed offsets, as Kafka's group coordinator
// does for the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup), for that of KIP-848 (ConsumerGroupHeartbeat), and
// for OffsetCommit and its kin.
//
// A group is a pure state machine (machine or consumerMachine): events and the time go in, answers and records to persist come out. The
// Coordinator around it does the I/O against the metastore, where everything lives that has to outlast the broker:
// members, generation and assignment of each group, and its offsets. Each group is claimed under an epoch before its
// first use, and every write names that epoch, so a coordinator that lost a group without noticing cannot change it.
// A coordinator that takes a group over restores members and generation from the record; members carry on without a
// rebalance.
//
// Kafka's error codes are the business of the protocol handlers; the errors here map to them one to one.
package group

import (
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// State is the state of a group, as in Kafka.
type State uint8

// The states of a classic group.
const (
	Empty               State = iota // no members; offsets may exist
	PreparingRebalance               // waits for members to join
	CompletingRebalance              // members joined; waits for the leader's assignment
	Stable                           // members have their assignments
	Dead                             // given up by this coordinator, or deleted
	Assigning                        // of a consumer group: its target assignment is old
	Reconciling                      // of a consumer group: members are on their way to their targets
)

// String returns Kafka's name of the state.
func (s State) String() string {
	switch s {
	case Empty:
		return "Empty"
	case PreparingRebalance:
		return "PreparingRebalance"
	case CompletingRebalance:
		return "CompletingRebalance"
	case Stable:
		return "Stable"
	case Assigning:
		return "Assigning"
	case Reconciling:
		return "Reconciling"
	default:
		return "Dead"
	}
}

// Type is the protocol that a group goes by.
type Type uint8

// The types of groups.
const (
	ClassicType  Type = iota
	ConsumerType      // KIP-848
)

// String returns Kafka's name of the type.
func (t Type) String() string {
	if t == ConsumerType {
		return "consumer"
	}
	return "classic"
}

// Generation counts the rebalances of a group. NoGeneration is what clients outside of group management send.
type Generation int32

// NoGeneration marks commits of clients that manage their partitions themselves.
const NoGeneration Generation = -1

// Protocol is an assignment strategy that a member supports, with what the member tells the leader about itself. The
// metadata is the clients' own; for protocol type "consumer" it is a ConsumerProtocolSubscription.
type Protocol struct {
	Name     string
	Metadata []byte
}

// JoinRequest asks for membership in the next generation. Byte slices are copied.
type JoinRequest struct {
	GroupID              string
	MemberID             string // "" for a new member
	InstanceID           string // group.instance.id of a static member (KIP-345), else ""
	ClientID, ClientHost string
	SessionTimeout       time.Duration
	RebalanceTimeout     time.Duration // 0: the session timeout (JoinGroup v0)
	ProtocolType         string
	Protocols            []Protocol // in the member's order of preference
	RequireKnownMemberID bool       // answer a new dynamic member with ErrMemberIDRequired first (KIP-394; JoinGroup v4+)
	CanSkipAssignment    bool       // the client understands SkipAssignment (KIP-814; JoinGroup v9+)
}

// JoinResponse tells a member its generation. MemberID is also set beside an error, where there is one.
type JoinResponse struct {
	MemberID       string
	Generation     Generation // NoGeneration beside an error
	ProtocolType   string
	Protocol       string
	LeaderID       string
	SkipAssignment bool         // the leader need not compute an assignment
	Members        []JoinMember // for the leader only, in the order in which they joined
}

// JoinMember is a member as the leader sees it, with its metadata for the chosen protocol.
type JoinMember struct {
	MemberID, InstanceID string
	Metadata             []byte
}

// SyncRequest asks for the member's assignment; the leader's brings everybody's. Byte slices are copied.
type SyncRequest struct {
	GroupID, MemberID, InstanceID string
	Generation                    Generation
	ProtocolType, Protocol        string            // "" if the client did not say (before v5)
	Assignments                   map[string][]byte // by member id; the leader's only
}

// SyncResponse holds the member's assignment.
type SyncResponse struct {
	ProtocolType, Protocol string
	Assignment             []byte
}

// HeartbeatRequest keeps a member alive.
type HeartbeatRequest struct {
	GroupID, MemberID, InstanceID string
	Generation                    Generation
}

// LeaveRequest removes members.
type LeaveRequest struct {
	GroupID string
	Members []LeaveMember
}

// LeaveMember names a member by id, or a static one by its instance id alone (an administrator's removal).
type LeaveMember struct{ MemberID, InstanceID string }

// CommitRequest sets offsets of a group.
type CommitRequest struct {
	GroupID, MemberID, InstanceID string
	Generation                    Generation // NoGeneration for clients outside of group management
	MemberEpochs                  bool       // the client knows of KIP-848 (OffsetCommit v9+): Generation may be a member epoch
	Offsets                       []CommitOffset
}

// CommitOffset is one partition's new position.
type CommitOffset struct {
	metastore.TopicPartition
	TopicName   string
	Offset      metastore.Offset
	LeaderEpoch int32 // -1 if unknown
	Metadata    string
}

// Listing is a group in the answer to List.
type Listing struct {
	GroupID, ProtocolType string
	Type                  Type
	State                 State
}

// Description is a group in the answer to Describe. Protocol and the members' Metadata are set while the group is Stable.
type Description struct {
	GroupID, ProtocolType, Protocol string
	State                           State
	Members                         []MemberDescription
}

// MemberDescription is a member in a Description.
type MemberDescription struct {
	MemberID, InstanceID, ClientID, ClientHost string
	Metadata, Assignment                       []byte
}
