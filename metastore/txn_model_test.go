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

// txnModel is the naive truth of transactions: what every request did, and every record with the transaction that it
// belongs to.
type txnModel struct {
	ids    map[string]*modelID
	logs   map[TopicPartition][]modelItem
	stable map[TopicPartition]Offset // as last seen
	rows   map[string]map[TopicPartition]Offset
	fresh  ProducerID
}

type modelID struct {
	producer, lastProducer ProducerID
	epoch, lastEpoch       ProducerEpoch
	ended                  []*modelTxn // by number
	open                   *modelTxn   // nil if there is none
	state                  TxnState
}

type modelTxn struct {
	decided, commit bool
	partitions      map[TopicPartition]bool
	groups          map[string]bool
	offsets         []groupOffset
}

// modelItem is a batch or a marker.
type modelItem struct {
	BatchCommit
	offset Offset
	txn    *modelTxn // nil: plain
	marker *Marker
}

func (i *modelItem) end() Offset {
	if i.marker != nil {
		return i.offset + 1
	}
	return i.offset + Offset(i.Records)
}

func (m *txnModel) high(tp TopicPartition) Offset {
	if log := m.logs[tp]; len(log) > 0 {
		return log[len(log)-1].end()
	}
	return 0
}

func (m *txnModel) ofProducer(id ProducerID) *modelID {
	for _, x := range m.ids {
		if x.producer == id {
			return x
		}
	}
	return nil
}

// commit is what becomes of a batch, by all of history.
func (m *txnModel) commit(tp TopicPartition, b BatchCommit) (Verdict, Offset) {
	log, ok := m.logs[tp]
	if !ok {
		return UnknownPartition, NoOffset
	}
	var id *modelID
	if b.Transactional {
		switch id = m.ofProducer(b.ProducerID); {
		case id == nil:
			return UnknownTxnProducer, NoOffset
		case id.epoch != b.ProducerEpoch, id.epoch == 32767:
			return StaleProducerEpoch, NoOffset
		case !b.Implicit && (id.open == nil || !id.open.partitions[tp]):
			return InvalidTxnState, NoOffset
		}
	}
	known, open, epoch, mine := false, false, ProducerEpoch(-1), []modelItem(nil)
	for _, item := range log {
		of, at := item.ProducerID, item.ProducerEpoch
		if item.marker != nil {
			of, at = item.marker.Producer, item.marker.Epoch
		}
		if of != b.ProducerID || of == NoProducerID {
			continue
		}
		if known = true; at > epoch {
			epoch, mine = at, nil
		}
		if item.marker == nil {
			mine = append(mine, item)
		}
		open = item.txn != nil && !item.txn.decided
	}
	if verdict, first := judgeSequence(known, epoch, mine, b); verdict != Accepted {
		return verdict, first
	}
	if open && !b.Transactional {
		return InvalidTxnState, NoOffset
	}
	item := modelItem{BatchCommit: b, offset: m.high(tp)}
	if id != nil {
		item.txn = id.begin()
		item.txn.partitions[tp] = true
	}
	m.logs[tp] = append(log, item)
	return Accepted, item.offset
}

func judgeSequence(known bool, epoch ProducerEpoch, mine []modelItem, b BatchCommit) (Verdict, Offset) {
	switch {
	case b.ProducerID == NoProducerID:
		return Accepted, NoOffset
	case !known && b.Implicit && b.BaseSequence != 0:
		return OutOfOrderSequence, NoOffset
	case !known:
		return Accepted, NoOffset
	case b.ProducerEpoch < epoch:
		return StaleProducerEpoch, NoOffset
	case b.ProducerEpoch > epoch && b.BaseSequence != 0:
		return OutOfOrderSequence, NoOffset
	case b.ProducerEpoch > epoch:
		return Accepted, NoOffset
	}
	next := int32(0)
	for i, item := range mine {
		if i >= len(mine)-5 && item.BaseSequence == b.BaseSequence && item.Records == b.Records {
			return Duplicate, item.offset
		}
		next = item.BaseSequence + item.Records
	}
	if b.BaseSequence != next {
		return OutOfOrderSequence, NoOffset
	}
	return Accepted, NoOffset
}

func (id *modelID) begin() *modelTxn {
	if id.open == nil {
		id.open = &modelTxn{partitions: make(map[TopicPartition]bool), groups: make(map[string]bool)}
		id.state = TxnOngoing
	}
	return id.open
}

// close decides the open transaction, if there is one, with markers of an epoch where it wrote.
func (m *txnModel) close(id *modelID, epoch ProducerEpoch, commit bool) {
	txn := id.open
	if txn == nil {
		txn = &modelTxn{}
	}
	txn.decided, txn.commit = true, commit
	for tp := range txn.partitions {
		if slices.ContainsFunc(m.logs[tp], func(i modelItem) bool { return i.txn == txn }) {
			m.logs[tp] = append(m.logs[tp], modelItem{offset: m.high(tp), marker: &Marker{id.producer, epoch, commit}})
		}
	}
	for _, o := range txn.offsets {
		if _, ok := m.logs[o.TopicPartition]; ok && commit {
			if m.rows[o.group] == nil {
				m.rows[o.group] = make(map[TopicPartition]Offset)
			}
			m.rows[o.group][o.TopicPartition] = o.Offset
		}
	}
	id.ended, id.open = append(id.ended, txn), nil
	if id.state = TxnCompleteAbort; commit {
		id.state = TxnCompleteCommit
	}
}

