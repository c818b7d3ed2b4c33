package cleaning

import (
	"errors"
	"maps"
	"slices"
	"sort"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// reason says why a record, or the end of a transaction, was dropped.
type reason string

const (
	superseded reason = "superseded" // a later record has the key
	tombstone  reason = "tombstone"  // its horizon has passed
	aborted    reason = "aborted"    // its transaction was
	keyless    reason = "keyless"    // it was written when the topic was not compacted
	marker     reason = "marker"     // its transaction is gone, and its horizon has passed
)

var reasons = []reason{superseded, tombstone, aborted, keyless, marker}

// tally counts what a round dropped.
type tally struct {
	dropped    map[reason]int64
	unreadable int64 // batches
}

// sieve decides what a round leaves of each batch of a partition. It is shown all of them, in order, from the log start on:
// what becomes of the end of a transaction depends on what was left of its records, and a tombstone may go only after
// everything older of its key.
type sieve struct {
	filter    recordbatch.Filter
	keys      *keyMap
	cleanedTo metastore.Offset // up to which earlier rounds got
	end       metastore.Offset // of what is cleaned: after its last batch
	now       int64            // ms
	horizon   int64            // ms: until when what is met for the first time stays

	aborted abortedTxns
	passed  metastore.Offset // up to which the sieve was shown batches
	trail
}

// trail is what the sieve knows of the batches that it was shown.
type trail struct {
	// left are the producers with a transaction of which something is left and whose end was not shown yet.
	left map[int64]struct{}
	// unread says that a batch could not be read. Records older than a tombstone may be in it, so tombstones stay.
	unread bool
	// done are the ends of aborted transactions of which nothing is left.
	done  []metastore.Offset
	tally tally
}

// mostDone bounds what a round forgets of aborted transactions. Others stay for the next.
const mostDone = 50_000

func (t *trail) clone() trail {
	c := *t
	c.left, c.tally.dropped, c.done = maps.Clone(t.left), maps.Clone(t.tally.dropped), slices.Clip(t.done)
	return c
}

func newTrail() trail {
	return trail{left: make(map[int64]struct{}), tally: tally{dropped: make(map[reason]int64)}}
}

// pass returns what is left of a batch: b itself if nothing changes, nil if nothing is left.
func (s *sieve) pass(h recordbatch.Header, b []byte) ([]byte, error) {
	next := metastore.Offset(h.LastOffset()) + 1
	if next > s.end || next <= s.passed { // the second: runs were joined with some that were cleaned a moment ago
		return b, nil
	}
	s.passed = next
	if h.Control() {
		return s.ending(h, b)
	}
	out, err := s.data(h, b)
	if err == nil && out == nil && next == s.end { // so that consumers get to the end of what was cleaned
		out = recordbatch.Empty(b)
	}
	return out, err
}

// data leaves of a batch what compaction keeps.
func (s *sieve) data(h recordbatch.Header, b []byte) ([]byte, error) {
	if h.Records == 0 { // an earlier round ended here
		if metastore.Offset(h.LastOffset())+1 == s.end {
			return b, nil
		}
		return nil, nil
	}
	if h.Transactional() && s.aborted.has(h) && !planted.Is(planted.AbortedUnlisted) {
		s.tally.dropped[aborted] += int64(h.Records)
		return nil, nil
	}
	retain := recordbatch.Retain{Horizon: s.horizon}
	expired := planted.Is(planted.TombstoneEarly)
	if ms, ok := s.known(h); ok {
		retain.Horizon, expired = recordbatch.NoHorizon, ms <= s.now && !s.unread
	}
	var dropped [3]int64
	retain.Keep = func(e recordbatch.Entry) bool {
		switch {
		case e.Key == nil:
			dropped[2]++
		case s.keys.last(e.Key) > metastore.Offset(e.Offset):
			dropped[0]++
		case e.Tombstone && expired:
			dropped[1]++
		default:
			return true
		}
		return false
	}
	out, records, err := s.filter.Keep(b, retain)
	if errors.Is(err, recordbatch.ErrCorrupt) || errors.Is(err, recordbatch.ErrTooLarge) {
		s.tally.unreadable++
		s.unread = true
		out, records, dropped, err = b, h.Records, [3]int64{}, nil
	}
	if err != nil {
		return nil, err
	}
	for i, r := range []reason{superseded, tombstone, keyless} {
		s.tally.dropped[r] += dropped[i]
	}
	if h.Transactional() && records > 0 {
		s.left[h.ProducerID] = struct{}{}
	}
	return out, nil
}

// known returns the delete horizon that an earlier round gave a batch. One that is found in what is dirty is a producer's
// idea, or of a round that did not get to its end.
func (s *sieve) known(h recordbatch.Header) (ms int64, ok bool) {
	ms, ok = h.DeleteHorizon()
	return ms, ok && metastore.Offset(h.LastOffset()) < s.cleanedTo
}

// ending decides on the end of a transaction. It goes in three steps, each of which is durable before the next begins: the
// last of its records; what the log knows of it, if it was aborted; the marker. Until then a client that is told
// of the transaction also meets its end.
func (s *sieve) ending(h recordbatch.Header, b []byte) ([]byte, error) {
	commit, err := recordbatch.MarkerCommits(b)
	if err != nil {
		return b, nil // nothing that is known here ends with it
	}
	_, left := s.left[h.ProducerID]
	delete(s.left, h.ProducerID)
	if left && (commit || !planted.Is(planted.AbortedUnlisted)) {
		return b, nil
	}
	told := false
	if !commit && s.aborted.endsAt(h) {
		if len(s.done) == mostDone {
			return b, nil
		}
		s.done = append(s.done, metastore.Offset(h.BaseOffset))
		told = true
	}
	horizon, ok := s.known(h)
	switch {
	case !ok:
		return s.filter.WithDeleteHorizon(b, s.horizon)
	case horizon > s.now || told:
		return b, nil
	}
	s.tally.dropped[marker]++ // it is not the last batch of what is cleaned, which no earlier round has met
	return nil, nil
}

// abortedTxns are the aborted transactions of a stretch of a partition, by producer and in order.
type abortedTxns map[int64][]metastore.AbortedTxn

// add adds a list, which may have some of the same.
func (a abortedTxns) add(list []metastore.AbortedTxn) {
	for _, t := range list {
		of := a[int64(t.Producer)]
		if len(of) == 0 || of[len(of)-1].Last < t.Last {
			a[int64(t.Producer)] = append(of, t)
		}
	}
}

// find returns the first transaction of a batch's producer that ends at the batch or after it.
func (a abortedTxns) find(h recordbatch.Header) (metastore.AbortedTxn, bool) {
	list := a[h.ProducerID]
	i := sort.Search(len(list), func(i int) bool { return list[i].Last >= metastore.Offset(h.BaseOffset) })
	if i == len(list) {
		return metastore.AbortedTxn{}, false
	}
	return list[i], true
}

// has tells whether a batch belongs to one of them.
func (a abortedTxns) has(h recordbatch.Header) bool {
	t, ok := a.find(h)
	return ok && t.First <= metastore.Offset(h.BaseOffset)
}

// endsAt tells whether a batch is the end of one of them.
func (a abortedTxns) endsAt(h recordbatch.Header) bool {
	t, ok := a.find(h)
	return ok && t.Last == metastore.Offset(h.BaseOffset)
}
