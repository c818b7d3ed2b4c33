package metastore

import (
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/runnel-io/runnel/planted"
)

// lastEpoch is the highest epoch that a producer is given. One more is for the marker that ends its last transaction, and
// for an id whose last transaction was aborted over its producer's head: nobody has it.
const lastEpoch = math.MaxInt16 - 1

// txnDecision is what transactional ids will be after the requests decided so far, as far as they differ from the state.
type txnDecision struct {
	state  *State
	fenced map[GroupClaim]bool // claims that are known not to be the latest
	ids    map[string]*decidedTxn
	taken  map[ProducerID]bool // by ids that were made since
	highs  map[TopicPartition]Offset
	count  int   // of transactional ids
	bytes  int64 // held by ongoing transactions
	size   int   // of the entry and of the rows that are written with it, about

	c      transact
	claims map[GroupClaim]bool
	rows   map[string]map[TopicPartition]CommittedOffset
}

// decidedTxn is a transactional id: what it has ongoing is what the state holds, unless that ended, and more.
type decidedTxn struct {
	txn
	known bool // there is such an id
	more  *ongoing
}

// decideTxns decides on requests in order, each seeing the ones before it, until the entry is large; one at least. It is
// a pure function of state, requests and of what is known of claims.
func (s *State) decideTxns(requests []TxnRequest, fenced map[GroupClaim]bool) transact {
	d := &txnDecision{
		state: s, fenced: fenced, ids: make(map[string]*decidedTxn), taken: make(map[ProducerID]bool),
		highs: make(map[TopicPartition]Offset), count: len(s.txns.byID), bytes: s.txns.bytes,
		claims: make(map[GroupClaim]bool), rows: make(map[string]map[TopicPartition]CommittedOffset),
	}
	for _, r := range requests {
		d.c.results = append(d.c.results, d.decide(r))
		if d.size >= maxTxnEntryBytes {
			break
		}
	}
	d.c.rows = d.groupChanges()
	return d.c
}

func (d *txnDecision) decide(r TxnRequest) TxnResult {
	t := d.find(r.transactionalID())
	switch r := r.(type) {
	case InitTxn:
		return d.init(t, &r)
	case AddToTxn:
		return d.add(t, &r)
	case CommitTxnOffsets:
		return d.keep(t, &r)
	case EndTxn:
		if r.Version >= 2 {
			return d.endRaising(t, &r)
		}
		return d.end(t, &r)
	case AbortTxn:
		return d.abort(t, &r)
	case ForgetTxn:
		return d.forget(t, &r)
	}
	return refusedTxn(ErrTxnState)
}

func (d *txnDecision) find(id string) *decidedTxn {
	if t, ok := d.ids[id]; ok {
		return t
	}
	t := &decidedTxn{txn: txn{id: id, producer: NoProducerID, lastProducer: NoProducerID, lastEpoch: -1}}
	if known := d.state.txns.find(id); known != nil {
		t.txn, t.known = *known, true
	}
	d.ids[id] = t
	return t
}

// result is the producer as it is.
func (t *decidedTxn) result() TxnResult { return TxnResult{Producer: t.producer, Epoch: t.epoch} }

// becomes is the change that makes the id what it is now.
func (d *txnDecision) becomes(t *decidedTxn, ended *txnEnd) *txnChange {
	to := t.txn
	to.id, to.changed, to.ongoing = "", 0, nil
	d.c.changes = append(d.c.changes, txnChange{id: t.id, ended: ended, becomes: &to})
	d.size += 64 + len(t.id)
	return &d.c.changes[len(d.c.changes)-1]
}

// change is a change of the id that leaves it what it is, but for what it has ongoing.
func (d *txnDecision) change(t *decidedTxn) *txnChange {
	d.c.changes = append(d.c.changes, txnChange{id: t.id})
	d.size += 8 + len(t.id)
	return &d.c.changes[len(d.c.changes)-1]
}

func (d *txnDecision) init(t *decidedTxn, r *InitTxn) TxnResult {
	given := r.Producer != NoProducerID
	timeout := int32(min(max(r.Timeout.Milliseconds(), 0), math.MaxInt32))
	if !t.known {
		switch {
		case r.ID == "":
			return refusedTxn(ErrTxnMapping)
		case d.count >= maxTransactionalIDs:
			return refusedTxn(ErrTxnTooLarge)
		case !d.unused(r.Fresh):
			return refusedTxn(ErrTxnExhausted)
		}
		d.count++
		d.taken[r.Fresh] = true
		t.txn = txn{id: r.ID, producer: r.Fresh, lastProducer: NoProducerID, lastEpoch: -1, timeout: timeout}
		t.known, t.raised = true, notYet
		d.becomes(t, nil)
		return t.result()
	}
	if given && (r.Producer != t.producer || r.Epoch != t.epoch) {
		// Asked again, the answer having been lost. Nobody else can have asked in between: that would have cleared it.
		if r.Producer == t.lastProducer && r.Epoch == t.lastEpoch && t.state != TxnOngoing {
			return t.result()
		}
		return refusedTxn(ErrTxnFenced)
	}
	if !given && after(t.raised, r.AsOf) {
		return refusedTxn(ErrTxnMoved)
	}
	if t.epoch >= lastEpoch && !d.unused(r.Fresh) {
		return refusedTxn(ErrTxnExhausted)
	}
	var ended *txnEnd
	if t.state == TxnOngoing {
		ended = d.close(t, t.epoch+1, false)
	}
	d.raise(t, r.Fresh)
	if !given {
		t.lastProducer, t.lastEpoch = NoProducerID, -1
	}
	t.state, t.timeout = TxnEmpty, timeout
	d.becomes(t, ended)
	return t.result()
}

