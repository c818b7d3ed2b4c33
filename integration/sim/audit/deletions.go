package audit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// EarlyDeletion: an object was deleted that a run named, or that had not had its grace as garbage, or that the log might have
// come to know.
const EarlyDeletion = "early-deletion"

// Objects is what brokers need of an object store.
type Objects interface {
	objstore.Store
	Check(ctx context.Context) error
}

// Bucket is an object store that remembers what was deleted from it, when, and how long the log was then. It stands before the
// store that all brokers share, behind all faults.
type Bucket struct {
	Objects
	archive *Archive

	mu      sync.Mutex
	deleted []deletion // the first of each key
	known   map[string]bool
}

type deletion struct {
	id  metastore.SegmentID
	at  time.Time
	end metastore.Seq
}

// NewBucket remembers what is deleted from now on.
func NewBucket(objects Objects, archive *Archive) *Bucket {
	return &Bucket{Objects: objects, archive: archive, known: map[string]bool{}}
}

// Delete implements objstore.Store.
func (b *Bucket) Delete(ctx context.Context, keys []string) error {
	if err := b.Objects.Delete(ctx, keys); err != nil {
		return err
	}
	end := b.archive.end()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		if id, err := segment.ParseKey(key); err == nil && !b.known[key] {
			b.known[key] = true
			b.deleted = append(b.deleted, deletion{id, time.Now(), end})
		}
	}
	return nil
}

// Deleted is how many segments' objects were deleted.
func (b *Bucket) Deleted() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.deleted)
}

func (a *Archive) end() metastore.Seq {
	a.mu.Lock()
	defer a.mu.Unlock()
	return metastore.Seq(len(a.entries))
}

// Deletions judges what was deleted from a bucket by what the log said at that time: garbage has a grace, of time that passed,
// whatever the brokers' and the metastore's clocks did; and what the log does not know must be so old, by the log's own time, that
// it never will. Nobody may append or delete meanwhile.
func Deletions(ctx context.Context, b *Bucket, grace time.Duration) ([]Finding, error) {
	e := &examination{archive: b.archive}
	e.entries, _ = b.archive.kept()
	times := b.archive.times()
	b.mu.Lock()
	all := slices.Clone(b.deleted)
	b.mu.Unlock()
	slices.SortStableFunc(all, func(a, b deletion) int { return cmp.Compare(a.end, b.end) })
	log := &past{entries: e.entries}
	r := metastore.NewReplica(log, metastore.ReplicaOptions{})
	var began []time.Time // of garbage, by its number
	var garbage map[metastore.SegmentID]time.Time
	for i := range all {
		d := &all[i]
		for log.end < d.end {
			log.end++
			if err := r.CatchUp(ctx); err != nil {
				return e.findings, fmt.Errorf("fold the log up to %d: %w", log.end, err)
			}
			for int64(len(began)) < r.GarbageEnd() {
				began = append(began, times[log.end-1])
			}
			garbage = nil
		}
		if garbage == nil {
			garbage = map[metastore.SegmentID]time.Time{}
			for _, g := range r.Garbage(math.MaxInt) {
				garbage[g.ID] = began[g.Number] // or when it was decided, if the append took effect late
				if g.Since.Before(began[g.Number]) {
					garbage[g.ID] = g.Since
				}
			}
		}
		e.deletion(d, r, garbage, grace)
	}
	return e.findings, nil
}

func (e *examination) deletion(d *deletion, r *metastore.Replica, garbage map[metastore.SegmentID]time.Time, grace time.Duration) {
	bound := metastore.MaxSegmentAge
	if d.id.Tier() == 1 {
		bound = metastore.MaxRewriteAge
	}
	since, isGarbage := garbage[d.id]
	switch {
	case isGarbage && d.at.Sub(since) < grace:
		e.found(EarlyDeletion, "%s was garbage for %s at entry %d, and has to stay for %s", segment.Key(d.id), d.at.Sub(since), d.end, grace)
	case isGarbage:
	case r.Known([]metastore.SegmentID{d.id})[0]:
		e.found(EarlyDeletion, "%s was no garbage at entry %d", segment.Key(d.id), d.end)
	case r.LogTime().Sub(d.id.Time()) <= bound:
		e.found(EarlyDeletion, "%s was unknown at entry %d, and by the time of the log %s old, when the log may know what is %s old",
			segment.Key(d.id), d.end, r.LogTime().Sub(d.id.Time()), bound)
	}
}
