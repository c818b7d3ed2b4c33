package metastore

import "slices"

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
	implicit        bool // began by a write or offsets, without a request to add them
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
		item.txn = id.begin(true)
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

func (id *modelID) begin(implicit bool) *modelTxn {
	if id.open == nil {
		id.open = &modelTxn{implicit: implicit, partitions: make(map[TopicPartition]bool), groups: make(map[string]bool)}
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
			txn := id.begin(false)
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
		txn := id.begin(true)
		txn.groups[r.Group] = true
		for _, o := range r.Offsets {
			if _, ok := m.logs[o.TopicPartition]; ok {
				txn.offsets = append(txn.offsets, groupOffset{r.Group, o})
			}
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
		id.lastProducer, id.lastEpoch = NoProducerID, -1
		if id.epoch < 32766 {
			id.lastProducer, id.lastEpoch = id.producer, id.epoch
		}
		m.close(id, id.epoch+1, false)
		id.epoch++
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
	case r.Version == 1 && !now && (id.open != nil || r.Number != id.number()-1), r.Version == 2 && !now:
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
