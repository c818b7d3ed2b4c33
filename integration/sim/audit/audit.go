// Package audit examines what a simulated cluster leaves behind: whether its brokers, its snapshots and its log say the
// same.
package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/metastore"
)

// Names of findings.
const (
	// BrokenLog: the log is not what was appended to it, in one chain.
	BrokenLog = "broken-log"
	// StateMismatch: a broker or a snapshot has folded the log into something else than the log says.
	StateMismatch = "state-mismatch"
	// SizeMismatch: what a partition holds does not add up to its borders.
	SizeMismatch = "size-mismatch"
)

// Finding is something that must not be.
type Finding struct{ Name, Text string }

// Replica is a broker's copy of the log's state, in use or left by a broker that has ended.
type Replica interface {
	Digest() (metastore.Position, [sha256.Size]byte)
	Differences(entries *metastore.Replica) []string
}

// Examine compares the archive of a log with its store, with all snapshots that were saved, and with what brokers have
// folded, by their names: each as of the position where it is. Nobody may append meanwhile. The error says that something
// could not be examined.
func Examine(ctx context.Context, archive *Archive, brokers map[string]Replica) ([]Finding, error) {
	e := &examination{archive: archive}
	e.entries, e.snapshots = archive.kept()
	if err := e.log(ctx); err != nil || len(e.findings) > 0 {
		return e.findings, err // what follows would be hard to understand
	}
	if err := e.states(ctx, brokers); err != nil {
		return e.findings, err
	}
	return e.findings, nil
}

type examination struct {
	archive   *Archive
	entries   []metastore.Entry
	snapshots []metastore.Snapshot
	findings  []Finding
}

func (e *examination) found(name, format string, args ...any) {
	e.findings = append(e.findings, Finding{name, fmt.Sprintf(format, args...)})
}

// log compares the archive with what the store still has.
func (e *examination) log(ctx context.Context) error {
	at := metastore.Position{}
	for i := range e.entries {
		next := at.Next(e.entries[i].Payload)
		if e.entries[i].Position != next.Position {
			e.found(BrokenLog, "entry %d is at %v and follows %v", next.Seq, e.entries[i].Position, at)
			return nil
		}
		at = next.Position
	}
	end, err := e.archive.End(ctx)
	if err != nil {
		return fmt.Errorf("look for the end of the log: %w", err)
	}
	if end != at.Seq {
		e.found(BrokenLog, "the log ends at %d, and %d was appended last", end, at.Seq)
		return nil
	}
	return e.kept(ctx, at)
}

// kept compares the entries that the store has: those after the last snapshot, and what was not trimmed before it.
func (e *examination) kept(ctx context.Context, end metastore.Position) error {
	after, oldest := metastore.Position{}, 0
	for {
		entries, err := e.archive.Read(ctx, after, 1<<20)
		switch {
		case errors.Is(err, metastore.ErrTrimmed):
			if oldest == len(e.entries) {
				e.found(BrokenLog, "nothing is left of the log")
				return nil
			}
			oldest++
			after = e.entries[oldest-1].Position
			continue
		case errors.Is(err, metastore.ErrRegressed):
			e.found(BrokenLog, "the store lost entry %d: %v", after.Seq, err)
			return nil
		case err != nil:
			return fmt.Errorf("read the log after %d: %w", after.Seq, err)
		}
		if len(entries) == 0 {
			if after != end {
				e.found(BrokenLog, "the entries that are left end at %v, not at %v", after, end)
			}
			return nil
		}
		for _, is := range entries {
			was := e.entries[is.Seq-1]
			if is.Position != was.Position || string(is.Payload) != string(was.Payload) {
				e.found(BrokenLog, "entry %d is not what was appended", is.Seq)
			}
			after = is.Position
		}
	}
}

// claim is what somebody says that the log has become at a position.
type claim struct {
	by    string
	of    Replica
	at    metastore.Position
	sum   [sha256.Size]byte
	whole bool // it is compared field by field, too: see saved
}

