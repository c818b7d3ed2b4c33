package metastore

import (
	"context"

	"github.com/runnel-io/runnel/planted"
)

// Transact decides on requests, in order, each seeing what the ones before it did, and appends one entry for all of them,
// or several if they are large. On a nil error every result is durable and folded. After an error the outcome is unknown
// and Transact may be asked again with the same requests: none of them does a second time what it did, except that InitTxn
// without a Producer, and with its AsOf 0, raises the epoch once more. ErrTxnMoved says that something came in between.
func (r *Replica) Transact(ctx context.Context, requests []TxnRequest) ([]TxnResult, error) {
	results := make([]TxnResult, 0, len(requests))
	for len(results) < len(requests) {
		next, err := r.transact(ctx, requests[len(results):])
		if err != nil {
			return nil, err
		}
		results = append(results, next...)
	}
	return results, nil
}

// transact returns the results of the first requests, one at least. What makes an entry is decided on the newest state, or
// the entry would not be appended. What makes none may have been decided on an old one: another broker may have given the
// producer the epoch that we refuse, or begun the transaction whose end we take for that of the one before. Then the log is
// looked at, and it is decided again. Not by way of Refresh: all that wait to be decided would wait for its pause.
func (r *Replica) transact(ctx context.Context, requests []TxnRequest) ([]TxnResult, error) {
	results, appended, err := r.tryTransact(ctx, requests)
	if err != nil || appended {
		return results, err
	}
	if err := r.CatchUp(ctx); err != nil {
		return nil, err
	}
	results, _, err = r.tryTransact(ctx, requests)
	return results, err
}

// tryTransact tells whether there was anything to append.
func (r *Replica) tryTransact(ctx context.Context, requests []TxnRequest) (results []TxnResult, appended bool, err error) {
	fenced := make(map[GroupClaim]bool)
	var unchanged []TxnResult
	landed, err := r.propose(ctx, alone(func(s *State) (change, error) {
		c := s.decideTxns(requests, fenced)
		if len(c.changes) == 0 {
			unchanged = c.results
			return nil, nil
		}
		c.refuse = func(claims []GroupClaim) {
			for _, claim := range claims {
				fenced[claim] = true
			}
		}
		return c, nil
	}))
	if err != nil {
		return nil, false, err
	}
	if c, ok := landed.(transact); ok {
		return c.results, true, nil
	}
	return unchanged, false, nil
}

// Transaction finds a transactional id.
func (r *Replica) Transaction(id string) (Transaction, bool) {
	x, ok := r.exportTransaction(id)
	x.sort() // without the lock
	return x, ok
}

func (r *Replica) exportTransaction(id string) (Transaction, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := r.state.txns.find(id)
	if t == nil {
		return Transaction{AsOf: r.state.at.Seq}, false
	}
	x := t.export(func(tp TopicPartition) bool { return r.state.partition(tp) != nil })
	x.AsOf = r.state.at.Seq
	return x, true
}

// TransactionHead is Transaction without the lists of partitions and groups: its cost does not grow with them.
func (r *Replica) TransactionHead(id string) (Transaction, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := r.state.txns.find(id)
	if t == nil {
		return Transaction{AsOf: r.state.at.Seq}, false
	}
	x := t.head()
	x.AsOf = r.state.at.Seq
	return x, true
}

// Transactions calls visit for every transactional id, in no order, until it returns false. It does not hold up the fold
// for long.
func (r *Replica) Transactions(visit func(*Transaction) bool) {
	r.mu.Lock()
	s := r.state
	table, asOf := s.txns.view(), s.at.Seq
	s.sharing.freeze()
	r.mu.Unlock()
	defer r.thaw(s)
	exists := func(tp TopicPartition) bool {
		_, ok := r.Watermarks(tp)
		return ok
	}
	for n := range table.used {
		if t := table.at(n); t.id != "" {
			x := t.export(exists)
			x.AsOf = asOf
			if x.sort(); !visit(&x) {
				return
			}
		}
	}
}

// CommittedRuns returns what Runs does up to the last stable offset, with the aborted transactions that overlap what is
// returned, by their markers' offsets; all of one state. The last run may reach past the last stable offset: the reader
// cuts it between batches.
func (r *Replica) CommittedRuns(tp TopicPartition, from Offset, maxBytes int) (Watermarks, []Run, []AbortedTxn, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, w, err := r.state.readable(tp, from)
	if err != nil {
		return w, nil, nil, err
	}
	if planted.Is(planted.LSOReadApart) {
		r.keepAborted(tp, p)
	}
	runs := r.state.runsOf(p, from, w.Stable, maxBytes)
	if len(runs) == 0 {
		return w, nil, nil, nil
	}
	last := &runs[len(runs)-1]
	if planted.Is(planted.LSOReadApart) {
		return w, runs, r.keptAborted(tp, from), nil
	}
	return w, runs, p.txns.overlapping(from, min(last.Base+Offset(last.Records), w.Stable)), nil
}

// PartitionProducers returns the producers that a partition knows, by id; false if there is no such partition.
func (r *Replica) PartitionProducers(tp TopicPartition) ([]PartitionProducer, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.state.partition(tp)
	if p == nil {
		return nil, false
	}
	return r.state.producersOf(p), true
}

// Written tells whether the log has a copy of a batch, and its base offset, as far as it remembers: the last few batches of each
// producer in each partition. What counts of b is its producer, sequence and number of records.
func (r *Replica) Written(tp TopicPartition, b *BatchCommit) (Offset, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.state.partition(tp)
	if p == nil || p.producers == nil || b.ProducerID < 0 {
		return NoOffset, false
	}
	n, ok := r.state.producers.find(p.producers, b.ProducerID)
	if !ok {
		return NoOffset, false
	}
	verdict, offset := r.state.producers.at(n).judge(b)
	return offset, verdict == Duplicate
}

// OffsetsPending tells whether an ongoing transaction holds an offset of the group for the partition.
func (r *Replica) OffsetsPending(group string, tp TopicPartition) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, n := range r.state.txns.pending[group] {
		if _, ok := r.state.txns.at(n).ongoing.offsets[groupPartition{group, tp}]; ok {
			return true
		}
	}
	return false
}

// OffsetHolder is an ongoing transaction that holds offsets of a group.
type OffsetHolder struct {
	Transaction                   // without lists
	Offsets     []CommittedOffset // those that were asked about and whose partitions it holds offsets for
}

// OffsetHolders finds the ongoing transactions that hold offsets of the group for the partitions of some.
func (r *Replica) OffsetHolders(group string, offsets []CommittedOffset) (holders []OffsetHolder) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, n := range r.state.txns.pending[group] {
		t := r.state.txns.at(n)
		h := OffsetHolder{Transaction: t.head()}
		h.AsOf = r.state.at.Seq
		for _, o := range offsets {
			if _, ok := t.ongoing.offsets[groupPartition{group, o.TopicPartition}]; ok {
				h.Offsets = append(h.Offsets, o)
			}
		}
		if len(h.Offsets) > 0 {
			holders = append(holders, h)
		}
	}
	return holders
}

// GroupPending tells whether an ongoing transaction holds any offset of the group.
func (r *Replica) GroupPending(group string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.state.txns.pending[group]) > 0
}

// TransactionalIDs is how many there are.
func (r *Replica) TransactionalIDs() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.state.txns.byID)
}
