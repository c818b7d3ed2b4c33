package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Archive is a metastore that keeps what others may remove: every entry of the log, and every snapshot that was saved. It
// stands before the store that all brokers share, behind all faults, so that whatever takes effect goes through it.
type Archive struct {
	metastore.Store

	mu        sync.Mutex
	entries   []metastore.Entry // by Seq, from 1; the zero value where one is missing
	appended  []time.Time       // when they were, by no broker's clock
	snapshots []metastore.Snapshot
}

// mostSnapshots bounds those that are kept; there are far fewer in a run of minutes.
const mostSnapshots = 1000

// NewArchive keeps what goes into an empty store from now on.
func NewArchive(store metastore.Store) *Archive { return &Archive{Store: store} }

// Append implements metastore.Log.
func (a *Archive) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	kept := own(next)
	err := a.Store.Append(ctx, expected, next)
	if err == nil {
		a.keep(kept)
	}
	return err
}

// AppendWith implements metastore.Log.
func (a *Archive) AppendWith(ctx context.Context, expected metastore.Position, next metastore.Entry, changes metastore.GroupChanges) error {
	kept := own(next)
	err := a.Store.AppendWith(ctx, expected, next, changes)
	if err == nil {
		a.keep(kept)
	}
	return err
}

func own(e metastore.Entry) metastore.Entry {
	e.Payload = bytes.Clone(e.Payload)
	return e
}

// keep puts an entry at its place: those who append after each other need not come here in their order.
func (a *Archive) keep(e metastore.Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for metastore.Seq(len(a.entries)) < e.Seq {
		a.entries, a.appended = append(a.entries, metastore.Entry{}), append(a.appended, time.Time{})
	}
	a.entries[e.Seq-1], a.appended[e.Seq-1] = e, time.Now()
}

// SaveSnapshot implements metastore.Log.
func (a *Archive) SaveSnapshot(ctx context.Context, s metastore.Snapshot) error {
	kept := s
	kept.State = bytes.Clone(s.State)
	err := a.Store.SaveSnapshot(ctx, s)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil && len(a.snapshots) < mostSnapshots {
		a.snapshots = append(a.snapshots, kept)
	}
	return err
}

// kept returns what is there.
func (a *Archive) kept() ([]metastore.Entry, []metastore.Snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.entries), slices.Clone(a.snapshots)
}

// times are when the entries were appended.
func (a *Archive) times() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.appended)
}

// past is the log as it was at some time: it ends where end says, and has one snapshot, or none.
type past struct {
	entries  []metastore.Entry // all, from the first
	end      metastore.Seq
	snapshot *metastore.Snapshot
}

var errPast = errors.New("what is past cannot be changed")

func (p *past) Read(_ context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	if after.Seq > p.end {
		return nil, fmt.Errorf("read after %d of %d: %w", after.Seq, p.end, metastore.ErrRegressed)
	}
	if at := p.at(after.Seq); at != after {
		return nil, fmt.Errorf("read after %d: its checksum is %x, not %x: %w", after.Seq, at.Checksum, after.Checksum, metastore.ErrRegressed)
	}
	n, size := after.Seq, 0
	for n < p.end && (n == after.Seq || size < maxBytes) {
		size += len(p.entries[n].Payload)
		n++
	}
	return p.entries[after.Seq:n], nil
}

func (p *past) at(seq metastore.Seq) metastore.Position {
	if seq == 0 {
		return metastore.Position{}
	}
	return p.entries[seq-1].Position
}

func (p *past) End(context.Context) (metastore.Seq, error) { return p.end, nil }

func (p *past) LatestSnapshot(context.Context) (metastore.Snapshot, error) {
	if p.snapshot == nil {
		return metastore.Snapshot{}, metastore.ErrNoSnapshot
	}
	return *p.snapshot, nil
}

func (p *past) Wait(ctx context.Context, _ metastore.Seq) error {
	<-ctx.Done()
	return ctx.Err()
}

func (p *past) Append(context.Context, metastore.Position, metastore.Entry) error { return errPast }
func (p *past) AppendWith(context.Context, metastore.Position, metastore.Entry, metastore.GroupChanges) error {
	return errPast
}
func (p *past) SaveSnapshot(context.Context, metastore.Snapshot) error { return errPast }
func (p *past) Trim(context.Context, metastore.Seq, int) (int, error)  { return 0, errPast }
