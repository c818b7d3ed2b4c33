package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Append implements metastore.Log.
func (s *Store) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	if next.Seq != expected.Seq+1 {
		return fmt.Errorf("append entry %d after %d: not the next", next.Seq, expected.Seq)
	}
	if err := checkSize(len(next.Payload)); err != nil {
		return fmt.Errorf("append entry %d: %w", next.Seq, err)
	}
	next.Payload = append([]byte{}, next.Payload...)
	err := s.update(ctx, func(time.Time) (change, error) {
		if end := s.state.end(); end != expected {
			return nil, fmt.Errorf("append entry %d: the log ends at %d: %w", next.Seq, end.Seq, metastore.ErrConflict)
		}
		return &logEntry{next}, nil
	})
	if err == nil {
		s.wake()
	}
	return err
}

// AppendWith implements metastore.Log. A frame of the journal holds the rows and the entry, or none of them.
func (s *Store) AppendWith(ctx context.Context, expected metastore.Position, next metastore.Entry, with metastore.GroupChanges) error {
	if next.Seq != expected.Seq+1 {
		return fmt.Errorf("append entry %d after %d: not the next", next.Seq, expected.Seq)
	}
	if err := checkSize(len(next.Payload)); err != nil {
		return fmt.Errorf("append entry %d: %w", next.Seq, err)
	}
	next.Payload = append([]byte{}, next.Payload...)
	err := s.updateAll(ctx, func(time.Time) ([]change, error) {
		if end := s.state.end(); end != expected {
			return nil, fmt.Errorf("append entry %d: the log ends at %d: %w", next.Seq, end.Seq, metastore.ErrConflict)
		}
		if stale := s.state.staleClaims(with.Claims); len(stale) > 0 {
			return nil, &metastore.FencedError{Claims: stale}
		}
		return append(s.state.offsetChanges(with.Offsets), &logEntry{next}), nil
	})
	if err == nil {
		s.wake()
	}
	return err
}

// staleClaims returns the claims that are not the latest of their groups.
func (s *state) staleClaims(claims []metastore.GroupClaim) []metastore.GroupClaim {
	var stale []metastore.GroupClaim
	for _, c := range claims {
		if g := s.groups[c.Group]; g == nil || g.Epoch != c.Epoch {
			stale = append(stale, c)
		}
	}
	return stale
}

// offsetChanges sets offsets, and creates the groups that do not exist.
func (s *state) offsetChanges(all []metastore.GroupOffsets) []change {
	var changes []change
	epoch := s.groupEpoch
	for _, of := range all {
		if s.groups[of.Group] == nil {
			epoch++
			changes = append(changes, &groupClaim{of.Group, epoch, metastore.AnyNodeID})
		}
		changes = append(changes, &offsetsCommit{of.Group, slices.Clone(of.Offsets)})
	}
	return changes
}

// Read implements metastore.Log.
func (s *Store) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	var found []metastore.Entry
	err := s.view(ctx, func(time.Time) error {
		var err error
		found, err = s.state.read(after, maxBytes)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i].Payload = append([]byte{}, found[i].Payload...)
	}
	return found, nil
}

// read returns the entries after a position. Their payloads are the state's own.
func (s *state) read(after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	switch end := s.end(); {
	case after.Seq < s.base.Seq:
		return nil, fmt.Errorf("read after %d, oldest entry is %d: %w", after.Seq, s.base.Seq+1, metastore.ErrTrimmed)
	case after.Seq > end.Seq:
		return nil, fmt.Errorf("read after %d, newest entry is %d: %w", after.Seq, end.Seq, metastore.ErrRegressed)
	}
	first := int(after.Seq - s.base.Seq)
	at := s.base
	if first > 0 {
		at = s.entries[first-1].Position
	}
	if at.Checksum != after.Checksum {
		return nil, fmt.Errorf("read after %d: its checksum is %x, not %x: %w",
			after.Seq, at.Checksum, after.Checksum, metastore.ErrRegressed)
	}
	n, size := 0, 0
	for _, e := range s.entries[first:] {
		if size += len(e.Payload); n > 0 && size > maxBytes {
			break
		}
		n++
	}
	return slices.Clone(s.entries[first : first+n]), nil
}

// End implements metastore.Log.
func (s *Store) End(ctx context.Context) (metastore.Seq, error) {
	var end metastore.Seq
	err := s.view(ctx, func(time.Time) error {
		end = s.state.end().Seq
		return nil
	})
	return end, err
}

// Wait implements metastore.Log.
func (s *Store) Wait(ctx context.Context, after metastore.Seq) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	end, news := s.state.end().Seq, s.news
	s.mu.Unlock()
	if end > after {
		return nil
	}
	poll := time.NewTimer(s.opts.PollInterval)
	defer poll.Stop()
	select {
	case <-news:
		return nil
	case <-poll.C:
		return nil
	case <-s.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SaveSnapshot implements metastore.Log.
func (s *Store) SaveSnapshot(ctx context.Context, snap metastore.Snapshot) error {
	if err := checkSize(len(snap.State)); err != nil {
		return fmt.Errorf("save snapshot at %d: %w", snap.Seq, err)
	}
	snap.State = bytes.Clone(snap.State)
	return s.update(ctx, func(time.Time) (change, error) {
		if kept := s.state.snapshot; kept != nil && kept.Seq >= snap.Seq {
			return nil, nil
		}
		if _, err := s.state.read(snap.Position, 0); err != nil {
			return nil, fmt.Errorf("save snapshot: %w", err)
		}
		return &snapshot{snap}, nil
	})
}

// LatestSnapshot implements metastore.Log.
func (s *Store) LatestSnapshot(ctx context.Context) (metastore.Snapshot, error) {
	var snap metastore.Snapshot
	err := s.view(ctx, func(time.Time) error {
		if s.state.snapshot == nil {
			return metastore.ErrNoSnapshot
		}
		snap = *s.state.snapshot
		return nil
	})
	snap.State = bytes.Clone(snap.State)
	return snap, err
}

// Trim implements metastore.Log.
func (s *Store) Trim(ctx context.Context, before metastore.Seq, limit int) (int, error) {
	trimmed := 0
	err := s.update(ctx, func(time.Time) (change, error) {
		if s.state.snapshot == nil {
			return nil, nil
		}
		oldest := s.state.base.Seq + 1
		through := min(before-1, s.state.snapshot.Seq, s.state.end().Seq-1, oldest-1+metastore.Seq(max(limit, 0)))
		if through < oldest {
			return nil, nil
		}
		trimmed = int(through - oldest + 1)
		return &logTrim{through}, nil
	})
	if err != nil {
		return 0, err
	}
	return trimmed, nil
}
