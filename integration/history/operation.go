// Package history is what clients of a cluster did and were told: operations with their steps, each with the moments at
// which it began and ended. Workloads record one, package checker judges it.
package history

import "time"

// Moment is a point of a run. Seq orders all moments of a history, also those that share a time: what ended with a smaller
// Seq than another began with was over before it.
type Moment struct {
	Seq int64         `json:"seq"` // from 1; 0: never, as far as is known
	At  time.Duration `json:"at"`  // since the start of the run
}

// Never tells whether the moment did not come.
func (m Moment) Never() bool { return m.Seq == 0 }

// Outcome is what whoever asked knows of what came of it.
type Outcome string

const (
	// OK: it happened, as the answer says.
	OK Outcome = "ok"
	// Failed: it did not happen, and will not: authorization, unknown topic, fenced, out of order.
	Failed Outcome = "failed"
	// Unknown: it may have happened, or may happen later: a time-out, a disconnect, NOT_LEADER_OR_FOLLOWER, an error of EndTxn.
	Unknown Outcome = "unknown"
)

// Kind is what an operation does.
type Kind string

const (
	// Produce sends records outside of a transaction.
	Produce Kind = "produce"
	// Poll reads records outside of a transaction.
	Poll Kind = "poll"
	// Transaction sends, may read, may commit offsets, then commits or aborts.
	Transaction Kind = "transaction"
	// Assign gives the consumer partitions of its own choice; positions start anew.
	Assign Kind = "assign"
	// Subscribe joins a group; positions come from the group.
	Subscribe Kind = "subscribe"
	// Rewind moves the consumer's positions.
	Rewind Kind = "rewind"
	// Assigned is a member's being told its partitions by its group, Revoked its having to give them up.
	Assigned Kind = "assigned"
	Revoked  Kind = "revoked"
	// CommitOffsets commits a group's offsets outside of a transaction, FetchOffsets reads them back.
	CommitOffsets Kind = "commit_offsets"
	FetchOffsets  Kind = "fetch_offsets"
	// DeleteRecords asks that the records before Offsets be deleted. What is not deleted by one stays, unless the topic's
	// settings let it go: see Topic. With a Broker it was that one which was asked.
	DeleteRecords Kind = "delete_records"
	// DeleteTopic asks that the topics of Partitions (Number -1) be deleted. A topic that is made again under the same name
	// has another name in the history.
	DeleteTopic Kind = "delete_topic"
	// AlterTopic asks that the settings of a topic be others: those that Settings tells of.
	AlterTopic Kind = "alter_topic"
	// Observe reads a partition's borders from one broker.
	Observe Kind = "observe"
	// FindOffset asks for the first record of a partition with the time Asked or a later one. Offsets names the partition and
	// what was told, -1 if there is none, and Told is the time that was told with it.
	FindOffset Kind = "find_offset"
	// Admin is anything else, such as the creation of a topic. Text says what.
	Admin Kind = "admin"
	// Fault is what was done to the cluster. Text says what.
	Fault Kind = "fault"
)

// Isolation is how a consumer reads.
type Isolation string

const (
	ReadCommitted   Isolation = "read_committed"
	ReadUncommitted Isolation = "read_uncommitted"
)

// Operation is one thing that was asked of the cluster.
type Operation struct {
	Begun   Moment  `json:"begun"`
	Ended   Moment  `json:"ended"` // Never: no answer came
	Kind    Kind    `json:"kind"`
	Outcome Outcome `json:"outcome"`
	Error   string  `json:"error,omitempty"`
	Text    string  `json:"text,omitempty"`

	// Worker does one operation after the other. A new client of it has a new Client: producers and consumers are
	// monotonic within one.
	Worker int    `json:"worker"`
	Client string `json:"client,omitempty"`

	// Final marks reads from the start to the end of a partition after the load has stopped and all faults are healed. A
	// final reader is a Client of its own. Its Assign names the Partitions that the Polls after it read, or else a Poll
	// names them itself; the last Poll of an Assign is OK only if it came to the end of all of them, which is the high
	// watermark at either isolation: no transaction is open any more. Final readers that name no partitions are taken, per
	// isolation, as one that reads everything.
	Final bool `json:"final,omitempty"`

	// Whole marks a Poll that asked one broker for Partitions from where they begin to their end as that broker told it,
	// each read one after the other and nothing read ahead, once the broker had promised to know all that was told before
	// the Poll began. If it is OK it came to Offsets, where the ends were.
	Whole bool `json:"whole,omitempty"`

	// Isolation of reads.
	Isolation Isolation `json:"isolation,omitempty"`

	// Steps are the sends and reads of Produce, Poll and Transaction, in order: sends in that in which the client was given
	// them. A consumer whose Transaction read something and is not known to be committed is taken to start anew after it.
	Steps []Step `json:"steps,omitempty"`

	// Patient: the producer has sequences, and gives no record up that may be under way. None of them can be out of order.
	Patient bool `json:"patient,omitempty"`

	// Of Transaction: its transactional id, whether it was asked to commit (else to abort; neither if Deciding is Never), and
	// when that was asked. Outcome is that of the end: OK means that it is committed or aborted as was asked, Failed
	// that it is not committed, and never will be.
	TransactionalID string `json:"transactional_id,omitempty"`
	Commit          bool   `json:"commit,omitempty"`
	Deciding        Moment `json:"deciding"`

	// Of everything about groups. Generation is that of the classic protocol, or the member's epoch.
	Group      string `json:"group,omitempty"`
	Member     string `json:"member,omitempty"`
	Generation int32  `json:"generation,omitempty"`
	// Classic: the group has one generation at a time for all members, and what names an earlier one is refused.
	Classic bool `json:"classic,omitempty"`
	// Partitions of Assign, Assigned, Revoked, Subscribe (Number -1), and of a final Poll. Those of Assigned and Revoked are
	// the ones whose positions start anew.
	Partitions []Partition `json:"partitions,omitempty"`

	// Settings are what AlterTopic asks for.
	Settings *Topic `json:"settings,omitempty"`

	// Offsets were committed (CommitOffsets, Transaction), found (FetchOffsets), moved to (Assign, Rewind), asked for
	// (DeleteRecords) or come to (a Poll that is Whole): the next offset to read; -1 where there is none.
	Offsets []At `json:"offsets,omitempty"`

	// Of FindOffset, in milliseconds.
	Asked int64 `json:"asked,omitempty"`
	Told  int64 `json:"told,omitempty"`

	// Of Observe and FindOffset; of a Poll and DeleteRecords, where one broker was asked by itself.
	Broker string `json:"broker,omitempty"`
	Marks  *Marks `json:"marks,omitempty"`
	// Fresh: whoever is asked so promises to know all that anybody was told before.
	Fresh bool `json:"fresh,omitempty"`
}

