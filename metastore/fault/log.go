package fault

import (
	"bytes"
	"context"
	"slices"

	"github.com/runnel-io/runnel/metastore"
)

// about is a call that concerns no broker.
func about(op Op) Call { return Call{Op: op, NodeID: metastore.AnyNodeID} }

func ofSeq(op Op, seq metastore.Seq, bytes int) Call {
	c := about(op)
	c.Seq, c.Bytes = seq, bytes
	return c
}

// Append implements metastore.Log.
func (s *Store) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	do := func(next metastore.Entry) func(context.Context) error {
		return func(ctx context.Context) error { return s.inner.Append(ctx, expected, next) }
	}
	return s.tell(ctx, ofSeq(Append, next.Seq, len(next.Payload)), do(next), func() func(context.Context) error {
		return do(owned(next))
	})
}

// AppendWith implements metastore.Log.
func (s *Store) AppendWith(ctx context.Context, expected metastore.Position, next metastore.Entry, changes metastore.GroupChanges) error {
	do := func(next metastore.Entry, changes metastore.GroupChanges) func(context.Context) error {
		return func(ctx context.Context) error { return s.inner.AppendWith(ctx, expected, next, changes) }
	}
	return s.tell(ctx, ofSeq(AppendWith, next.Seq, len(next.Payload)), do(next, changes), func() func(context.Context) error {
		mine := metastore.GroupChanges{Claims: slices.Clone(changes.Claims), Offsets: slices.Clone(changes.Offsets)}
		for i, of := range mine.Offsets {
			mine.Offsets[i].Offsets = slices.Clone(of.Offsets)
		}
		return do(owned(next), mine)
	})
}

func owned(e metastore.Entry) metastore.Entry {
	e.Payload = bytes.Clone(e.Payload)
	return e
}

// Read implements metastore.Log.
func (s *Store) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	return ask(ctx, s, ofSeq(Read, after.Seq, 0), func(ctx context.Context) ([]metastore.Entry, error) {
		return s.inner.Read(ctx, after, maxBytes)
	}, nil)
}

// End implements metastore.Log.
func (s *Store) End(ctx context.Context) (metastore.Seq, error) {
	return ask(ctx, s, about(End), s.inner.End, nil)
}

// Wait implements metastore.Log.
func (s *Store) Wait(ctx context.Context, after metastore.Seq) error {
	return s.tell(ctx, ofSeq(Wait, after, 0), func(ctx context.Context) error { return s.inner.Wait(ctx, after) }, nil)
}

// SaveSnapshot implements metastore.Log.
func (s *Store) SaveSnapshot(ctx context.Context, snap metastore.Snapshot) error {
	do := func(snap metastore.Snapshot) func(context.Context) error {
		return func(ctx context.Context) error { return s.inner.SaveSnapshot(ctx, snap) }
	}
	return s.tell(ctx, ofSeq(SaveSnapshot, snap.Seq, len(snap.State)), do(snap), func() func(context.Context) error {
		mine := snap
		mine.State = bytes.Clone(snap.State)
		return do(mine)
	})
}

// LatestSnapshot implements metastore.Log.
func (s *Store) LatestSnapshot(ctx context.Context) (metastore.Snapshot, error) {
	return ask(ctx, s, about(LatestSnapshot), s.inner.LatestSnapshot, nil)
}

// Trim implements metastore.Log.
func (s *Store) Trim(ctx context.Context, before metastore.Seq, limit int) (int, error) {
	return ask(ctx, s, ofSeq(Trim, before, 0), func(ctx context.Context) (int, error) {
		return s.inner.Trim(ctx, before, limit)
	}, nil)
}
