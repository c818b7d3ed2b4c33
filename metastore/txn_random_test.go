package metastore

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// txnRun is a state that is compared with the model.
type txnRun struct {
	*rapid.T
	s    *State
	m    *txnModel
	rows map[string]map[TopicPartition]Offset
	sent []sentBatch
	made []TxnRequest
}

type sentBatch struct {
	tp TopicPartition
	BatchCommit
}

var modelTopics = []TopicID{{1}, {2}, {3}}

// TestTransactionsAgreeWithTheNaiveModel makes requests that fit, late ones, and such that were made before, and writes
// likewise, while topics are deleted and the state goes through snapshots. Each answer is the model's, and so is what a
// read_committed consumer sees, from wherever it begins.
func TestTransactionsAgreeWithTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &txnRun{T: t, s: NewState(), rows: make(map[string]map[TopicPartition]Offset), m: &txnModel{
			ids: make(map[string]*modelID), logs: make(map[TopicPartition][]modelItem), stable: make(map[TopicPartition]Offset),
			rows: make(map[string]map[TopicPartition]Offset), fresh: 100,
		}}
		for i, id := range modelTopics {
			r.fold(createTopic{id: id, name: fmt.Sprint("t", i), partitions: 2, replicationFactor: 1})
			for p := range int32(2) {
				r.m.logs[TopicPartition{id, p}] = nil
			}
		}
		// One id has few epochs left.
		r.fold(transact{changes: []txnChange{{id: "old", becomes: &txn{producer: 7, epoch: 32764, lastProducer: NoProducerID, lastEpoch: -1}}}})
		r.m.ids["old"] = &modelID{producer: 7, epoch: 32764, lastProducer: NoProducerID, lastEpoch: -1}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 20).Draw(t, "step") {
			case 0:
				r.restart()
			case 1:
				r.deleteTopic()
			case 2, 3, 4, 5, 6, 7, 8, 9, 10:
				r.write()
			default:
				r.transact()
			}
			r.compare()
		}
	})
}

func (r *txnRun) fold(c change) {
	rec := record{time: time.Now().UnixMilli(), nonce: 7, change: c}
	next := r.s.at.Next(rec.encode())
	decoded, err := decodeRecord(next.Payload)
	if err != nil {
		r.Fatalf("decode own record: %v", err)
	}
	r.s.apply(next.Position, decoded, func(TopicPartition) {})
}

func (r *txnRun) restart() {
	restored, err := decodeState(Snapshot{Position: r.s.at, State: r.s.clone().encode()})
	if err != nil {
		r.Fatalf("decode own snapshot: %v", err)
	}
	r.s.thaw()
	if got, want := describe(r.T, restored), describe(r.T, r.s); !reflect.DeepEqual(got, want) {
		r.Fatalf("restored\n%+v\nwas\n%+v", got, want)
	}
	if err := r.s.mayBecome(restored); err != nil {
		r.Fatal(err)
	}
	r.s = restored
}

func (r *txnRun) deleteTopic() {
	topic := rapid.SampledFrom(modelTopics[1:]).Draw(r.T, "topic")
	r.fold(deleteTopic{id: topic})
	for p := range int32(2) {
		delete(r.m.logs, TopicPartition{topic, p})
	}
	for _, rows := range r.rows { // as DeleteTopicOffsets
		maps.DeleteFunc(rows, func(tp TopicPartition, _ Offset) bool { return tp.Topic == topic })
	}
	for _, rows := range r.m.rows {
		maps.DeleteFunc(rows, func(tp TopicPartition, _ Offset) bool { return tp.Topic == topic })
	}
}

func (r *txnRun) drawPartition() TopicPartition {
	return TopicPartition{rapid.SampledFrom(modelTopics).Draw(r.T, "topic"), rapid.Int32Range(0, 1).Draw(r.T, "partition")}
}

// drawID draws an id and a producer that is mostly its own.
func (r *txnRun) drawID() (id string, producer ProducerID, epoch ProducerEpoch, number TxnNumber) {
	id = rapid.SampledFrom([]string{"a", "b", "old"}).Draw(r.T, "id")
	known := r.m.ids[id]
	if known == nil {
		return id, 99, 0, 0
	}
	producer, epoch, number = known.producer, known.epoch, known.number()
	switch rapid.IntRange(0, 9).Draw(r.T, "as") {
	case 0:
		epoch -= ProducerEpoch(rapid.Int16Range(-1, 1).Draw(r.T, "epochs ago"))
	case 1:
		producer, epoch = known.lastProducer, known.lastEpoch
	case 2:
		number -= TxnNumber(rapid.Int64Range(-1, 2).Draw(r.T, "transactions ago"))
	}
	return id, producer, max(epoch, 0), number
}