// Partition names a partition.
type Partition struct {
	Topic  string `json:"topic"`
	Number int32  `json:"number"`
}

// At is an offset of a partition.
type At struct {
	Partition
	Offset int64 `json:"offset"`
}

// Marks are the borders of a partition as one broker tells them; -1: not told. Whoever asks for one after the other asks for
// LogStart, then Stable, then High: none of the first two may exceed the last.
type Marks struct {
	Partition
	LogStart int64 `json:"log_start"`
	High     int64 `json:"high"`
	Stable   int64 `json:"stable"`
}

// Step is one send, or one read of records.
type Step struct {
	Begun   Moment  `json:"begun"`
	Ended   Moment  `json:"ended"`
	Outcome Outcome `json:"outcome"`
	Error   string  `json:"error,omitempty"`
	Send    *Record `json:"send,omitempty"`
	// Read are the records that one poll returned, in the order in which it returned them.
	Read []Record `json:"read,omitempty"`
}

// Record is a record sent or read. Values are unique in a history: no two sends share one.
type Record struct {
	Partition
	Offset int64 `json:"offset"` // -1: not known; of a send, what the answer said, which is -1 with an error
	Key    int64 `json:"key"`
	Value  int64 `json:"value"`
	// Tombstone: it has no value for the cluster, which so deletes the key of a compacted topic. Value tells it from others.
	Tombstone bool `json:"tombstone,omitempty"`
	// Of is the value that this record was made from, in pipelines; 0: none.
	Of int64 `json:"of,omitempty"`
	// Timestamp in milliseconds, which the client gave it; -1: it gave none; 0: not known.
	Timestamp int64 `json:"timestamp,omitempty"`
}

// Pipeline names an exactly-once pipeline: each record visible in From has one visible in To with Of its value.
type Pipeline struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Group string `json:"group"`
}

// Topic says what the settings of a topic let become of its records, from the start on or, in AlterTopic, from then on. One that is
// not named keeps all but what somebody asked to be deleted. Records without a Timestamp are as old as it is since they were sent;
// such a topic has no others, and no transactions, but where it is compacted alone.
type Topic struct {
	Name string `json:"name"`
	// Compacted: of the records of a key only the last that is committed has to stay. What is aborted may go.
	Compacted bool `json:"compacted,omitempty"`
	// Tombstones may go when they are so old.
	Tombstones time.Duration `json:"tombstones,omitempty"`
	// Lag: compaction leaves records alone that are not so old by their Timestamps, and what they are newer than.
	Lag time.Duration `json:"lag,omitempty"`
	// Retention: the log may start behind records whose Timestamps are so old. 0: none goes for its age.
	Retention time.Duration `json:"retention,omitempty"`
	// Kept: the log may start anywhere as long as there are so many offsets from there to the high watermark. 0: none goes
	// for the size of a partition.
	Kept int64 `json:"kept,omitempty"`
}

// History is a run.
type History struct {
	Seed       uint64      `json:"seed"`
	Operations []Operation `json:"-"` // by Begun.Seq
	Pipelines  []Pipeline  `json:"pipelines,omitempty"`
	Topics     []Topic     `json:"topics,omitempty"`
	// Start is when the run started, on the clock of the Timestamps of records, in milliseconds.
	Start int64 `json:"start,omitempty"`
	// Ahead is how far ahead of it the clock may have been at some time that the cluster goes by.
	Ahead time.Duration `json:"ahead,omitempty"`
	// Trailing is how long brokers may go by settings of topics that are others already: who has begun to rewrite a partition, or to move
	// its log start, may get to the end of that.
	Trailing time.Duration `json:"trailing,omitempty"`
	// Gains is how much more than what passed may have passed on that clock between two moments: if it was behind, and set right.
	Gains time.Duration `json:"gains,omitempty"`
}
