package fsck

import (
	"fmt"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Kind names a sort of finding. The names are stable.
type Kind string

// The kinds. The first ones mean that records are lost, damaged or in doubt.
const (
	MissingObject     Kind = "missing-object"     // a run names an object that is not there
	SizeMismatch      Kind = "size-mismatch"      // an object has another size than was committed
	CorruptObject     Kind = "corrupt-object"     // an object contradicts itself: index, checksums, counts, chains
	IndexMismatch     Kind = "index-mismatch"     // an object is sound, and is not what the log says of it
	ProducerMismatch  Kind = "producer-mismatch"  // what is remembered of a producer is not what it wrote
	Overlap           Kind = "overlap"            // two runs of a partition have the same offsets
	Gap               Kind = "gap"                // offsets of a partition have no run
	HWMMismatch       Kind = "hwm-mismatch"       // the runs of a partition do not end at its high watermark
	StrayTransaction  Kind = "stray-transaction"  // a transaction is open in a partition, and nothing can end it, or the other way round
	Regressed         Kind = "regressed"          // the log lacks an entry that a broker had seen, as a mark in the bucket says
	BrokenChain       Kind = "broken-chain"       // an entry of the log does not continue the ones before it
	CorruptSnapshot   Kind = "corrupt-snapshot"   // the newest snapshot cannot be read
	SnapshotDisagrees Kind = "snapshot-disagrees" // it is not what the entries of the log say

	// These harm no record.
	OrphanObject       Kind = "orphan-object"       // the log does not know the object, and never will
	UncollectedGarbage Kind = "uncollected-garbage" // no run names the object any more, for much longer than it has to stay
	ForeignObject      Kind = "foreign-object"      // its key is not one of ours
	UnlistedObject     Kind = "unlisted-object"     // it is there, and LIST does not tell of it
	OffsetBeyondEnd    Kind = "offset-beyond-end"   // a group's offset lies past the high watermark
	OffsetOfNoTopic    Kind = "offset-of-no-topic"  // or belongs to a partition that does not exist
	StuckTransaction   Kind = "stuck-transaction"   // open for much longer than its time-out
	GivenUp            Kind = "given-up"            // an object is damaged, but only where nobody can read any more
	CorruptIndex       Kind = "corrupt-index"       // a copy of what the metastore knows cannot be read
)

// Kinds lists all kinds, in the order in which reports have them.
func Kinds() []Kind {
	return []Kind{
		Regressed, BrokenChain, CorruptSnapshot, SnapshotDisagrees, Overlap, Gap, HWMMismatch, ProducerMismatch, StrayTransaction,
		MissingObject, SizeMismatch, CorruptObject, IndexMismatch,
		OrphanObject, UncollectedGarbage, ForeignObject, UnlistedObject, OffsetBeyondEnd, OffsetOfNoTopic, StuckTransaction, GivenUp, CorruptIndex,
	}
}

// Severity says what a finding means.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // records are lost, damaged or in doubt
	Warning Severity = "warning" // none is
)

// Severity is that of all findings of the kind.
func (k Kind) Severity() Severity {
	switch k {
	case OrphanObject, UncollectedGarbage, ForeignObject, UnlistedObject, OffsetBeyondEnd, OffsetOfNoTopic, StuckTransaction, GivenUp, CorruptIndex:
		return Warning
	}
	return Error
}

// Advice says what somebody who finds one may do.
func (k Kind) Advice() string {
	switch k {
	case MissingObject, SizeMismatch, CorruptObject, IndexMismatch:
		return "Readers of these offsets get errors. Restore the object from a copy of the bucket (versions, replication), under the same key; " +
			"if there is none, move the log start of the partition past the offsets (kafka-delete-records.sh): readers go on behind them, and what lies " +
			"before them is given up, too."
	case Overlap, Gap, HWMMismatch, ProducerMismatch, StrayTransaction:
		return "The log itself is wrong, which no failure outside of Runnel does: keep a dump of the metastore and report it."
	case Regressed:
		return "The metastore went back in time, and no broker serves from it. Promote the replica, or restore the dump, that has the entry. If there is none, " +
			"docs/recovery.md says how to give up what was lost; keep the objects that no run names until then, for they hold it."
	case BrokenChain:
		return "The metastore went back in time, belongs to another cluster, or was changed by hand: brokers refuse it. Restore a dump that is newer " +
			"than all brokers, or promote the replica that has everything."
	case CorruptSnapshot, SnapshotDisagrees:
		return "Brokers that start from this snapshot go wrong. Restart none. Brokers that run have the right state, and write a new snapshot with " +
			"every 4096 entries: check again after that."
	case OrphanObject:
		return "Costs storage and nothing else: uploaded by a broker that died before the commit. Brokers delete them by themselves, once in the time " +
			"of garbage.sweep."
	case UncollectedGarbage:
		return "Costs storage and nothing else. Is a broker running, may it delete objects, and is garbage.dry_run off? The brokers' logs say why, and the metrics " +
			"runnel_garbage_*."
	case ForeignObject:
		return "Somebody else writes below this prefix: give Runnel a prefix of its own. Or it was left by a cluster whose metastore was made anew: " +
			"docs/recovery.md says when to delete it."
	case UnlistedObject:
		return "LIST of this object store lags behind PUT. Runnel needs one that does not."
	case OffsetBeyondEnd:
		return "The group gets its reset policy when it next reads. Set its offsets if that is not what is wanted (kafka-consumer-groups.sh --reset-offsets)."
	case OffsetOfNoTopic:
		return "Of a deleted topic; expires with the group's other offsets."
	case StuckTransaction:
		return "read_committed consumers wait for it. Is a broker running? Else abort it: runnel txn abort ID."
	case GivenUp:
		return "Costs nothing: the damaged records are below the log start of their partition, or of one that is gone. The object stays for the others in it."
	case CorruptIndex:
		return "If the metastore were lost now, an older copy would be used. Brokers write a new one once in index.interval, and delete the old ones."
	}
	return ""
}

// Span is a range of offsets.
type Span struct {
	Topic     string // its name; its id if there is no name
	Partition int32
	From, To  metastore.Offset // To is the one after the last
}

func (s Span) String() string {
	if s.To == s.From+1 {
		return fmt.Sprintf("%s-%d offset %d", s.Topic, s.Partition, s.From)
	}
	return fmt.Sprintf("%s-%d offsets %d to %d", s.Topic, s.Partition, s.From, s.To-1)
}

// Finding is one thing that does not fit. Fields that do not concern its kind are zero.
type Finding struct {
	Kind    Kind
	Detail  string        // one sentence without a full stop
	Key     string        // of the object
	Size    int64         // of the object, bytes
	Age     time.Duration // of an orphan
	Entry   metastore.Seq // of the log or, with Regressed, not of it
	Group   string
	Txn     string // transactional id
	Affects []Span // the offsets that are lost, damaged or in doubt
}
