// Package metastore is the contract for what orders and remembers: the commit log with its fold, and the tables that
// coordinators need.
//
// The log (role Log) holds entries that every broker folds into the same State; Replica is a broker's copy of that
// state together with the compare-and-set loop that appends. Decisions (offsets, duplicates, fencing) are a pure
// function of state and request, so implementations store bytes and know nothing of their meaning. They live in the
// sub-packages postgres and memory and pass the suite in metastoretest.
package metastore

import (
	"context"
	"time"
)

// Seq numbers the entries of the commit log, densely from 1. 0 is the empty log.
type Seq int64

// Position names an entry together with everything before it.
type Position struct {
	Seq      Seq
	Checksum uint64 // Chain over all payloads up to and including Seq; 0 for the empty log
}

// Entry is one element of the commit log. Payload is opaque to implementations and never changes.
type Entry struct {
	Position
	Payload []byte
}

// Snapshot is the folded state as of a position, encoded.
type Snapshot struct {
	Position
	State []byte
}

// Log is the one ordered, durable list of entries. All methods may run concurrently, from many processes.
type Log interface {
	// Append makes next the entry after expected, if the log ends exactly there (same Seq and same Checksum) and
	// next.Seq is expected.Seq+1. On a nil return it is durable and in the order for ever. ErrConflict: the log ends
	// elsewhere and nothing was appended. ErrContended: nothing was appended. After any other error the outcome is
	// unknown: the entry may be there, or may still appear until the implementation's statement time-out (at most 30 s)
	// has passed; where replicas must have it, until they do, and nobody can append before. One round trip; no lock outlives the call. Keeps no reference to next.Payload.
	Append(ctx context.Context, expected Position, next Entry) error

	// AppendWith is Append together with rows of groups, all or nothing: the claims are checked and held against newer ones,
	// the offsets set; a group that does not exist is created, without state or coordinator (AnyNodeID), under an epoch of
	// its own. A *FencedError, which is ErrFenced, names the claims that are not the latest; nothing was appended or written.
	// If the log ends elsewhere too, either error may be returned. One round trip, whatever the number of rows.
	AppendWith(ctx context.Context, expected Position, next Entry, changes GroupChanges) error

	// Read returns entries after the position, in order without gaps, up to about maxBytes of payload but at least
	// one; none if the log ends at after. ErrTrimmed, ErrRegressed (also when the entry at after has another checksum).
	// The caller owns the result.
	Read(ctx context.Context, after Position, maxBytes int) ([]Entry, error)

	// End returns the number of the last entry, 0 if the log is empty.
	End(ctx context.Context) (Seq, error)

	// Wait returns nil when entries after seq may exist, or after at most the implementation's poll interval; it costs
	// little when nothing happens. Otherwise ctx's error.
	Wait(ctx context.Context, after Seq) error

	// SaveSnapshot keeps s and may drop older ones. One older than the newest saved is ignored without error.
	// ErrRegressed if the log does not hold its position: brokers would start from a state that never was, and entries
	// be trimmed that nothing replaces.
	SaveSnapshot(ctx context.Context, s Snapshot) error

	// LatestSnapshot returns the newest snapshot. ErrNoSnapshot.
	LatestSnapshot(ctx context.Context) (Snapshot, error)

	// Trim removes at most limit of the oldest entries with Seq < before and tells how many. Entries after the newest
	// snapshot, and the newest entry, are never removed, whatever before says.
	Trim(ctx context.Context, before Seq, limit int) (int, error)
}

// Broker is a registered broker.
type Broker struct {
	NodeID  NodeID
	Epoch   int64 // grows with every registration of the node id
	Host    string
	Port    int32
	Zone    string // "" if none
	Version string // of the software

	// Listeners are where clients reach it by the name of each listener. Host and Port are those of the first. None: a broker
	// of a version that had one, see Listener. Not to be modified.
	Listeners []Listener

	// PeerHost and PeerPort are where other brokers reach it; "" and 0 if they cannot.
	PeerHost string
	PeerPort int32

	// Leaving: it is about to go, and still there. Nothing new should be given to it. Registering does not set it.
	Leaving bool
}

// Brokers is the membership: leases in the metastore, by the metastore's clock.
type Brokers interface {
	// ClusterID is made once, when the metastore is initialised, and never changes. 22 characters, URL-safe base64 of a
	// UUID as Kafka's.
	ClusterID(ctx context.Context) (string, error)

	// Clock is the metastore's own, which times the leases. Brokers go by it, so that their clocks need not agree.
	Clock(ctx context.Context) (time.Time, error)

	// RegisterBroker takes b.NodeID, or the lowest id without a live lease if it is AnyNodeID, for the length of lease.
	// A registration whose Host and Port equal those of the live holder replaces it (a restart on the same address).
	// Returns b with NodeID and Epoch filled in. ErrNodeIDInUse.
	RegisterBroker(ctx context.Context, b Broker, lease time.Duration) (Broker, error)

	// RenewBroker extends the lease from now. ErrFenced if another registration took the id, or the lease was removed.
	// A lease that ran out but that nobody else took is renewed.
	RenewBroker(ctx context.Context, id NodeID, epoch int64, lease time.Duration) error

	// LeaveBroker makes LiveBrokers return the broker as Leaving, until it registers again. ErrFenced as from RenewBroker.
	LeaveBroker(ctx context.Context, id NodeID, epoch int64) error

	// UnregisterBroker ends the lease at once. No error if it had ended.
	UnregisterBroker(ctx context.Context, id NodeID, epoch int64) error

	// LiveBrokers returns the brokers with a live lease, by node id.
	LiveBrokers(ctx context.Context) ([]Broker, error)
}

