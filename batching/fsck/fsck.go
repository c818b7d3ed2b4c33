// Package fsck proves that a bucket and a metastore agree: it reads both, changes neither, and says what does not fit.
package fsck

import (
	"cmp"
	"context"
	"iter"
	"strings"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
	"github.com/runnel-io/runnel/metastore/mark"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/patient"
)

// Metastore is what a check reads of the metastore.
type Metastore interface {
	metastore.LogReader
	// ClusterID is that of the marks that concern this log.
	ClusterID(ctx context.Context) (string, error)
	// Clock is the metastore's, which segments are dated by.
	Clock(ctx context.Context) (time.Time, error)
	GroupAges(ctx context.Context, from string, limit int) ([]metastore.GroupAge, error)
	FetchOffsets(ctx context.Context, groupID string, partitions []metastore.TopicPartition) ([]metastore.CommittedOffset, error)
}

// attempts at one request, before the check gives up.
const attempts = 3

// Objects is what a check reads of the bucket.
type Objects interface {
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
	GetSuffix(ctx context.Context, key string, length int64) ([]byte, error)
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[objstore.Object, error]
}

// Options of a check. The zero value holds the defaults.
type Options struct {
	// Deep reads every byte of every object that the log names, not the indexes at their ends alone.
	Deep bool
	// Concurrency is how many objects are looked at at a time. Default 16.
	Concurrency int
	// MaxFindings is how many findings of a kind the report has in full; further ones are counted. Default 1000.
	MaxFindings int
	// Grace is how much longer than metastore.MaxSegmentAge (MaxRewriteAge in tier 1) an object without a run counts as in flight. Default 1 minute:
	// an append whose answer was lost may still appear for 30 s, and the clocks of brokers differ from the metastore's by
	// less than the rest.
	Grace time.Duration
	// Stuck is how much longer than its time-out a transaction is open before that is worth a warning. Default 10 minutes.
	Stuck time.Duration
	// GarbageGrace is how long objects stay that no run names any more (garbage.grace). Default 1 hour.
	GarbageGrace time.Duration
	// GarbageLate is how much longer one may be there before that is worth a warning. Default 1 hour.
	GarbageLate time.Duration
	// Compacted tells whether a topic is, for log compaction leaves gaps. Default: by what was set for the topic itself.
	Compacted func(*metastore.Topic) bool
	// Progress, if set, is kept up to date.
	Progress *Progress
}

func (o Options) withDefaults() Options {
	o.Concurrency = cmp.Or(o.Concurrency, 16)
	o.MaxFindings = cmp.Or(o.MaxFindings, 1000)
	o.Grace = cmp.Or(o.Grace, time.Minute)
	o.Stuck = cmp.Or(o.Stuck, 10*time.Minute)
	o.GarbageGrace = cmp.Or(o.GarbageGrace, time.Hour)
	o.GarbageLate = cmp.Or(o.GarbageLate, time.Hour)
	if o.Compacted == nil {
		o.Compacted = func(t *metastore.Topic) bool { return strings.Contains(t.Configs["cleanup.policy"], "compact") }
	}
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	return o
}

// check is one run of Check; it lives no longer.
//
// Brokers upload and commit while it looks, so what it concludes depends on the order in which it looks:
//
//  1. the clock, then the log, folded up to its end: the first survey;
//  2. the bucket: one LIST, merged with the segments of the first survey, which come in the same order; of each segment
//     its object; then the log again where marks say how far brokers have seen it;
//  3. the offsets of groups;
//  4. the clock and the log again: the second survey, unless nothing needs it.
//
// An object is there before a commit names it, and nothing deletes one that is named. So whatever the first survey names
// must be there in 2, however long that takes, and there is nothing to be confused about in what was committed since:
// nobody looks for it. LIST first and log afterwards would be as right, but would have to keep the listing in memory, or
// read the whole log before the first object of it could be told from a lost one.
//
// Missing is said only of what the second survey names too: runs go meanwhile, by retention, by rewrites, with their topics,
// and after a grace their objects.
//
// An object that is listed and not named by the first survey may have been committed since, be about to be, be garbage that
// waits for its collection, or be an orphan. If the second survey, which was read after the LIST, names it, it was committed;
// what either knows as garbage is that. If neither does, its age decides: its key holds its time T by the metastore's clock, and no
// broker commits a segment older than metastore.MaxSegmentAge, nor puts one in place of others that is older than
// MaxRewriteAge. Two
// clocks can say that it is:
//
//   - The log's own: once an entry is dated later than T + that age, every later append is decided on a state that
//     holds that entry, and refuses the segment. That is certain.
//   - The metastore's, with a grace: an idle log has no such entry. A broker that decided on a commit in time, was
//     suspended right before the append, and wakes an hour later into a log that has not moved, appends it still. So
//     this is enough to report an orphan, and not enough to delete one: whoever does must append an entry first.
//
// Offsets of groups are read before the second survey, so that every record that they can speak of is in it.
type check struct {
	meta    Metastore
	objects Objects
	opts    Options
	report  *reporter

	cluster string
	began   time.Time // by the metastore's clock, before survey
	survey  *metastore.Survey

	marks     []mark.Mark             // listed, the newest of this cluster
	indexes   []index.Found           // likewise
	strangers []stranger              // listed, and not named by the survey
	absent    []metastore.SegmentRuns // named by the survey, and not there
	suspects  []suspect               // offsets of groups that do not fit the survey
}

// Check looks at everything and tells what it found. After an error it could not finish, and the report has what was found
// until then. It takes the memory that a broker's folded state takes, once, and for each run 12 bytes more, for each
// segment 12, for each object that no run names 32, and what Concurrency objects take: 64 KiB each, or with Deep 4 MiB,
// or the largest record batch if that is more.
func Check(ctx context.Context, meta Metastore, objects Objects, opts Options) (*Report, error) {
	opts = opts.withDefaults()
	c := &check{meta: meta, objects: patient.New(objects, attempts), opts: opts, report: newReporter(opts)}
	err := c.run(ctx)
	return c.report.done(), err
}

func (c *check) run(ctx context.Context) (err error) {
	c.opts.Progress.enter("reading the commit log")
	if c.cluster, err = c.meta.ClusterID(ctx); err != nil {
		return err
	}
	if c.began, err = c.meta.Clock(ctx); err != nil {
		return err
	}
	if c.survey, err = metastore.TakeSurvey(ctx, c.meta); err != nil {
		return err
	}
	c.checkLog()
	if err := c.checkObjects(ctx); err != nil {
		return err
	}
	if err := c.checkMarks(ctx); err != nil {
		return err
	}
	if err := c.checkIndexes(ctx); err != nil {
		return err
	}
	if err := c.checkGroups(ctx); err != nil {
		return err
	}
	return c.lookAgain(ctx)
}

// lookAgain takes the second survey, for what the first leaves open.
func (c *check) lookAgain(ctx context.Context) error {
	if len(c.strangers)+len(c.absent)+len(c.suspects) == 0 {
		return nil
	}
	c.opts.Progress.enter("reading the commit log again")
	c.survey = nil // two are not needed at a time
	now, err := c.meta.Clock(ctx)
	if err != nil {
		return err
	}
	later, err := metastore.TakeSurvey(ctx, c.meta)
	if err != nil {
		return err
	}
	c.judgeStrangers(later, now)
	c.judgeAbsent(later)
	return c.judgeSuspects(ctx, later)
}
