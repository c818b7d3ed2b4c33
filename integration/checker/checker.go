// Package checker judges histories: it says what in them contradicts what Runnel promises. It knows nothing of how a
// cluster works, only what clients may be told, and takes whatever the history leaves open in the cluster's favour.
package checker

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/integration/history"
)

// Names of anomalies.
const (
	// NothingHappened: no send was acknowledged, so the history proves nothing.
	NothingHappened = "nothing-happened"
	// NoFinalRead: records were acknowledged in a partition that nobody read to its end finally.
	NoFinalRead = "no-final-read"
	// BadHistory: the history breaks its own contract.
	BadHistory = "bad-history"

	// LostWrite: a record that was acknowledged, or read, is missing from a final read that went past it.
	LostWrite = "lost-write"
	// Unseen: a record that was acknowledged lies past all that anybody ever read, also finally.
	Unseen = "unseen"
	// TornTransaction: a part of a transaction is there, its records or its group offsets, and another is not.
	TornTransaction = "torn-transaction"
	// Duplicate: one record was read at two offsets.
	Duplicate = "duplicate"
	// InconsistentOffsets: an offset with two records, or a record that is not where the acknowledgement said.
	InconsistentOffsets = "inconsistent-offsets"
	// WrongRecord: a record was read that nobody sent so, there, or yet.
	WrongRecord = "wrong-record"
	// BadOffset: an acknowledgement without an offset, or an error with one.
	BadOffset = "bad-offset"

	// BadRefusal: a producer that leaves nothing out was told that its records are out of order.
	BadRefusal = "bad-refusal"

	// AbortedRead (G1a): read_committed, or a group's offsets, showed what is definitely not committed.
	AbortedRead = "aborted-read"
	// PrecommittedRead: read_committed showed a transaction that nobody had decided to commit yet.
	PrecommittedRead = "precommitted-read"
	// G1c: transactions that read each other's records, in a circle.
	G1c = "g1c"

	// PollSkip: a consumer passed over a record that it had to see.
	PollSkip = "poll-skip"
	// NonmonotonicPoll: a consumer was given offsets that do not rise.
	NonmonotonicPoll = "nonmonotonic-poll"
	// NonmonotonicSend: a producer's records stand in another order than they were sent in.
	NonmonotonicSend = "nonmonotonic-send"

	// HWMBack, LSOBack, LogStartBack: a broker told of a border that is before one it told earlier, or gave a record that is
	// before where it had said that the log starts.
	HWMBack      = "hwm-back"
	LSOBack      = "lso-back"
	LogStartBack = "log-start-back"
	// LogStartAhead: the log starts after all that was asked to be deleted, and after what the topic's settings let go: past
	// records that are too young or too few, or past a transaction that was open.
	LogStartAhead = "log-start-ahead"
	// BadMarks: a log start beyond the last stable offset, or either beyond the high watermark.
	BadMarks = "bad-marks"

	// WrongValue: who read a compacted partition from its start to its end ended with an old value of a key, or without its
	// newest.
	WrongValue = "wrong-value"
	// DeletedRead: a broker gave records of a topic that it had said is deleted.
	DeletedRead = "deleted-read"

	// StaleOffset: a broker that promised to know all that was told before did not.
	StaleOffset = "stale-offset"
	// WrongTime: the first record of a time is another than was told.
	WrongTime = "wrong-time"

	// CommittedOffsetBack: a group's committed offset was found to be before one committed, or found, earlier.
	CommittedOffsetBack = "committed-offset-back"
	// StaleGeneration: offsets were committed in the name of a generation that the group had left.
	StaleGeneration = "stale-generation"
	// TwoOwners: two members of a group had one partition in one generation.
	TwoOwners = "two-owners"
	// NotExactlyOnce: a pipeline's output lacks a record, has one twice, or has one made from nothing.
	NotExactlyOnce = "not-exactly-once"
)

