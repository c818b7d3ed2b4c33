package metastore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// caseState has one topic with one partition, and the id "app" as given, of producer 4. What is ongoing has written.
func caseState(is txn, ongoing bool) *State {
	s := NewState()
	at := time.Now().UnixMilli()
	apply := func(c change) {
		rec := record{time: at, nonce: 1, change: c}
		s.apply(s.at.Next(rec.encode()).Position, rec, func(TopicPartition) {})
	}
	apply(createTopic{id: TopicID{1}, name: "t", partitions: 1, replicationFactor: 1})
	is.producer = 4
	if is.lastProducer == 0 {
		is.lastProducer, is.lastEpoch = NoProducerID, -1
	}
	apply(transact{changes: []txnChange{{id: "app", becomes: &is}}})
	if ongoing {
		c, _ := s.decideCommit([]*SegmentCommit{{ID: NewSegmentID(time.UnixMilli(at)), Size: 200, Runs: []RunCommit{{
			TopicPartition: TopicPartition{TopicID{1}, 0},
			Batches:        []BatchCommit{{Length: 100, Records: 1, ProducerID: 4, ProducerEpoch: is.epoch, Transactional: true, Implicit: true}},
		}}}}, nil)
		apply(c)
	}
	return s
}

// outcome is what a request did: its result, and how the id is then.
func outcome(s *State, r TxnRequest) string {
	c := s.decideTxns([]TxnRequest{r}, nil)
	x := c.results[0]
	if x.Err != nil {
		if len(c.changes) > 0 {
			return "refused, and changed"
		}
		for name, err := range map[string]error{"fenced": ErrTxnFenced, "mapping": ErrTxnMapping, "state": ErrTxnState, "moved": ErrTxnMoved, "large": ErrTxnTooLarge, "exhausted": ErrTxnExhausted} {
			if errors.Is(x.Err, err) {
				return name
			}
		}
		return x.Err.Error()
	}
	text := fmt.Sprintf("%d/%d", x.Producer, x.Epoch)
	if len(c.changes) == 0 {
		return text + " as it is"
	}
	rec := record{time: time.Now().UnixMilli(), nonce: 1, change: c}
	s.apply(s.at.Next(rec.encode()).Position, rec, func(TopicPartition) {})
	t := s.txns.find("app")
	text += fmt.Sprintf(" %s #%d", []string{"empty", "ongoing", "committed", "aborted"}[t.state], t.number)
	if ended := c.changes[0].ended; ended != nil && len(ended.at) > 0 {
		text += fmt.Sprintf(" marker %d/%d", ended.Producer, ended.Epoch)
	}
	return text
}

