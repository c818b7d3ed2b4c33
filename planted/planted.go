// Package planted names bugs that the proof plants to see that it finds them. Only a build with the tag `planted` can have
// one, and has the one that RUNNEL_PLANTED names: in every other build Is is false at compile time, and what it guards is
// not in the binary.
package planted

// Tag is the build tag.
const Tag = "planted"

// Bug is one that can be planted.
type Bug string

// The bugs. Each was found in some log or other, or is what a comment of the code says would happen without it.
const (
	// AckBeforePut takes an object for stored whose PUT failed.
	AckBeforePut Bug = "ack-before-put"
	// DeleteBeforeGrace deletes the objects of a commit whose answer was lost.
	DeleteBeforeGrace Bug = "delete-before-grace"
	// CommitNotIdempotent commits a segment again that was committed, when its answer was lost.
	CommitNotIdempotent Bug = "commit-not-idempotent"
	// UnknownIsDone takes an append without an answer for done.
	UnknownIsDone Bug = "unknown-is-done"
	// SequencesUnchecked takes every batch of an idempotent producer.
	SequencesUnchecked Bug = "sequences-unchecked"
	// OffsetZeroOnError answers a Produce whose outcome is unknown with offset 0.
	OffsetZeroOnError Bug = "offset-zero-on-error"
	// HighAhead tells of a high watermark that counts what is being committed.
	HighAhead Bug = "high-ahead"
	// BehindIsOutOfRange takes an offset that another broker gave, and this one has not heard of, for out of range.
	BehindIsOutOfRange Bug = "behind-is-out-of-range"
	// LSOReadApart reads the last stable offset and the runs later than the aborted transactions, which it keeps for a while.
	LSOReadApart Bug = "lso-read-apart"
	// ReadsPastStable lets read_committed read to the high watermark.
	ReadsPastStable Bug = "reads-past-stable"
	// AbortedForgotten keeps no aborted transaction.
	AbortedForgotten Bug = "aborted-forgotten"
	// MarkersTorn ends a transaction in one of its partitions alone.
	MarkersTorn Bug = "markers-torn"
	// TxnOffsetsLost ends a transaction without the offsets of its groups.
	TxnOffsetsLost Bug = "txn-offsets-lost"
	// ZombieNotFenced gives a new producer of a transactional id the epoch of the one before.
	ZombieNotFenced Bug = "zombie-not-fenced"
	// LeaseNotFenced takes a coordinator's write that was fenced for done.
	LeaseNotFenced Bug = "lease-not-fenced"
	// OffsetsAckedEarly answers a commit of offsets before it is durable.
	OffsetsAckedEarly Bug = "offsets-acked-early"
	// GroupForgotten lets a coordinator that takes a group over begin it anew.
	GroupForgotten Bug = "group-forgotten"
	// SkipsUnreadable goes on behind a run that cannot be read.
	SkipsUnreadable Bug = "skips-unreadable"
	// GarbageUngraced deletes objects as soon as no run names them.
	GarbageUngraced Bug = "garbage-ungraced"
	// GraceByOneClock counts the grace of garbage by the metastore's clock alone.
	GraceByOneClock Bug = "grace-by-one-clock"
	// OrphanTooSoon takes an object that the log does not know for one that it never will, while it may yet.
	OrphanTooSoon Bug = "orphan-too-soon"
	// NamedGarbage takes a segment for garbage as soon as one of its runs goes.
	NamedGarbage Bug = "named-garbage"
	// SwapUnchecked puts runs in place of others than those that were read.
	SwapUnchecked Bug = "swap-unchecked"
	// MarkerUnwritten leaves the ends of transactions out of what is rewritten.
	MarkerUnwritten Bug = "marker-unwritten"
	// RetentionPastOpen lets records go whose transaction is open.
	RetentionPastOpen Bug = "retention-past-open"
	// TombstoneEarly drops tombstones as soon as what they delete is gone.
	TombstoneEarly Bug = "tombstone-early"
	// AbortedUnlisted forgets aborted transactions whose records are still there.
	AbortedUnlisted Bug = "aborted-unlisted"
	// CleanedTooFar takes a partition for cleaned of which a part was not.
	CleanedTooFar Bug = "cleaned-too-far"
	// LagIgnored compacts what is younger than min.compaction.lag.ms.
	LagIgnored Bug = "lag-ignored"
	// UntimedOld takes records without timestamps for old.
	UntimedOld Bug = "untimed-old"
	// SettingsStale lets records go by the settings that a topic had when it was first looked at.
	SettingsStale Bug = "settings-stale"
	// MarkPassed begins to read at a mark of the sparse index that is behind what is asked for.
	MarkPassed Bug = "mark-passed"
)

// All lists the bugs.
var All = []Bug{
	AckBeforePut, DeleteBeforeGrace, CommitNotIdempotent, UnknownIsDone, SequencesUnchecked, OffsetZeroOnError,
	HighAhead, BehindIsOutOfRange, LSOReadApart, ReadsPastStable, AbortedForgotten, MarkersTorn, TxnOffsetsLost, ZombieNotFenced, LeaseNotFenced,
	OffsetsAckedEarly, GroupForgotten, SkipsUnreadable,
	GarbageUngraced, GraceByOneClock, OrphanTooSoon, NamedGarbage, SwapUnchecked, MarkerUnwritten, RetentionPastOpen, TombstoneEarly, AbortedUnlisted, CleanedTooFar,
	LagIgnored, UntimedOld, SettingsStale, MarkPassed,
}