// names in the order in which anomalies are told: first what makes all others doubtful, then what is worst.
var names = []string{
	NothingHappened, NoFinalRead, BadHistory,
	LostWrite, Unseen, TornTransaction, Duplicate, InconsistentOffsets, WrongRecord, BadOffset, BadRefusal,
	AbortedRead, PrecommittedRead, G1c,
	PollSkip, NonmonotonicPoll, NonmonotonicSend,
	HWMBack, LSOBack, LogStartBack, LogStartAhead, BadMarks, WrongValue, DeletedRead, StaleOffset, WrongTime,
	CommittedOffsetBack, StaleGeneration, TwoOwners, NotExactlyOnce,
}

// mostTold is how many anomalies of one name are told; the last of them says how many there are more.
const mostTold = 20

// Anomaly is something that must not be.
type Anomaly struct {
	Name string `json:"name"`
	// Topic and Partition say where, if Topic is set.
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition,omitempty"`
	// Text says what is wrong in its first line, and which operations show it in those after it.
	Text string `json:"text"`
	// Seqs are those at which these operations began.
	Seqs []int64 `json:"seqs,omitempty"`
}

// String gives some lines of text.
func (a Anomaly) String() string {
	if a.Topic == "" {
		return a.Name + ": " + a.Text
	}
	return fmt.Sprintf("%s in %s/%d: %s", a.Name, a.Topic, a.Partition, a.Text)
}

// Print writes the anomaly and what happened around it: to its partition, if it has one.
func (a Anomaly) Print(w io.Writer, h *history.History, margin int) error {
	if _, err := fmt.Fprintln(w, a); err != nil || len(a.Seqs) == 0 {
		return err
	}
	window := history.Window{Around: a.Seqs, Margin: margin}
	if a.Topic != "" {
		window.Partition = &history.Partition{Topic: a.Topic, Number: a.Partition}
	}
	return h.Print(w, window)
}

// Check returns what is wrong with a history, the worst first, always in the same order. It does not change the history.
func Check(h *history.History) []Anomaly {
	x, f := newIndex(h), &findings{}
	for _, check := range []func(*index, *findings){
		checkWorth, checkContract,
		checkWrites, checkTorn, checkPlaces, checkRecords, checkAcks,
		checkIsolation, checkCycles,
		checkPolls,
		checkMarks, checkLogStarts, checkBeforeStart, checkValues, checkDeleted, checkFresh, checkTimes,
		checkCommittedOffsets, checkGenerations, checkOwners, checkPipelines,
	} {
		check(x, f)
	}
	return f.told()
}

// nowhere is where anomalies are that concern no one partition.
var nowhere = history.Partition{}

// findings collects anomalies, a bounded number of each name.
type findings struct {
	found map[string][]Anomaly
	more  map[string]int
}

// place is an operation of the history, or a step of one.
type place struct {
	op   *history.Operation
	step *history.Step // nil: the whole
}

func (p place) String() string {
	if p.step == nil {
		return p.op.Headline()
	}
	return p.op.Headline() + "; " + p.step.String()
}

// add notes an anomaly that places show.
func (f *findings) add(name string, where history.Partition, places []place, format string, args ...any) {
	if len(f.found[name]) == mostTold {
		if f.more == nil {
			f.more = map[string]int{}
		}
		f.more[name]++
		return
	}
	var text strings.Builder
	fmt.Fprintf(&text, format, args...)
	a := Anomaly{Name: name, Topic: where.Topic, Partition: where.Number}
	for _, p := range places {
		text.WriteString("\n    " + p.String())
		if !slices.Contains(a.Seqs, p.op.Begun.Seq) {
			a.Seqs = append(a.Seqs, p.op.Begun.Seq)
		}
	}
	a.Text = text.String()
	if f.found == nil {
		f.found = map[string][]Anomaly{}
	}
	f.found[name] = append(f.found[name], a)
}

func (f *findings) told() []Anomaly {
	var all []Anomaly
	for _, name := range names {
		all = append(all, f.found[name]...)
		if more := f.more[name]; more > 0 {
			all[len(all)-1].Text += fmt.Sprintf("\n    and %d more of %s", more, name)
		}
	}
	return all
}