func (r *txnRun) write() {
	in := &SegmentCommit{ID: NewSegmentID(time.Now()), Size: 1 << 20}
	var batches []sentBatch
	for range rapid.IntRange(1, 3).Draw(r.T, "batches") {
		if len(r.sent) > 0 && rapid.IntRange(0, 5).Draw(r.T, "again") == 0 {
			batches = append(batches, rapid.SampledFrom(r.sent).Draw(r.T, "batch"))
			continue
		}
		batches = append(batches, r.drawBatch())
	}
	for i, b := range batches {
		in.Runs = append(in.Runs, RunCommit{TopicPartition: b.tp, Position: uint32(200 * i), Batches: []BatchCommit{b.BatchCommit}})
	}
	r.sent = append(r.sent, batches...)
	c, d := r.s.decideCommit([]*SegmentCommit{in}, nil)
	d.release()
	for i, b := range batches {
		verdict, offset := r.m.commit(b.tp, b.BatchCommit)
		if got := c.segments[0].runs[i].batches[0]; got.verdict != verdict || got.offset != offset {
			r.Fatalf("%v, batch %+v: decided %d at %d, the model says %d at %d", b.tp, b.BatchCommit, got.verdict, got.offset, verdict, offset)
		}
	}
	r.fold(c)
}

func (r *txnRun) drawBatch() sentBatch {
	tp := r.drawPartition()
	b := BatchCommit{Length: 100, Records: rapid.Int32Range(1, 3).Draw(r.T, "records"), ProducerID: NoProducerID}
	if rapid.IntRange(0, 7).Draw(r.T, "plain") == 0 {
		return sentBatch{tp, b}
	}
	_, b.ProducerID, b.ProducerEpoch, _ = r.drawID()
	if b.ProducerID == NoProducerID {
		return sentBatch{tp, b}
	}
	b.Transactional = rapid.IntRange(0, 9).Draw(r.T, "transactional") > 0
	b.Implicit = b.Transactional && rapid.Bool().Draw(r.T, "implicit")
	for _, item := range r.m.logs[tp] {
		if item.ProducerID == b.ProducerID && item.ProducerEpoch == b.ProducerEpoch && item.marker == nil {
			b.BaseSequence = item.BaseSequence + item.Records
		}
	}
	if rapid.IntRange(0, 9).Draw(r.T, "gap") == 0 {
		b.BaseSequence++
	}
	return sentBatch{tp, b}
}

func (r *txnRun) drawRequest() TxnRequest {
	if len(r.made) > 0 && rapid.IntRange(0, 4).Draw(r.T, "again") == 0 {
		made := rapid.SampledFrom(r.made).Draw(r.T, "request")
		if _, ok := made.(InitTxn); !ok { // its fresh id may be in use
			return made
		}
	}
	id, producer, epoch, number := r.drawID()
	fresh := NoProducerID
	if rapid.IntRange(0, 3).Draw(r.T, "fresh") > 0 {
		r.m.fresh++
		fresh = r.m.fresh
	}
	switch rapid.IntRange(0, 9).Draw(r.T, "request") {
	case 0, 1:
		if r.m.ids[id] == nil || fresh == NoProducerID {
			r.m.fresh++
			fresh = r.m.fresh
		}
		if rapid.Bool().Draw(r.T, "anew") {
			producer, epoch = NoProducerID, -1
		}
		return InitTxn{ID: id, Timeout: time.Second, Producer: producer, Epoch: epoch, Fresh: fresh}
	case 2, 3:
		add := AddToTxn{ID: id, Producer: producer, Epoch: epoch, Number: number}
		for range rapid.IntRange(0, 3).Draw(r.T, "partitions") {
			add.Partitions = append(add.Partitions, r.drawPartition())
		}
		if rapid.Bool().Draw(r.T, "group") {
			add.Groups = []string{"g"}
		}
		return add
	case 4, 5:
		c := CommitTxnOffsets{ID: id, Producer: producer, Epoch: epoch, Number: number, Implicit: rapid.Bool().Draw(r.T, "implicit")}
		c.Group = rapid.SampledFrom([]string{"g", "h"}).Draw(r.T, "group")
		c.Claim = GroupEpoch(min(1, rapid.IntRange(0, 5).Draw(r.T, "claim")))
		for range rapid.IntRange(0, 3).Draw(r.T, "offsets") {
			c.Offsets = append(c.Offsets, CommittedOffset{TopicPartition: r.drawPartition(), Offset: Offset(rapid.Int64Range(-2, 99).Draw(r.T, "offset"))})
		}
		return c
	case 6:
		return AbortTxn{ID: id, Number: number}
	case 7:
		if rapid.Bool().Draw(r.T, "forget") {
			return ForgetTxn{ID: id, Epoch: epoch, Number: number}
		}
	}
	return EndTxn{
		ID: id, Producer: producer, Epoch: epoch, Number: number, Fresh: fresh,
		Commit: rapid.Bool().Draw(r.T, "commit"), Version: rapid.Int8Range(1, 2).Draw(r.T, "version"),
	}
}