func claimOf(by string, r Replica) claim {
	at, sum := r.Digest()
	return claim{by: by, of: r, at: at, sum: sum}
}

// differences says in what the state that is claimed differs from what the entries give.
func (c *claim) differences(entries *metastore.Replica) string {
	if all := c.of.Differences(entries); len(all) > 0 {
		return strings.Join(all, "; ")
	}
	return "in nothing that can be named: one state has two digests"
}

// states folds the log from its first entry on, and compares on the way what others have made of it.
func (e *examination) states(ctx context.Context, brokers map[string]Replica) error {
	claims := e.saved(ctx)
	for name, r := range brokers {
		claims = append(claims, claimOf(name, r))
	}
	last, err := e.fromLastSnapshot(ctx)
	if err != nil {
		return err
	}
	claims = append(claims, last...)
	slices.SortFunc(claims, func(a, b claim) int { return cmp.Or(cmp.Compare(a.at.Seq, b.at.Seq), cmp.Compare(a.by, b.by)) })
	return e.compare(ctx, claims)
}

// saved is what snapshots say. They are compared field by field: a digest is made of what a snapshot holds, so what is missing
// from one is missing from the other.
func (e *examination) saved(ctx context.Context) []claim {
	var claims []claim
	for i := range e.snapshots {
		s := &e.snapshots[i]
		name := fmt.Sprintf("the snapshot at %d", s.Seq)
		r, err := e.fold(ctx, &past{entries: e.entries, end: s.Seq, snapshot: s})
		if err != nil {
			e.found(StateMismatch, "%s cannot be read: %v", name, err)
			continue
		}
		c := claimOf(name, r)
		c.whole = true
		claims = append(claims, c)
	}
	return claims
}

// fromLastSnapshot folds the log as a broker does that starts now.
func (e *examination) fromLastSnapshot(ctx context.Context) ([]claim, error) {
	s, err := e.archive.LatestSnapshot(ctx)
	if errors.Is(err, metastore.ErrNoSnapshot) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the last snapshot: %w", err)
	}
	name := fmt.Sprintf("a broker that starts at the snapshot of %d", s.Seq)
	r, err := e.fold(ctx, &past{entries: e.entries, end: metastore.Seq(len(e.entries)), snapshot: &s})
	if err != nil {
		e.found(StateMismatch, "%s: %v", name, err)
		return nil, nil
	}
	return []claim{claimOf(name, r)}, nil
}

func (e *examination) fold(ctx context.Context, log metastore.Log) (*metastore.Replica, error) {
	r := metastore.NewReplica(log, metastore.ReplicaOptions{})
	return r, r.Open(ctx)
}

// compare goes through claims by their position.
func (e *examination) compare(ctx context.Context, claims []claim) error {
	log := &past{entries: e.entries}
	r := metastore.NewReplica(log, metastore.ReplicaOptions{})
	end := metastore.Seq(len(e.entries))
	for _, c := range claims {
		if c.at.Seq > end {
			e.found(StateMismatch, "%s is at %d, beyond the end of the log at %d", c.by, c.at.Seq, end)
			continue
		}
		log.end = c.at.Seq
		if err := r.CatchUp(ctx); err != nil {
			return fmt.Errorf("fold the log up to %d: %w", c.at.Seq, err)
		}
		switch at, sum := r.Digest(); {
		case c.at != at:
			e.found(StateMismatch, "%s is at %d with the checksum %x, the log has %x", c.by, c.at.Seq, c.at.Checksum, at.Checksum)
		case c.sum != sum:
			e.found(StateMismatch, "%s has another state at %d than the log gives: %s", c.by, c.at.Seq, c.differences(r))
		case c.whole:
			for _, difference := range c.of.Differences(r) {
				e.found(StateMismatch, "%s: %s", c.by, difference)
			}
		}
	}
	log.end = end
	if err := r.CatchUp(ctx); err != nil {
		return fmt.Errorf("fold the log: %w", err)
	}
	e.sizes(r)
	return nil
}
