package metastore

// end decides on the end of a transaction that keeps the epoch. The number alone tells a request that is asked again from
// one for the next transaction. Once that has begun nobody waits for the answer to the one before: a request with its
// number is one for the next whose broker is behind, and would be taken for answered.
func (d *txnDecision) end(t *decidedTxn, r *EndTxn) TxnResult {
	if err := t.owner(r.Producer, r.Epoch); err != nil {
		return refusedTxn(err)
	}
	switch {
	case t.state == TxnOngoing && r.Number == t.number:
		ended := d.close(t, t.epoch, r.Commit)
		t.state, t.version = ended.state(), 1
		d.becomes(t, ended)
		return t.result()
	case r.Number != t.number && (r.Number != t.number-1 || t.state == TxnOngoing):
		return refusedTxn(ErrTxnMoved)
	case t.state == TxnEmpty || t.number == 0:
		return refusedTxn(ErrTxnState)
	case r.Commit != t.committed:
		return refusedTxn(ErrTxnState)
	}
	return t.result()
}

// endRaising decides on the end of a transaction with the epoch raised (KIP-890). The epoch tells a request that is asked
// again, which has the last one.
func (d *txnDecision) endRaising(t *decidedTxn, r *EndTxn) TxnResult {
	ended := t.state == TxnCompleteCommit || t.state == TxnCompleteAbort
	if ended && t.known && r.Producer == t.lastProducer && r.Epoch == t.lastEpoch {
		if r.Commit != (t.state == TxnCompleteCommit) {
			return refusedTxn(ErrTxnState)
		}
		return t.result()
	}
	if err := t.owner(r.Producer, r.Epoch); err != nil {
		return refusedTxn(err)
	}
	switch {
	case r.Number != t.number:
		return refusedTxn(ErrTxnMoved)
	case t.state != TxnOngoing && r.Commit:
		return refusedTxn(ErrTxnState)
	case t.epoch >= lastEpoch && !d.unused(r.Fresh):
		return refusedTxn(ErrTxnExhausted)
	}
	end := d.close(t, t.epoch+1, r.Commit) // of nothing, if a producer aborts what never began
	d.raise(t, r.Fresh)
	t.state, t.version = end.state(), 2
	d.becomes(t, end)
	return t.result()
}

// state is what a transactional id is in after its transaction ended so.
func (e *txnEnd) state() TxnState {
	if e.Commit {
		return TxnCompleteCommit
	}
	return TxnCompleteAbort
}

func (d *txnDecision) abort(t *decidedTxn, r *AbortTxn) TxnResult {
	switch {
	case !t.known:
		return refusedTxn(ErrTxnMapping)
	case t.state == TxnCompleteAbort && r.Number == t.number-1:
		return t.result()
	case t.state != TxnOngoing || r.Number != t.number:
		return refusedTxn(ErrTxnMoved)
	}
	end := d.close(t, t.epoch+1, false)
	t.lastProducer, t.lastEpoch = NoProducerID, -1 // whoever has the epoch before is fenced
	if t.epoch < lastEpoch {
		// But goes on if it says by InitProducerId which epoch it has (KIP-360), as franz-go does, or aborts at version 2: as if
		// that had been asked before, and its answer lost.
		t.lastProducer, t.lastEpoch = t.producer, t.epoch
	}
	t.epoch, t.raised = end.Epoch, notYet
	t.state = end.state()
	d.becomes(t, end)
	return t.result()
}

func (d *txnDecision) forget(t *decidedTxn, r *ForgetTxn) TxnResult {
	switch {
	case !t.known:
		return refusedTxn(nil)
	case r.Epoch != t.epoch || r.Number != t.number:
		return refusedTxn(ErrTxnMoved)
	case t.state == TxnOngoing:
		return refusedTxn(ErrTxnState)
	}
	d.change(t).forgotten = true
	*t = decidedTxn{txn: txn{id: t.id, producer: NoProducerID, lastProducer: NoProducerID, lastEpoch: -1}}
	d.count--
	return refusedTxn(nil)
}
