package metastore

import (
	"context"
	"slices"
	"sync"
)

// tailBytes bounds the payloads that a Replica keeps for those who follow it. At tens of entries of some ten kilobytes
// a second, they may be seconds behind.
const tailBytes = 8 << 20

// tailStep bounds the entries that After returns at a time, since it copies them while nothing can be folded.
const tailStep = 1000

// tail holds the newest entries that were folded, for Replica.After, and wakes those who wait for an entry.
type tail struct {
	mu      sync.Mutex
	entries []Entry // without gaps, the last one is the newest folded
	bytes   int
	moved   chan struct{} // closed and replaced when an entry is folded; nil: nobody waits
}

func (t *tail) add(e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.entries); n > 0 && t.entries[n-1].Seq+1 != e.Seq {
		t.entries, t.bytes = nil, 0
	}
	t.entries = append(t.entries, e)
	t.bytes += len(e.Payload)
	for t.bytes > tailBytes && len(t.entries) > 1 {
		t.bytes -= len(t.entries[0].Payload)
		t.entries[0] = Entry{} // the array stays until append outgrows it
		t.entries = t.entries[1:]
	}
	t.wake()
}

// jumped forgets the entries: the state went on without folding one by one.
func (t *tail) jumped() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries, t.bytes = nil, 0
	t.wake()
}

// wake is called with mu held.
func (t *tail) wake() {
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// movement is closed at the next fold. Called with mu held.
func (t *tail) movement() <-chan struct{} {
	if t.moved == nil {
		t.moved = make(chan struct{})
	}
	return t.moved
}

// After returns the entries after seq that were folded, oldest first, at least one, for which it waits until ctx ends,
// and not all if they are many. ErrTrimmed: they are not kept any more; read the log. The payloads are shared: read them
// only.
func (r *Replica) After(ctx context.Context, seq Seq) ([]Entry, error) {
	for {
		found, moved, err := r.tail.after(seq, r.Position().Seq)
		if err != nil || len(found) > 0 {
			return found, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// after returns the entries after seq that are kept, or what to wait for if none was folded yet. at is a position that
// was folded before the call.
func (t *tail) after(seq, at Seq) ([]Entry, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.entries)
	switch {
	case n > 0 && t.entries[n-1].Seq > seq:
		if first := t.entries[0].Seq; first > seq+1 {
			return nil, nil, ErrTrimmed
		}
		from := n - int(t.entries[n-1].Seq-seq)
		// Copied, for what is dropped later is cleared in place.
		return slices.Clone(t.entries[from:min(n, from+tailStep)]), nil, nil
	case n == 0 && at > seq:
		return nil, nil, ErrTrimmed
	}
	return nil, t.movement(), nil
}

// Await returns when the entry at seq is folded. The error is ctx's, or why nothing can be folded any more.
func (r *Replica) Await(ctx context.Context, seq Seq) error {
	for {
		r.tail.mu.Lock()
		moved := r.tail.movement()
		r.tail.mu.Unlock()
		if r.Position().Seq >= seq {
			return nil
		}
		if err := r.Health(); err != nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Offer folds an entry that another broker says was appended, if it is the next one, and tells whether it was folded,
// now or before. An entry is folded only if its checksum continues ours, so a mistaken broker cannot lead us astray
// without being found out by the log itself, which stays the truth.
func (r *Replica) Offer(e Entry) bool {
	if seq := r.Position().Seq; e.Seq > seq+1 || r.Health() != nil {
		return false
	}
	return r.foldEntry(e) == nil
}