// unused tells whether a producer id may be given to a transactional id.
func (d *txnDecision) unused(id ProducerID) bool {
	return id >= 0 && !d.taken[id] && d.state.txns.ofProducer(id) == nil
}

// notYet is the number of the entry that is being decided, which is not known before it lands.
const notYet Seq = math.MaxInt64

// after tells whether an entry is one that who asked had not heard of.
func after(entry, asOf Seq) bool { return asOf > 0 && entry > asOf }

// raise gives the next epoch, or the first of a fresh producer id.
func (d *txnDecision) raise(t *decidedTxn, fresh ProducerID) {
	t.raised = notYet
	t.lastProducer, t.lastEpoch = t.producer, t.epoch
	if t.epoch < lastEpoch {
		if !planted.Is(planted.ZombieNotFenced) {
			t.epoch++
		}
		return
	}
	d.taken[fresh] = true
	t.producer, t.epoch = fresh, 0
}

// owner tells why a producer may not change the id as it is.
func (t *decidedTxn) owner(producer ProducerID, epoch ProducerEpoch) error {
	switch {
	case !t.known || producer != t.producer:
		return ErrTxnMapping
	case epoch != t.epoch, epoch > lastEpoch:
		return ErrTxnFenced
	}
	return nil
}

// begin makes sure that a transaction is ongoing, and returns the change that is to be made of it.
func (d *txnDecision) begin(t *decidedTxn, version int8) *txnChange {
	if t.state == TxnOngoing {
		return d.change(t)
	}
	t.state, t.version = TxnOngoing, version
	return d.becomes(t, nil)
}

func (d *txnDecision) add(t *decidedTxn, r *AddToTxn) TxnResult {
	if err := t.owner(r.Producer, r.Epoch); err != nil {
		return refusedTxn(err)
	}
	for _, tp := range r.Partitions {
		if d.state.partition(tp) == nil {
			return refusedTxn(ErrUnknownPartition)
		}
	}
	partitions, groups := missing(r.Partitions, t.has), missing(r.Groups, t.hasGroup)
	bytes := int64(0)
	for _, group := range groups {
		bytes += groupBytes(group)
	}
	switch {
	case r.Number != t.number:
		return refusedTxn(ErrTxnMoved)
	case len(partitions)+len(groups) == 0:
		return t.result()
	case t.partitions()+len(partitions) > maxTxnPartitions || !d.roomFor(t, bytes):
		return refusedTxn(ErrTxnTooLarge)
	}
	c := d.begin(t, 1)
	c.partitions, c.groups = partitions, groups
	d.size += 8 * len(partitions)
	more := t.addition()
	for _, tp := range partitions {
		more.partitions[tp] = NoOffset
	}
	for _, group := range groups {
		more.groups[group] = struct{}{}
	}
	d.grow(t, bytes)
	return t.result()
}

// missing returns those of all that are not there, each once.
func missing[T comparable](all []T, there func(T) bool) []T {
	var found []T
	seen := make(map[T]struct{})
	for _, x := range all {
		if _, twice := seen[x]; twice || there(x) {
			continue
		}
		seen[x] = struct{}{}
		found = append(found, x)
	}
	return found
}

func (d *txnDecision) keep(t *decidedTxn, r *CommitTxnOffsets) TxnResult {
	claim := GroupClaim{r.Group, r.Claim}
	switch err := t.owner(r.Producer, r.Epoch); {
	case err != nil:
		return refusedTxn(err)
	case d.fenced[claim] || !storable(r.Group):
		return refusedTxn(ErrFenced)
	case r.Number != t.number || after(t.kept(), r.AsOf):
		return refusedTxn(ErrTxnMoved)
	case !r.Implicit && (t.state != TxnOngoing || !t.hasGroup(r.Group)):
		return refusedTxn(ErrTxnState)
	}
	bytes := int64(0)
	if !t.hasGroup(r.Group) {
		bytes = groupBytes(r.Group)
	}
	var offsets []groupOffset
	for i := range r.Offsets {
		// What is not there was deleted since the request was made, and its offsets with it.
		if o := &r.Offsets[i]; d.state.partition(o.TopicPartition) != nil && storable(o.TopicName) {
			offsets = append(offsets, groupOffset{r.Group, *o})
			bytes += offsetBytes(o)
			d.size += 48 + len(r.Group) + len(o.TopicName) + len(o.Metadata)
		}
	}
	if !d.roomFor(t, bytes) {
		return refusedTxn(ErrTxnTooLarge)
	}
	c := d.begin(t, 2)
	more := t.addition()
	if !t.hasGroup(r.Group) {
		c.groups = []string{r.Group}
		more.groups[r.Group] = struct{}{}
	}
	c.offsets = offsets
	for _, o := range offsets {
		more.offsets[groupPartition{r.Group, o.TopicPartition}] = o.CommittedOffset
	}
	d.grow(t, bytes)
	d.claims[claim] = true
	return t.result()
}

