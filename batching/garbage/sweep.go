package garbage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/mark"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/planted"
)

// sweep is how far the look through the bucket has got. It begins anywhere, so that a cluster whose brokers restart often
// comes to every part of the bucket, too, and goes round.
//
// The bucket is a ring of slots: those of the 256 shards of tier 0, then those of tier 1. A slot holds the keys from that
// of its shard on, whatever they are, up to the next.
type sweep struct {
	next   time.Time // when it begins, if it has not
	began  time.Time // zero: it has not
	first  int       // slot
	passed int       // slots
	after  string    // the last key that was looked at; "": none in this slot
	seen   counts
}

// counts are what a sweep has found.
type counts struct{ objects, orphans, foreign int }

const (
	shards = 256
	tiers  = 2
	slots  = shards * tiers
)

var (
	tierNames  = [tiers]string{"t0/", "t1/"}
	shardNames = nameShards()
)

func nameShards() (names [shards]string) {
	for i := range names {
		names[i] = fmt.Sprintf("%02x", i)
	}
	return names
}

// slotKey is what sorts before all keys of a slot and after all of the slot before it in the tier.
func slotKey(slot int) string {
	if slot%shards == 0 {
		return "" // keys before the first shard's belong to it
	}
	return tierNames[slot/shards] + shardNames[slot%shards]
}

// slotOf is the slot of a key of the tier.
func slotOf(tier int, key string) int {
	rest := strings.TrimPrefix(key, tierNames[tier])
	after := sort.Search(shards, func(i int) bool { return shardNames[i] > rest })
	return tier*shards + max(after-1, 0)
}

// due tells whether the sweep should have got further by now.
func (s *sweep) due(now time.Time, every time.Duration) bool {
	if s.began.IsZero() {
		return !now.Before(s.next)
	}
	return float64(now.Sub(s.began))/float64(every) >= float64(s.passed)/slots
}

// sweepOn goes on with the look through the bucket by a page, if it is due, and tells whether another page is.
func (c *Collector) sweepOn(ctx context.Context) (behind bool, err error) {
	s := &c.sweep
	now := time.Now()
	if !s.due(now, c.opts.SweepEvery) {
		return false, nil
	}
	if s.began.IsZero() {
		if err := c.alone(ctx); err != nil {
			return false, err
		}
		*s = sweep{began: now, first: rand.N(slots)}
	}
	page, passed, after, err := c.page(ctx)
	if err != nil {
		return false, err
	}
	found, err := c.judge(ctx, page)
	if err != nil {
		return false, err
	}
	s.passed, s.after = passed, after
	s.seen.objects += found.objects
	s.seen.orphans += found.orphans
	s.seen.foreign += found.foreign
	if s.passed == slots {
		c.metrics.swept(s.seen)
		c.opts.Logger.Info("bucket looked through for orphans", "took", time.Since(s.began), "objects", s.seen.objects,
			"orphans", s.seen.orphans, "foreign", s.seen.foreign)
		*s = sweep{next: s.began.Add(c.opts.SweepEvery)}
		c.metrics.position.Set(0)
		return false, nil
	}
	c.metrics.position.Set(float64(s.passed) / slots)
	return s.due(time.Now(), c.opts.SweepEvery), nil
}

// alone is nil unless another cluster uses the bucket: all that it has stored would be orphans.
func (c *Collector) alone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	other, err := mark.OtherCluster(ctx, c.objects, c.opts.ClusterID())
	if err != nil {
		return err
	}
	if other != "" {
		return fmt.Errorf("%w, under %s. If there is no such cluster any more, and nothing of its records is wanted, delete these marks", errOtherCluster, mark.Prefix(other))
	}
	return nil
}

var errOtherCluster = errors.New("another cluster has left marks in the bucket")