// Lease is a role that one broker holds for a time: the sequencer, the compactor and others.
type Lease struct {
	Name        string
	Holder      NodeID
	HolderEpoch int64 // Broker.Epoch of the holder's registration: a broker that restarted under its node id is another holder
	Epoch       int64 // grows each time the lease is taken, stays while it is extended
}

// HeldBy tells whether that registration of the broker is the holder.
func (l Lease) HeldBy(holder NodeID, holderEpoch int64) bool {
	return l.Holder == holder && l.HolderEpoch == holderEpoch
}

// Leases gives out roles, by the metastore's clock. A lease keeps brokers from doing the same work twice; it fences
// nobody: who lost one may not know it yet, so what the role writes must be fenced by itself. The holder stops on a clock
// of its own, a length after it sent the call that succeeded last.
type Leases interface {
	// HoldLease takes the lease for a length from now, or extends it so if the registration holds it already, unless
	// another's is live. It returns the lease as it stands, so the caller looks at HeldBy. A later registration of the
	// holder's node id takes over at once, since the holder is dead; an earlier one does not. A lease that ran out but
	// that nobody else took is extended. The epoch is durable, the holder need not outlive a metastore that lives in its
	// broker's process. One round trip; while another holds the lease nothing is written and no lock waited for.
	HoldLease(ctx context.Context, name string, holder NodeID, holderEpoch int64, length time.Duration) (Lease, error)

	// ReleaseLease ends the lease at once. No error if the registration does not hold it.
	ReleaseLease(ctx context.Context, name string, holder NodeID, holderEpoch int64) error
}

// GroupEpoch grows each time a coordinator claims a group. It fences the claims before.
type GroupEpoch int64

// GroupRecord is a consumer group as the metastore keeps it.
type GroupRecord struct {
	GroupID      string
	Epoch        GroupEpoch
	Coordinator  NodeID
	ProtocolType string // "consumer", "connect", ... or "" if only offsets were committed
	StateName    string // the coordinator's name of type and state, as last written, for listings
	State        []byte // the coordinator's encoding of members, generation and assignment; nil if never written

	// WrittenAt is when WriteGroup wrote last, by the metastore's clock; zero if never, or if a version wrote it that did
	// not keep the time. WriteGroup ignores what the caller says.
	WrittenAt time.Time
}

// GroupAge is what tells whether a group, or something that it committed, is old.
type GroupAge struct {
	GroupID, ProtocolType, StateName string
	WrittenAt                        time.Time // as in GroupRecord
	OldestCommit                     time.Time // the earliest CommittedAt of its offsets; zero if it has none
}

// CommittedOffset is a group's position in a partition.
type CommittedOffset struct {
	TopicPartition
	TopicName   string // for people who read the table
	Offset      Offset
	LeaderEpoch int32  // -1 if unknown
	Metadata    string // the client's own
	CommittedAt time.Time
}

// Groups holds groups and their offsets. Every write names the epoch of its claim, and is refused with ErrFenced if a
// newer claim exists (or the row is gone); it is durable on a nil return, and all or nothing.
type Groups interface {
	// ClaimGroup makes owner the coordinator under a new epoch; the group is created, without state, if there is none.
	ClaimGroup(ctx context.Context, groupID string, owner NodeID) (GroupRecord, error)
	// ReadGroup does not claim. ErrGroupNotFound.
	ReadGroup(ctx context.Context, groupID string) (GroupRecord, error)
	// WriteGroup replaces ProtocolType, StateName and State of the group named in g under g.Epoch.
	WriteGroup(ctx context.Context, g GroupRecord) error
	// DeleteGroup removes the group and its offsets.
	DeleteGroup(ctx context.Context, groupID string, epoch GroupEpoch) error
	// ListGroups returns all groups by id, without State.
	ListGroups(ctx context.Context) ([]GroupRecord, error)
	// CommitOffsets sets the offsets given; others stay.
	CommitOffsets(ctx context.Context, groupID string, epoch GroupEpoch, offsets []CommittedOffset) error
	// FetchOffsets returns the committed offsets among the partitions asked for, or all if partitions is nil, ordered by
	// topic id and partition. None for an unknown group.
	FetchOffsets(ctx context.Context, groupID string, partitions []TopicPartition) ([]CommittedOffset, error)
	// DeleteOffsets forgets offsets; those that do not exist count as deleted.
	DeleteOffsets(ctx context.Context, groupID string, epoch GroupEpoch, partitions []TopicPartition) error
	// ExpireOffsets forgets the offsets that were committed at the time given or before it, except those of the topics
	// named, and returns how many the group has left.
	ExpireOffsets(ctx context.Context, groupID string, epoch GroupEpoch, through time.Time, except []string) (left int, err error)
	// GroupAges returns up to limit groups by id, beginning with the id given or the next one in the order of bytes. It
	// looks at no others.
	GroupAges(ctx context.Context, from string, limit int) ([]GroupAge, error)
	// DeleteTopicOffsets forgets all groups' offsets of a deleted topic.
	DeleteTopicOffsets(ctx context.Context, topic TopicID) error
}

// Store is everything that one metastore does.
type Store interface {
	Log
	Brokers
	Leases
	Groups
	// Close releases connections and files. Calls in flight end with an error.
	Close() error
}