func TestEndOfATransactionByStateAndEpoch(t *testing.T) {
	// An end is a request of producer 4 in epoch 7 for transaction 3 unless it says otherwise. What goes before is as the
	// first end of epoch 6 left it.
	before := txn{epoch: 7, lastProducer: 4, lastEpoch: 6, number: 3}
	in := func(state TxnState, committed bool) txn {
		is := before
		is.state, is.committed = state, committed
		return is
	}
	empty, committed, aborted := in(TxnEmpty, true), in(TxnCompleteCommit, true), in(TxnCompleteAbort, false)
	end := func(version int8, commit bool, epoch ProducerEpoch, number TxnNumber) EndTxn {
		return EndTxn{ID: "app", Producer: 4, Epoch: epoch, Commit: commit, Version: version, Number: number, Fresh: NoProducerID}
	}
	for _, c := range []struct {
		name    string
		is      txn
		ongoing bool
		request EndTxn
		want    string
	}{
		{"v2 commit of what is ongoing", committed, true, end(2, true, 7, 3), "4/8 committed #4 marker 4/8"},
		{"v2 abort of what is ongoing", committed, true, end(2, false, 7, 3), "4/8 aborted #4 marker 4/8"},
		{"v2 for an earlier transaction", committed, true, end(2, true, 7, 2), "moved"},
		{"v2 in the epoch before, next one ongoing", committed, true, end(2, true, 6, 2), "fenced"},
		{"v2 in an epoch to come", committed, true, end(2, true, 8, 3), "fenced"},
		{"v2 commit asked again", committed, false, end(2, true, 6, 2), "4/7 as it is"},
		{"v2 abort after a commit, asked as if again", committed, false, end(2, false, 6, 2), "state"},
		{"v2 abort asked again", aborted, false, end(2, false, 6, 2), "4/7 as it is"},
		{"v2 commit after an abort, asked as if again", aborted, false, end(2, true, 6, 2), "state"},
		{"v2 commit of nothing after a commit", committed, false, end(2, true, 7, 3), "state"},
		{"v2 commit of nothing after an abort", aborted, false, end(2, true, 7, 3), "state"},
		{"v2 abort of nothing after a commit", committed, false, end(2, false, 7, 3), "4/8 aborted #4"},
		{"v2 abort of nothing after an abort", aborted, false, end(2, false, 7, 3), "4/8 aborted #4"},
		{"v2 abort of nothing, empty", empty, false, end(2, false, 7, 3), "4/8 aborted #4"},
		{"v2 commit of nothing, empty", empty, false, end(2, true, 7, 3), "state"},
		{"v2 in the epoch before, empty", empty, false, end(2, false, 6, 2), "fenced"},
		{"v1 commit of what is ongoing", committed, true, end(1, true, 7, 3), "4/7 committed #4 marker 4/7"},
		{"v1 abort of what is ongoing", committed, true, end(1, false, 7, 3), "4/7 aborted #4 marker 4/7"},
		{"v1 asked again, next one ongoing", committed, true, end(1, true, 7, 2), "moved"},
		{"v1 the other way, next one ongoing", committed, true, end(1, false, 7, 2), "moved"},
		{"v1 long ago, next one ongoing", committed, true, end(1, false, 7, 1), "moved"},
		{"v1 commit asked again", committed, false, end(1, true, 7, 2), "4/7 as it is"},
		{"v1 commit asked again, and seen late", committed, false, end(1, true, 7, 3), "4/7 as it is"},
		{"v1 abort after a commit", committed, false, end(1, false, 7, 3), "state"},
		{"v1 abort asked again", aborted, false, end(1, false, 7, 2), "4/7 as it is"},
		{"v1 commit after an abort", aborted, false, end(1, true, 7, 3), "state"},
		{"v1 abort, empty", empty, false, end(1, false, 7, 3), "state"},
		{"v1 in the epoch before", committed, false, end(1, true, 6, 2), "fenced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(caseState(c.is, c.ongoing), c.request); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	other := end(2, true, 7, 3)
	other.Producer = 5
	if got := outcome(caseState(committed, true), other); got != "mapping" {
		t.Errorf("another producer: %s", got)
	}
	other.ID = "unknown"
	if got := outcome(caseState(committed, true), other); got != "mapping" {
		t.Errorf("unknown id: %s", got)
	}
}

// TestProducerGoesOnAfterItsTransactionTimedOut: it cannot commit, but learns of the next epoch when it says by InitProducerId which
// it has, or aborts at version 2. At version 1 the epoch does not tell which transaction is to be aborted, so it is fenced.
func TestProducerGoesOnAfterItsTransactionTimedOut(t *testing.T) {
	is := txn{epoch: 7, number: 3}
	began := func() *State {
		s := caseState(is, true)
		if got := outcome(s, AbortTxn{ID: "app", Number: 3}); got != "4/8 aborted #4 marker 4/8" {
			t.Fatal(got)
		}
		return s
	}
	for _, c := range []struct {
		name    string
		request TxnRequest
		want    string
	}{
		{"commit", EndTxn{ID: "app", Producer: 4, Epoch: 7, Commit: true, Version: 2, Number: 4, Fresh: NoProducerID}, "state"},
		{"abort", EndTxn{ID: "app", Producer: 4, Epoch: 7, Version: 2, Number: 4, Fresh: NoProducerID}, "4/8 as it is"},
		{"offsets", CommitTxnOffsets{ID: "app", Producer: 4, Epoch: 7, Group: "g", Implicit: true, Number: 4}, "fenced"},
		{"init", InitTxn{ID: "app", Producer: 4, Epoch: 7, Fresh: 9}, "4/8 as it is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(began(), c.request); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	s := caseState(is, false)
	outcome(s, AddToTxn{ID: "app", Producer: 4, Epoch: 7, Groups: []string{"g"}, Number: 3})
	outcome(s, AbortTxn{ID: "app", Number: 3})
	for _, commit := range []bool{false, true} {
		if got := outcome(s, EndTxn{ID: "app", Producer: 4, Epoch: 7, Commit: commit, Version: 1, Number: 4}); got != "fenced" {
			t.Errorf("version 1, commit %t: %s", commit, got)
		}
	}
	for _, c := range []struct {
		name    string
		request TxnRequest
		want    string
	}{
		{"add", AddToTxn{ID: "app", Producer: 4, Epoch: 7, Groups: []string{"g"}, Number: 4}, "fenced"},
		{"an epoch before", InitTxn{ID: "app", Producer: 4, Epoch: 6, Fresh: 9}, "fenced"},
		{"init", InitTxn{ID: "app", Producer: 4, Epoch: 7, Fresh: 9}, "4/8 as it is"},
		{"init asked again", InitTxn{ID: "app", Producer: 4, Epoch: 7, Fresh: 9}, "4/8 as it is"},
		{"another begins", InitTxn{ID: "app", Producer: NoProducerID, Epoch: -1, Fresh: 9}, "4/9 empty #4"},
		{"init too late", InitTxn{ID: "app", Producer: 4, Epoch: 7, Fresh: 9}, "fenced"},
	} {
		if got := outcome(s, c.request); got != c.want {
			t.Errorf("version 1, %s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestEpochsThatAreUsedUpGiveAFreshProducer(t *testing.T) {
	last := txn{epoch: 32766, number: 3}
	over := txn{epoch: 32767, number: 3, state: TxnCompleteAbort} // aborted over its producer's head
	init := func(producer ProducerID, epoch ProducerEpoch, fresh ProducerID) InitTxn {
		return InitTxn{ID: "app", Producer: producer, Epoch: epoch, Fresh: fresh}
	}
	end := func(fresh ProducerID) EndTxn {
		return EndTxn{ID: "app", Producer: 4, Epoch: 32766, Version: 2, Commit: true, Number: 3, Fresh: fresh}
	}
	for _, c := range []struct {
		name    string
		is      txn
		ongoing bool
		request TxnRequest
		want    string
	}{
		{"end", last, true, end(9), "9/0 committed #4 marker 4/32767"},
		{"end without a fresh one", last, true, end(NoProducerID), "exhausted"},
		{"end with one that is not fresh", last, true, end(4), "exhausted"},
		{"v1 end", last, true, EndTxn{ID: "app", Producer: 4, Epoch: 32766, Version: 1, Number: 3}, "4/32766 aborted #4 marker 4/32766"},
		{"init", last, false, init(NoProducerID, -1, 9), "9/0 empty #3"},
		{"init with the producer", last, false, init(4, 32766, 9), "9/0 empty #3"},
		{"init of what is ongoing", last, true, init(NoProducerID, -1, 9), "9/0 empty #4 marker 4/32767"},
		{"init without a fresh one", last, false, init(NoProducerID, -1, NoProducerID), "exhausted"},
		{"abort", last, true, AbortTxn{ID: "app", Number: 3}, "4/32767 aborted #4 marker 4/32767"},
		{"init after the abort", over, false, init(NoProducerID, -1, 9), "9/0 empty #3"},
		{"init of the producer after the abort", over, false, init(4, 32766, 9), "fenced"},
		{"write under the epoch that nobody has", over, false, AddToTxn{ID: "app", Producer: 4, Epoch: 32767, Groups: []string{"g"}, Number: 3}, "fenced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(caseState(c.is, c.ongoing), c.request); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	s := caseState(last, true)
	first := outcome(s, end(9))
	for _, again := range []TxnRequest{end(10), init(4, 32766, 10)} {
		if got := outcome(s, again); got != "9/0 as it is" {
			t.Errorf("%T again after %s: %s", again, first, got)
		}
	}
}

func TestInitByWhatTheClientBelieves(t *testing.T) {
	init := func(producer ProducerID, epoch ProducerEpoch) InitTxn {
		return InitTxn{ID: "app", Producer: producer, Epoch: epoch, Fresh: 9, Timeout: time.Second}
	}
	is := txn{epoch: 7, lastProducer: 4, lastEpoch: 6, number: 3, state: TxnCompleteCommit}
	alone := txn{epoch: 7, number: 3, state: TxnCompleteAbort} // as another instance's init leaves it
	for _, c := range []struct {
		name    string
		is      txn
		ongoing bool
		request InitTxn
		want    string
	}{
		{"nothing", is, false, init(NoProducerID, -1), "4/8 empty #3"},
		{"the producer", is, false, init(4, 7), "4/8 empty #3"},
		{"the epoch before: asked again", is, false, init(4, 6), "4/7 as it is"},
		{"the epoch before that", is, false, init(4, 5), "fenced"},
		{"the epoch before another instance", alone, false, init(4, 6), "fenced"},
		{"an epoch to come", is, false, init(4, 8), "fenced"},
		{"another producer", is, false, init(5, 7), "fenced"},
		{"nothing, ongoing", is, true, init(NoProducerID, -1), "4/8 empty #4 marker 4/8"},
		{"the producer, ongoing", is, true, init(4, 7), "4/8 empty #4 marker 4/8"},
		{"the epoch before, ongoing", is, true, init(4, 6), "fenced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(caseState(c.is, c.ongoing), c.request); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestTransactionsAreBounded(t *testing.T) {
	s := caseState(txn{number: 3}, true)
	apply := func(c change) {
		rec := record{time: s.time, nonce: 1, change: c}
		s.apply(s.at.Next(rec.encode()).Position, rec, func(TopicPartition) {})
	}
	apply(createTopic{id: TopicID{2}, name: "wide", partitions: maxTxnPartitions, replicationFactor: 1})
	add := AddToTxn{ID: "app", Producer: 4, Number: 3}
	for p := range int32(maxTxnPartitions) {
		add.Partitions = append(add.Partitions, TopicPartition{TopicID{2}, p})
	}
	if got := outcome(s, add); got != "large" {
		t.Errorf("one partition too many: %s", got)
	}
	add.Partitions = add.Partitions[1:]
	if got := outcome(s, add); got != "4/0 ongoing #3" {
		t.Errorf("as many as may be: %s", got)
	}
	c, _ := s.decideCommit([]*SegmentCommit{{ID: NewSegmentID(time.UnixMilli(s.time)), Size: 200, Runs: []RunCommit{{
		TopicPartition: TopicPartition{TopicID{2}, 0}, Batches: []BatchCommit{{Length: 100, Records: 1, ProducerID: 4, Transactional: true, Implicit: true}},
	}}}}, nil)
	if v := c.segments[0].runs[0].batches[0].verdict; v != InvalidTxnState {
		t.Errorf("one partition too many, written to: verdict %d", v)
	}
	keep := CommitTxnOffsets{ID: "app", Producer: 4, Number: 3, Group: "g", Implicit: true, Offsets: []CommittedOffset{{TopicPartition: TopicPartition{TopicID{1}, 0}, Metadata: string(make([]byte, maxTxnBytes))}}}
	if got := outcome(s, keep); got != "large" {
		t.Errorf("offsets of more than a transaction may hold: %s", got)
	}
	s.txns.bytes = maxPendingBytes - 100
	keep.Offsets[0].Metadata = "small"
	if got := outcome(s, keep); got != "large" {
		t.Errorf("more than all transactions may hold: %s", got)
	}
}

func TestProducerInATransactionIsNotForgotten(t *testing.T) {
	s := caseState(txn{}, true)
	silent := func() {
		rec := record{time: s.time, nonce: 1, change: expireProducers{before: s.time + 1}}
		s.apply(s.at.Next(rec.encode()).Position, rec, func(TopicPartition) {})
	}
	silent()
	if s.producers.count != 1 {
		t.Error("forgotten in the middle of its transaction")
	}
	outcome(s, AbortTxn{ID: "app"})
	silent()
	if s.producers.count != 0 {
		t.Error("not forgotten after its transaction")
	}
}

func TestSnapshotWhoseStableOffsetWentBackIsRefused(t *testing.T) {
	open, ended := caseState(txn{}, true), caseState(txn{}, true)
	outcome(ended, AbortTxn{ID: "app"})
	back := caseState(txn{}, true)
	p := back.partition(TopicPartition{TopicID{1}, 0})
	p.high = 2 // as far as the other, but open from 0 on
	if err := ended.mayBecome(back); !errors.Is(err, ErrRegressed) {
		t.Errorf("stable offset went back: %v", err)
	}
	if err := open.mayBecome(ended); err != nil {
		t.Errorf("stable offset went on: %v", err)
	}
}

func TestMarkersFindRoomAtTheEndOfTheRange(t *testing.T) {
	s := caseState(txn{}, true)
	at := func(offset Offset) Verdict {
		c, _ := s.decideCommit([]*SegmentCommit{{ID: NewSegmentID(time.UnixMilli(s.time)), Size: 200, Runs: []RunCommit{{
			TopicPartition: TopicPartition{TopicID{1}, 0}, Batches: []BatchCommit{{Length: 100, Records: 1, ProducerID: NoProducerID, At: offset + 1}},
		}}}}, nil)
		rec := record{time: s.time, nonce: 1, change: c}
		s.apply(s.at.Next(rec.encode()).Position, rec, func(TopicPartition) {})
		return c.segments[0].runs[0].batches[0].verdict
	}
	if v := at(endOfOffsets); v != OffsetNotMonotonic {
		t.Errorf("into the room: verdict %d", v)
	}
	if v := at(endOfOffsets - 1); v != Accepted {
		t.Errorf("up to the room: verdict %d", v)
	}
	if got := outcome(s, AbortTxn{ID: "app"}); got != "4/1 aborted #1 marker 4/1" {
		t.Error(got)
	}
	if w := s.partition(TopicPartition{TopicID{1}, 0}).watermarks(); w.Stable != endOfOffsets+1 || w.High != w.Stable {
		t.Errorf("%+v", w)
	}
}

// TestRequestsThatCannotBeWrittenPoisonNothing: an entry that cannot be read, or a row that cannot be written, would stop
// all brokers.
func TestRequestsThatCannotBeWrittenPoisonNothing(t *testing.T) {
	keep := CommitTxnOffsets{ID: "app", Producer: 4, Group: "g", Implicit: true, Offsets: []CommittedOffset{
		{TopicPartition: TopicPartition{TopicID{1}, -1}}, {TopicPartition: TopicPartition{TopicID{1}, 7}}, {TopicPartition: TopicPartition{TopicID{9}, 0}},
		{TopicPartition: TopicPartition{TopicID{1}, 0}, TopicName: "t\x00"}, {TopicPartition: TopicPartition{TopicID{1}, 0}, Offset: -5, Metadata: "\x00\xff"},
	}}
	s := caseState(txn{}, false)
	c := s.decideTxns([]TxnRequest{keep}, nil)
	decoded, err := decodeRecord(record{change: c}.encode())
	if err != nil {
		t.Fatal(err)
	}
	if kept := decoded.change.(transact).changes[0].offsets; len(kept) != 1 || kept[0].Offset != -5 {
		t.Errorf("kept %+v", kept)
	}
	for _, group := range []string{"g\x00", "\xff"} {
		keep.Group = group
		if got := outcome(s, keep); got != ErrFenced.Error() {
			t.Errorf("group %q: %s", group, got)
		}
	}
	for _, r := range []TxnRequest{
		InitTxn{ID: "", Producer: NoProducerID, Fresh: 9},
		InitTxn{ID: "new", Producer: NoProducerID, Fresh: -9},
		InitTxn{ID: "new", Producer: NoProducerID, Fresh: 4},
		AddToTxn{ID: "app", Producer: 4, Partitions: []TopicPartition{{TopicID{1}, -1}}},
	} {
		if got := outcome(s, r); got == "refused, and changed" || s.decideTxns([]TxnRequest{r}, nil).results[0].Err == nil {
			t.Errorf("%+v: %s", r, got)
		}
	}
	long := InitTxn{ID: "new", Producer: NoProducerID, Fresh: 9, Timeout: 1 << 62}
	if _, err := decodeRecord(record{change: s.decideTxns([]TxnRequest{long}, nil)}.encode()); err != nil {
		t.Errorf("endless timeout: %v", err)
	}
}

// TestOneEntryCommitsNoMoreOffsetsThanOneStatementMayWrite: all that wait are decided together, and each may hold megabytes.
func TestOneEntryCommitsNoMoreOffsetsThanOneStatementMayWrite(t *testing.T) {
	const ids = 8
	s := NewState()
	fold := func(c change) {
		rec := record{time: 1_000_000, nonce: 7, change: c}
		s.apply(s.at.Next(rec.encode()).Position, rec, func(TopicPartition) {})
	}
	fold(createTopic{id: TopicID{1}, name: "t", partitions: ids, replicationFactor: 1})
	metadata := strings.Repeat("m", maxTxnBytes/2)
	var ends []TxnRequest
	for n := range ids {
		id := fmt.Sprint(n)
		fold(transact{changes: []txnChange{{id: id, becomes: &txn{producer: ProducerID(n)}}}})
		fold(s.decideTxns([]TxnRequest{CommitTxnOffsets{ID: id, Producer: ProducerID(n), Group: "g", Implicit: true, Offsets: []CommittedOffset{
			{TopicPartition: TopicPartition{TopicID{1}, int32(n)}, TopicName: "t", Metadata: metadata},
		}}}, nil))
		ends = append(ends, EndTxn{ID: id, Producer: ProducerID(n), Commit: true, Version: 2, Fresh: NoProducerID})
	}
	entries := 0
	for len(ends) > 0 {
		c := s.decideTxns(ends, nil)
		written := 0
		for _, of := range c.rows.Offsets {
			for i := range of.Offsets {
				written += len(of.Offsets[i].Metadata)
			}
		}
		if written > maxTxnEntryBytes+maxTxnBytes {
			t.Errorf("an entry of %d ends writes %d bytes of rows", len(c.results), written)
		}
		for _, x := range c.results {
			if x.Err != nil {
				t.Fatal(x.Err)
			}
		}
		fold(c)
		ends = ends[len(c.results):]
		entries++
	}
	if entries != ids/2 {
		t.Errorf("%d entries", entries)
	}
}