// storable tells whether a metastore can hold the text in a row. No group of another name can have been claimed, and a row
// that cannot be written would keep the log from going on.
func storable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// close ends what is ongoing, with a marker in each partition that holds records of it.
func (d *txnDecision) close(t *decidedTxn, epoch ProducerEpoch, commit bool) *txnEnd {
	ended := &txnEnd{Marker: Marker{Producer: t.producer, Epoch: epoch, Commit: commit}, at: []markedPartition{}}
	if t.ongoing != nil {
		for _, tp := range slices.SortedFunc(maps.Keys(t.ongoing.partitions), TopicPartition.compare) {
			p := d.state.partition(tp)
			if p == nil || t.ongoing.partitions[tp] == NoOffset {
				continue
			}
			high, ok := d.highs[tp]
			if !ok {
				high = p.high
			}
			if planted.Is(planted.MarkersTorn) && len(ended.at) > 0 {
				continue
			}
			ended.at = append(ended.at, markedPartition{tp, high})
			d.highs[tp] = high + 1
		}
	}
	d.size += 8 * len(ended.at)
	if commit {
		d.release(t.ongoing)
		d.release(t.more)
		d.size += int(t.bytes())
	}
	d.bytes -= t.bytes()
	t.ongoing, t.more = nil, nil
	t.number++
	t.committed = commit
	return ended
}

// release lets the held offsets become the groups'.
func (d *txnDecision) release(o *ongoing) {
	if o == nil || planted.Is(planted.TxnOffsetsLost) {
		return
	}
	for at, offset := range o.offsets {
		if d.state.partition(at.TopicPartition) == nil {
			continue // the topic was deleted, and with it its offsets
		}
		if d.rows[at.group] == nil {
			d.rows[at.group] = make(map[TopicPartition]CommittedOffset)
		}
		d.rows[at.group][at.TopicPartition] = offset
	}
}

func (d *txnDecision) groupChanges() GroupChanges {
	var g GroupChanges
	for claim := range d.claims {
		g.Claims = append(g.Claims, claim)
	}
	for _, group := range slices.Sorted(maps.Keys(d.rows)) {
		offsets := make([]CommittedOffset, 0, len(d.rows[group]))
		for _, tp := range slices.SortedFunc(maps.Keys(d.rows[group]), TopicPartition.compare) {
			offsets = append(offsets, d.rows[group][tp])
		}
		g.Offsets = append(g.Offsets, GroupOffsets{group, offsets})
	}
	return g
}

// The ongoing transaction with what was added to it.

func (t *decidedTxn) addition() *ongoing {
	if t.more == nil {
		t.more = newOngoing()
	}
	return t.more
}

// kept is the last entry with offsets of the ongoing transaction, 0 if there was none.
func (t *decidedTxn) kept() Seq {
	switch {
	case t.more != nil && len(t.more.offsets) > 0:
		return notYet
	case t.ongoing != nil:
		return t.ongoing.kept
	}
	return 0
}

func (t *decidedTxn) has(tp TopicPartition) bool {
	return t.ongoing != nil && t.ongoing.has(tp) || t.more != nil && t.more.has(tp)
}

func (t *decidedTxn) hasGroup(group string) bool {
	for _, o := range []*ongoing{t.ongoing, t.more} {
		if o != nil {
			if _, ok := o.groups[group]; ok {
				return true
			}
		}
	}
	return false
}

func (t *decidedTxn) partitions() int {
	n := 0
	for _, o := range []*ongoing{t.ongoing, t.more} {
		if o != nil {
			n += len(o.partitions)
		}
	}
	return n
}

func (t *decidedTxn) bytes() int64 {
	n := int64(0)
	for _, o := range []*ongoing{t.ongoing, t.more} {
		if o != nil {
			n += o.bytes
		}
	}
	return n
}

// roomFor tells whether a transaction may hold so many bytes more; an offset that replaces another counts in full.
func (d *txnDecision) roomFor(t *decidedTxn, bytes int64) bool {
	return t.bytes()+bytes <= maxTxnBytes && d.bytes+bytes <= maxPendingBytes
}

func (d *txnDecision) grow(t *decidedTxn, bytes int64) {
	t.more.bytes += bytes
	d.bytes += bytes
}