// raise gives the next epoch or a fresh id, and remembers the one before.
func (id *modelID) raise(fresh ProducerID) {
	id.lastProducer, id.lastEpoch = id.producer, id.epoch
	if id.epoch++; id.lastEpoch >= 32766 {
		id.producer, id.epoch = fresh, 0
	}
}

func (id *modelID) is(producer ProducerID, epoch ProducerEpoch) error {
	switch {
	case id == nil || id.producer != producer:
		return ErrTxnMapping
	case id.epoch != epoch, id.epoch == 32767:
		return ErrTxnFenced
	}
	return nil
}

func (id *modelID) number() TxnNumber { return TxnNumber(len(id.ended)) }

func (id *modelID) result() TxnResult { return TxnResult{Producer: id.producer, Epoch: id.epoch} }

func (m *txnModel) transact(r TxnRequest) TxnResult {
	id := m.ids[r.transactionalID()]
	switch r := r.(type) {
	case InitTxn:
		return m.init(id, r)
	case AddToTxn:
		if err := id.is(r.Producer, r.Epoch); err != nil {
			return refusedTxn(err)
		}
		for _, tp := range r.Partitions {
			if _, ok := m.logs[tp]; !ok {
				return refusedTxn(ErrUnknownPartition)
			}
		}
		if r.Number != id.number() {
			return refusedTxn(ErrTxnMoved)
		}
		if len(r.Partitions)+len(r.Groups) > 0 {
			txn := id.begin()
			for _, tp := range r.Partitions {
				txn.partitions[tp] = true
			}
			for _, group := range r.Groups {
				txn.groups[group] = true
			}
		}
		return id.result()
	case CommitTxnOffsets:
		if err := id.is(r.Producer, r.Epoch); err != nil {
			return refusedTxn(err)
		}
		switch {
		case r.Claim != 1:
			return refusedTxn(ErrFenced)
		case r.Number != id.number():
			return refusedTxn(ErrTxnMoved)
		case !r.Implicit && (id.open == nil || !id.open.groups[r.Group]):
			return refusedTxn(ErrTxnState)
		}
		txn := id.begin()
		txn.groups[r.Group] = true
		for _, o := range r.Offsets {
			txn.offsets = append(txn.offsets, groupOffset{r.Group, o})
		}
		return id.result()
	case EndTxn:
		return m.end(id, r)
	case AbortTxn:
		switch {
		case id == nil:
			return refusedTxn(ErrTxnMapping)
		case id.state == TxnCompleteAbort && r.Number == id.number()-1:
			return id.result()
		case id.open == nil || r.Number != id.number():
			return refusedTxn(ErrTxnMoved)
		}
		m.close(id, id.epoch+1, false)
		id.epoch++
		id.lastProducer, id.lastEpoch = NoProducerID, -1
		return id.result()
	case ForgetTxn:
		switch {
		case id == nil:
			return refusedTxn(nil)
		case r.Epoch != id.epoch || r.Number != id.number():
			return refusedTxn(ErrTxnMoved)
		case id.open != nil:
			return refusedTxn(ErrTxnState)
		}
		delete(m.ids, r.ID)
		return refusedTxn(nil)
	}
	panic("no such request")
}

func (m *txnModel) init(id *modelID, r InitTxn) TxnResult {
	if id == nil {
		id = &modelID{producer: r.Fresh, lastProducer: NoProducerID, lastEpoch: -1}
		m.ids[r.ID] = id
		return id.result()
	}
	if r.Producer != NoProducerID {
		if r.Producer == id.lastProducer && r.Epoch == id.lastEpoch && id.open == nil {
			return id.result()
		}
		if r.Producer != id.producer || r.Epoch != id.epoch {
			return refusedTxn(ErrTxnFenced)
		}
	}
	if id.epoch >= 32766 && r.Fresh == NoProducerID {
		return refusedTxn(ErrTxnExhausted)
	}
	if id.open != nil {
		m.close(id, id.epoch+1, false)
	}
	if id.raise(r.Fresh); r.Producer == NoProducerID {
		id.lastProducer, id.lastEpoch = NoProducerID, -1
	}
	id.state = TxnEmpty
	return id.result()
}

func (m *txnModel) end(id *modelID, r EndTxn) TxnResult {
	if id != nil && r.Version == 2 && id.open == nil && id.state != TxnEmpty && r.Producer == id.lastProducer && r.Epoch == id.lastEpoch {
		if r.Commit != (id.state == TxnCompleteCommit) {
			return refusedTxn(ErrTxnState)
		}
		return id.result()
	}
	if err := id.is(r.Producer, r.Epoch); err != nil {
		return refusedTxn(err)
	}
	now := r.Number == id.number()
	switch {
	case r.Version == 1 && id.open != nil && now:
		m.close(id, id.epoch, r.Commit)
	case r.Version == 1 && !now && r.Number != id.number()-1, r.Version == 2 && !now:
		return refusedTxn(ErrTxnMoved)
	case r.Version == 1 && (id.state == TxnEmpty || id.number() == 0 || id.ended[id.number()-1].commit != r.Commit):
		return refusedTxn(ErrTxnState)
	case r.Version == 1:
	case id.open == nil && r.Commit:
		return refusedTxn(ErrTxnState)
	case id.epoch >= 32766 && r.Fresh == NoProducerID:
		return refusedTxn(ErrTxnExhausted)
	default:
		m.close(id, id.epoch+1, r.Commit)
		id.raise(r.Fresh)
	}
	return id.result()
}

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
			c.Offsets = append(c.Offsets, CommittedOffset{TopicPartition: r.drawPartition(), Offset: Offset(rapid.Int64Range(0, 99).Draw(r.T, "offset"))})
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