// page lists the objects that come next, and returns where that got the sweep.
func (c *Collector) page(ctx context.Context) (page []objstore.Object, passed int, after string, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	s := &c.sweep
	slot := (s.first + s.passed) % slots
	tier := slot / shards
	end := (tier + 1) * shards // of the stretch of slots that one listing gives
	if slot < s.first && s.first < end {
		end = s.first // it has come round
	}
	if after = s.after; after == "" {
		after = slotKey(slot)
	}
	for o, err := range c.objects.List(ctx, tierNames[tier], after) {
		if err != nil {
			return nil, 0, "", err
		}
		at := slotOf(tier, o.Key)
		if at >= end {
			break
		}
		page = append(page, o)
		if len(page) == pageKeys {
			return page, s.passed + at - slot, o.Key, nil
		}
	}
	return page, s.passed + end - slot, "", nil
}

// candidate is an object that may be an orphan.
type candidate struct {
	object
	id metastore.SegmentID
}

// never is from when on the object's segment is not committed any more, by the log's time.
func (c *candidate) never() time.Time {
	if planted.Is(planted.OrphanTooSoon) {
		return c.id.Time()
	}
	if c.id.Tier() == 0 {
		return c.id.Time().Add(metastore.MaxSegmentAge)
	}
	return c.id.Time().Add(metastore.MaxRewriteAge)
}

// judge deletes those of listed objects that are orphans.
//
// A segment is committed, or brought in by a swap, by an entry that comes before all that are dated later than never, or it is
// not at all: whoever decides goes by the times of the entries before, also of the one that is on its way. So if a folded state
// has a time past never and does not know the segment, no entry after it names it. Hence the order:
//
//  1. the object is listed;
//  2. the log's time is past never;
//  3. an entry of ours is appended and folded. The log that we go by is then the metastore's, which did not go back in time;
//     and should the rule fail for an entry that was decided early, we have folded it;
//  4. the folded state, which is that of 2 or a later one, does not know the segment.
//
// With 4 before 2, a segment could be committed in between. When the object was listed matters not: what was committed or let
// go since is known, or rightly gone.
func (c *Collector) judge(ctx context.Context, page []objstore.Object) (counts, error) {
	found := counts{objects: len(page)}
	now := c.opts.Now()
	var suspects []candidate
	for _, o := range page {
		id, err := segment.ParseKey(o.Key)
		if err != nil {
			found.foreign++
			continue
		}
		s := candidate{object{o.Key, o.Size}, id}
		if now.Sub(s.never()) > c.opts.Margin {
			suspects = append(suspects, s)
		}
	}
	if suspects = c.unknown(suspects); len(suspects) == 0 {
		return found, nil
	}
	suspects, err := c.past(ctx, suspects)
	if err != nil || len(suspects) == 0 {
		return found, err
	}
	if err := c.log.Touch(ctx); err != nil {
		return found, fmt.Errorf("append to the log before anything is deleted: %w", err)
	}
	orphans := c.unknown(suspects)
	found.orphans = len(orphans)
	c.metrics.found.Add(float64(len(orphans)))
	for len(orphans) > 0 {
		n := min(c.batch, len(orphans))
		doomed := make([]object, n)
		for i := range doomed {
			doomed[i] = orphans[i].object
		}
		if _, _, err := c.delete(ctx, doomed, c.metrics.orphans); err != nil {
			return found, err
		}
		orphans = orphans[n:]
	}
	return found, nil
}

// past returns those of the suspects that are never committed by the log's time. In a quiet log that time stands still: an
// entry that says nothing sets it going.
func (c *Collector) past(ctx context.Context, suspects []candidate) ([]candidate, error) {
	late := func() (all []candidate) {
		at := c.log.LogTime()
		for _, s := range suspects {
			if at.Sub(s.never()) > c.opts.Margin {
				all = append(all, s)
			}
		}
		return all
	}
	if all := late(); len(all) == len(suspects) {
		return all, nil
	}
	if err := c.log.Touch(ctx); err != nil {
		return nil, fmt.Errorf("let the log's time pass: %w", err)
	}
	return late(), nil
}

// unknown returns those that the folded log does not know.
func (c *Collector) unknown(suspects []candidate) (unknown []candidate) {
	ids := make([]metastore.SegmentID, len(suspects))
	for i := range suspects {
		ids[i] = suspects[i].id
	}
	for i, known := range c.log.Known(ids) {
		if !known {
			unknown = append(unknown, suspects[i])
		}
	}
	return unknown
}