func (r *txnRun) transact() {
	var requests []TxnRequest
	for range rapid.IntRange(1, 3).Draw(r.T, "requests") {
		requests = append(requests, r.drawRequest())
	}
	r.made = append(r.made, requests...)
	c := r.s.decideTxns(requests, map[GroupClaim]bool{{"g", 0}: true, {"h", 0}: true})
	for i, request := range requests {
		want := r.m.transact(request)
		if got := c.results[i]; got.Producer != want.Producer || got.Epoch != want.Epoch || !errors.Is(got.Err, want.Err) {
			r.Fatalf("%T%+v: %+v, the model says %+v", request, request, got, want)
		}
	}
	for _, of := range c.rows.Offsets {
		for _, o := range of.Offsets {
			if r.rows[of.Group] == nil {
				r.rows[of.Group] = make(map[TopicPartition]Offset)
			}
			r.rows[of.Group][o.TopicPartition] = o.Offset
		}
	}
	if len(c.changes) > 0 {
		r.fold(c)
	}
}

func (r *txnRun) compare() {
	describe(r.T, r.s)
	if !reflect.DeepEqual(r.rows, r.m.rows) {
		r.Fatalf("rows %v, the model says %v", r.rows, r.m.rows)
	}
	for name, id := range r.m.ids {
		x := r.s.txns.find(name)
		if x == nil || x.state != id.state || x.number != id.number() || x.producer != id.producer || x.epoch != id.epoch {
			r.Fatalf("%s is %+v, the model says %+v", name, x, id)
		}
		for _, group := range []string{"g", "h"} {
			holds := id.open != nil && slices.ContainsFunc(id.open.offsets, func(o groupOffset) bool { return o.group == group })
			if got := slices.Contains(r.s.txns.pending[group], r.s.txns.byID[name]); got != holds {
				r.Fatalf("%s holds offsets of %s: %v", name, group, got)
			}
		}
	}
	for tp, log := range r.m.logs {
		r.compareReads(tp, log)
	}
}

// compareReads reads as consumers do, from every offset.
func (r *txnRun) compareReads(tp TopicPartition, log []modelItem) {
	stable := r.m.high(tp)
	var want []Offset
	for _, item := range log {
		if item.txn != nil && !item.txn.decided {
			stable = min(stable, item.offset)
		}
	}
	for _, item := range log {
		if item.marker == nil && (item.txn == nil || item.txn.commit) && item.offset < stable {
			want = append(want, item.offset)
		}
	}
	p := r.s.partition(tp)
	if w := p.watermarks(); w != (Watermarks{High: r.m.high(tp), Stable: stable}) || stable < r.m.stable[tp] {
		r.Fatalf("%v: %+v, the model says %d, stable %d after %d", tp, w, r.m.high(tp), stable, r.m.stable[tp])
	}
	r.m.stable[tp] = stable
	for _, maxBytes := range []int{1, 250, 1 << 20} {
		for from := Offset(0); from <= stable; from += 1 + from/4 {
			got := r.readCommitted(p, tp, from, maxBytes)
			rest := want[slices.IndexFunc(append(want, stable), func(o Offset) bool { return o >= from }):]
			if !slices.Equal(got, rest) {
				r.Fatalf("%v from %d, %d bytes at a time: read %v, the model says %v", tp, from, maxBytes, got, rest)
			}
		}
	}
}

// readCommitted returns the offsets of the batches that a consumer takes, of those that begin at from or later. It goes
// by the aborted list as consumers do.
func (r *txnRun) readCommitted(p *partition, tp TopicPartition, from Offset, maxBytes int) []Offset {
	var got []Offset
	for at := from; ; {
		runs := r.s.runsOf(p, at, p.stable(), maxBytes)
		if len(runs) == 0 {
			return got
		}
		end := min(runs[len(runs)-1].Base+Offset(runs[len(runs)-1].Records), p.stable())
		aborted := p.txns.overlapping(at, end)
		slices.SortFunc(aborted, func(a, b AbortedTxn) int { return int(a.First - b.First) })
		skipped := make(map[ProducerID]bool)
		for _, item := range r.m.logs[tp] {
			for len(aborted) > 0 && aborted[0].First <= item.offset {
				skipped[aborted[0].Producer] = true
				aborted = aborted[1:]
			}
			switch {
			case item.end() <= at || item.offset >= end:
			case item.marker != nil:
				if !item.marker.Commit {
					delete(skipped, item.marker.Producer)
				}
			case item.offset >= from && !(item.Transactional && skipped[item.ProducerID]):
				got = append(got, item.offset)
			}
		}
		at = end
	}
}
