package fsck

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// stranger is an object of a segment that the first survey does not name.
type stranger struct {
	id      metastore.SegmentID
	garbage bool // the first survey knows it as such
	size    int64
}

// unlisted is the size of an object that LIST does not tell of.
const unlisted = -1

// checkObjects merges the listing of the bucket with the segments of the survey, which come in the order of their keys,
// and has every segment's object looked at.
func (c *check) checkObjects(ctx context.Context) error {
	c.opts.Progress.enter("looking at objects")
	c.opts.Progress.segments.Store(int64(c.report.Segments))
	looks, ctx := errgroup.WithContext(ctx)
	looks.SetLimit(c.opts.Concurrency)
	absent := make(chan metastore.SegmentRuns)
	gathered := make(chan struct{})
	go func() {
		defer close(gathered)
		for s := range absent {
			c.absent = append(c.absent, s)
		}
	}()
	err := c.merge(ctx, func(s metastore.SegmentRuns, size int64) {
		looks.Go(func() error {
			there, err := c.lookAt(ctx, s, size)
			if err == nil && !there {
				absent <- s
			}
			c.opts.Progress.checked.Add(1)
			return err
		})
	})
	looked := looks.Wait() // the first of their errors ends the merge, too
	close(absent)
	<-gathered
	if looked != nil {
		return looked
	}
	return err
}

// merge calls look for every segment of the survey, with the size that its object is listed with.
func (c *check) merge(ctx context.Context, look func(metastore.SegmentRuns, int64)) error {
	segments, stop := iter.Pull(c.survey.Segments(compareKeys))
	defer stop()
	next, more := segments()
	for o, err := range c.objects.List(ctx, "", "") {
		if err != nil {
			return err
		}
		c.report.Objects++
		c.report.ObjectBytes += o.Size
		parsed, err := segment.ParseKey(o.Key)
		if err != nil {
			c.notASegment(o)
			continue
		}
		id := metastore.SegmentID(parsed)
		for more && compareKeys(next.ID, id) < 0 {
			look(next, unlisted)
			next, more = segments()
		}
		if more && next.ID == id {
			look(next, o.Size)
			next, more = segments()
			continue
		}
		c.strangers = append(c.strangers, stranger{id, c.survey.IsGarbage(id), o.Size})
	}
	for ; more; next, more = segments() {
		if err := ctx.Err(); err != nil {
			return err
		}
		look(next, unlisted)
	}
	return ctx.Err()
}

// compareKeys orders segments as their keys are, without making the keys.
func compareKeys(a, b metastore.SegmentID) int {
	return cmp.Or(cmp.Compare(a.Tier(), b.Tier()), cmp.Compare(segment.Shard(a), segment.Shard(b)), bytes.Compare(a[:], b[:]))
}

func keyOf(run metastore.Run) string {
	if run.Marker != nil {
		return ""
	}
	return segment.Key(run.Segment)
}

// judgeStrangers tells objects that were committed since, and garbage, from those that may be committed yet and those that
// never will.
func (c *check) judgeStrangers(later *metastore.Survey, now time.Time) {
	if len(c.strangers) == 0 || later.Broken {
		return
	}
	named := make(map[metastore.SegmentID]bool, len(c.strangers))
	for _, s := range c.strangers {
		named[s.id] = false
	}
	for id := range later.Named() {
		if _, ok := named[id]; ok {
			named[id] = true
		}
	}
	since := make(map[metastore.SegmentID]time.Time)
	for g := range later.Garbage() {
		if _, ok := named[g.ID]; ok {
			since[g.ID] = g.Since
		}
	}
	for _, s := range c.strangers {
		since, isGarbage := since[s.id]
		switch {
		case named[s.id]:
			c.report.CommittedSince++
		case isGarbage:
			c.addGarbage(s, now.Sub(since))
		case s.garbage: // it was deleted since it was listed
		default:
			c.judgeUnknown(s, later, now)
		}
	}
}

// addGarbage counts an object that no run names any more, for so long.
func (c *check) addGarbage(s stranger, age time.Duration) {
	c.report.Garbage++
	c.report.GarbageBytes += s.size
	if age > c.opts.GarbageGrace+c.opts.GarbageLate {
		c.report.add(Finding{Kind: UncollectedGarbage, Key: segment.Key(s.id), Size: s.size, Age: age,
			Detail: fmt.Sprintf("named by no run for %s, and it has to stay for %s", age.Round(time.Second), c.opts.GarbageGrace)})
	}
}

// judgeUnknown tells an object that the log does not know and never will from one that it may come to know.
func (c *check) judgeUnknown(s stranger, later *metastore.Survey, now time.Time) {
	bound := metastore.MaxSegmentAge
	if s.id.Tier() == 1 {
		bound = metastore.MaxRewriteAge
	}
	age := now.Sub(s.id.Time())
	refused := later.LogTime().Sub(s.id.Time()) > bound // by whoever decides on any later append
	expired := age > bound+c.opts.Grace
	if !refused && !expired && age >= -bound {
		c.report.InFlight++
		return
	}
	c.report.OrphanBytes += s.size
	c.report.add(Finding{Kind: OrphanObject, Key: segment.Key(s.id), Size: s.size, Age: age, Detail: orphanDetail(age, refused)})
}

func orphanDetail(age time.Duration, refused bool) string {
	switch {
	case age < 0:
		return fmt.Sprintf("dated %s in the future, and named by no run", (-age).Round(time.Second))
	case refused:
		return fmt.Sprintf("%s old, and named by no run: the log is past the time at which it could be committed", age.Round(time.Second))
	}
	return fmt.Sprintf("%s old, and named by no run", age.Round(time.Second))
}

// judgeAbsent reports segments whose objects are missing, if a later survey still names them.
func (c *check) judgeAbsent(later *metastore.Survey) {
	if len(c.absent) == 0 {
		return
	}
	named := make(map[metastore.SegmentID]bool, len(c.absent))
	for _, s := range c.absent {
		named[s.ID] = later.Broken // then there is no telling: better a word too many
	}
	for id := range later.Named() {
		if _, ok := named[id]; ok {
			named[id] = true
		}
	}
	for _, s := range c.absent {
		if named[s.ID] {
			c.report.add(Finding{Kind: MissingObject, Key: segment.Key(s.ID), Size: s.Size, Affects: spans(later, s.Runs),
				Detail: fmt.Sprintf("named by %s, and not in the bucket", plural(len(s.Runs), "run"))})
		}
	}
}

// spans names the offsets of runs that can be read.
func spans(survey *metastore.Survey, runs []metastore.PlacedRun) []Span {
	list := make([]Span, len(runs))
	for i, r := range runs {
		name := r.Topic.String()
		if t, ok := survey.Topic(r.Topic); ok {
			name = t.Name
		}
		marks, _ := survey.Watermarks(r.TopicPartition)
		list[i] = Span{name, r.Partition, max(r.Base, marks.LogStart), r.End()}
	}
	return list
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
