// Package rebuild makes a lost metastore anew from the bucket: from the newest copy of what it knew (metastore/index), and from
// the objects of segments, of which those of tier 1 say which offsets they have.
package rebuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
	"github.com/runnel-io/runnel/objstore/patient"
)

var (
	// ErrNotEmpty: the metastore has been used. A rebuild never changes what somebody may need.
	ErrNotEmpty = errors.New("the metastore is not empty")
	// ErrInUse: something still writes to the bucket or serves from the metastore.
	ErrInUse = errors.New("the cluster is in use")
	// ErrNoIndex: no index object can be read, so nothing says what topics are called.
	ErrNoIndex = errors.New("no index")
)

// Metastore is the new one; a metastore.Store is one.
type Metastore interface {
	End(ctx context.Context) (metastore.Seq, error)
	LatestSnapshot(ctx context.Context) (metastore.Snapshot, error)
	ClusterID(ctx context.Context) (string, error)
	Clock(ctx context.Context) (time.Time, error)
	LiveBrokers(ctx context.Context) ([]metastore.Broker, error)

	ClaimGroup(ctx context.Context, groupID string, owner metastore.NodeID) (metastore.GroupRecord, error)
	CommitOffsets(ctx context.Context, groupID string, epoch metastore.GroupEpoch, offsets []metastore.CommittedOffset) error
	Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error
	Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error)
	SaveSnapshot(ctx context.Context, s metastore.Snapshot) error
}

// Options of a rebuild. The zero value holds the defaults.
type Options struct {
	// DryRun looks and reports, and changes nothing.
	DryRun bool
	// RecoverUnknown makes topics that only objects of tier 1 know under names of their own. Without an index object that can
	// be read, all topics are such.
	RecoverUnknown bool
	// Cluster is the lost one. Default: the one with the newest index object.
	Cluster string
	// Index is the key of the index object to be used. Default: the newest that can be read.
	Index string
	// Settle is for how long nothing must have been written to the bucket: who writes still serves from the metastore that was
	// lost. Default 1 minute; negative: it does not matter.
	Settle time.Duration
	// Concurrency is how many objects are read at a time. Default 16.
	Concurrency int
	// MaxFindings is how many ranges of offsets and objects the report has; further ones are counted. Default 1000.
	MaxFindings int
	// Progress, if set, is kept up to date.
	Progress *Progress
}

func (o Options) withDefaults() Options {
	o.Settle = cmp.Or(o.Settle, time.Minute)
	o.Concurrency = cmp.Or(o.Concurrency, 16)
	o.MaxFindings = cmp.Or(o.MaxFindings, 1000)
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	return o
}

// rebuild is one run of Rebuild; it lives no longer.
//
// Until the very end it reads, and nothing but memory holds what it makes. Then, in this order:
//
//  1. a mark in the bucket ends the lost cluster: brokers that still run on its metastore, because it is not lost after all,
//     refuse it from their next look on (mark.Rebuilt);
//  2. the offsets of groups are written, group after group;
//  3. the whole state becomes the first entry of the log, in one append that either is there or is not.
//
// A rebuild that dies before 3 leaves an empty log, and is begun anew: offsets are set again, to the same. Brokers that find
// an empty log and an index object of another cluster in the bucket do not serve from it, so no cluster begins on what is
// half done. A broker that began on the empty log before the rebuild makes 3 fail, as the compare-and-set does that it is.
type rebuild struct {
	meta    Metastore
	objects Objects
	opts    Options
	report  *reporter

	now     time.Time // the new metastore's clock
	bucket  *listing
	index   *index.Object // nil: there is none
	state   *metastore.Restoration
	found   *found
	planner *planner
	named   map[metastore.SegmentID]*namedObject // by the index

	mu         sync.Mutex   // of report.Stale
	partitions []*partition // those that change
	outcomes   *outcomes
	released   []metastore.GroupOffsets // by transactions that turn out to be committed
}

// Rebuild makes the metastore anew, or with Options.DryRun tells what it would. After an error nothing serves from the
// metastore, and Rebuild may be called again; the report has what was found until then. It takes the memory that a broker's
// folded state takes, twice; for each object of the bucket some 40 bytes, for each run of tier 1 that the index does not know
// 64; for each run of a partition that is not as the index says 100, and as much for each transaction beyond the index.
func Rebuild(ctx context.Context, meta Metastore, objects Objects, opts Options) (*Report, error) {
	opts = opts.withDefaults()
	b := &rebuild{
		meta: meta, objects: readPatiently{patient.New(objects, attempts), objects}, opts: opts, outcomes: newOutcomes(),
		report: &reporter{Report: &Report{DryRun: opts.DryRun}, most: opts.MaxFindings},
	}
	err := b.run(ctx)
	return b.report.done(), err
}

func (b *rebuild) run(ctx context.Context) error {
	if err := b.begin(ctx); err != nil {
		return err
	}
	if err := b.choose(ctx); err != nil {
		return err
	}
	if err := b.look(ctx); err != nil {
		return err
	}
	if err := b.planAll(ctx); err != nil {
		return err
	}
	if err := b.settle(ctx); err != nil {
		return err
	}
	b.count()
	if b.opts.DryRun {
		return nil
	}
	return b.write(ctx)
}

// begin makes sure that nothing is overwritten and nobody is in the way.
func (b *rebuild) begin(ctx context.Context) (err error) {
	b.opts.Progress.enter("listing the bucket", 0)
	if b.now, err = b.meta.Clock(ctx); err != nil {
		return err
	}
	if b.report.Cluster, err = b.meta.ClusterID(ctx); err != nil {
		return err
	}
	end, err := b.meta.End(ctx)
	if err != nil {
		return err
	}
	if end > 0 {
		return fmt.Errorf("%w: its log has %d entries. Rebuild into a new database, or an empty directory", ErrNotEmpty, end)
	}
	if s, err := b.meta.LatestSnapshot(ctx); err == nil {
		return fmt.Errorf("%w: it has a snapshot of entry %d", ErrNotEmpty, s.Seq)
	} else if !errors.Is(err, metastore.ErrNoSnapshot) {
		return err
	}
	live, err := b.meta.LiveBrokers(ctx)
	if err != nil {
		return err
	}
	if len(live) > 0 {
		return fmt.Errorf("%w: %s on the new metastore, the first of them node %d at %s:%d. Stop them", ErrInUse, plural(len(live), "broker"), live[0].NodeID, live[0].Host, live[0].Port)
	}
	if b.bucket, err = list(ctx, b.objects); err != nil {
		return err
	}
	b.report.Objects, b.report.ObjectBytes = b.bucket.objects, b.bucket.bytes
	return b.vacant()
}

// vacant makes sure that no cluster works on the bucket, and that the new metastore's has never done.
func (b *rebuild) vacant() error {
	own := b.report.Cluster
	if n := b.bucket.marks[own]; n > 0 {
		return fmt.Errorf("%w: brokers of its cluster %s have left %s in the bucket, so its log is empty because it was lost. Rebuild into a database with a cluster id of its own",
			ErrNotEmpty, own, plural(n, "mark"))
	}
	for _, f := range b.bucket.indexes {
		if f.Cluster == own {
			return fmt.Errorf("%w: %s is an index of its cluster, so its log is empty because it was lost. Rebuild into a database with a cluster id of its own", ErrNotEmpty, f.Key())
		}
	}
	if ago := b.now.Sub(b.bucket.newest); b.opts.Settle > 0 && !b.bucket.newest.IsZero() && ago < b.opts.Settle {
		return fmt.Errorf("%w: something was written to the bucket %s ago. Stop all brokers, also those that cannot be reached from the others, and wait for %s",
			ErrInUse, max(ago, 0).Round(time.Second), b.opts.Settle)
	}
	return nil
}

// look finds out which objects of the index are there, and reads the footers of the others.
func (b *rebuild) look(ctx context.Context) error {
	b.named = make(map[metastore.SegmentID]*namedObject)
	for _, t := range b.state.Topics() {
		for i := range t.Partitions {
			for run := range b.state.Runs(metastore.TopicPartition{Topic: t.ID, Partition: i}) {
				if run.Marker == nil {
					b.check(&run)
				}
			}
		}
	}
	var rewritten []foundObject
	for id, size := range b.bucket.segments {
		switch _, named := b.named[id]; {
		case named:
		case id.Tier() == 1:
			rewritten = append(rewritten, foundObject{id, size})
		case b.index == nil || !b.state.WasKnown(id):
			b.report.Unrecorded.add(id, size)
		}
	}
	b.opts.Progress.enter("reading the indexes of tier-1 objects", len(rewritten))
	var err error
	b.found, err = readFooters(ctx, b.objects, rewritten, b.opts.Concurrency, b.opts.Progress, b.damagedObject)
	if err != nil {
		return err
	}
	return b.growTopics()
}

// namedObject is an object that runs of the index name.
type namedObject struct {
	there bool  // with the size that it should have
	used  int64 // bytes of its runs, and of what the footer says of them
}

// holdsMore tells whether there is room in an object of tier 1 for runs that the index does not name.
func (o *namedObject) holdsMore(size int64) bool {
	const leastRun = recordbatch.HeaderSize + runInFooter
	return o.there && size-segment.MinSize-o.used >= leastRun
}

const (
	runInFooter  = 64 // bytes of a footer for each run of tier 1
	markInFooter = 16 // and for each mark
)

// check notes whether the object of a run that the index names is there.
func (b *rebuild) check(run *metastore.Run) {
	o := b.named[run.Segment]
	if o == nil {
		size, there := b.bucket.segments[run.Segment]
		o = &namedObject{there: there && size == run.SegmentSize}
		b.named[run.Segment] = o
		if !o.there {
			b.report.Gone++
			b.report.GoneBytes += run.SegmentSize
		}
		if there && !o.there {
			b.damagedObject(foundObject{run.Segment, size}, damaged("it has %d bytes, and had %d when it was committed", size, run.SegmentSize))
		}
	}
	o.used += int64(run.Length) + runInFooter + markInFooter*int64(run.Length/segment.MarkSpacing)
}

func (u *Unrecorded) add(id metastore.SegmentID, size int64) {
	u.Objects++
	u.Bytes += size
	at := id.Time()
	if u.Oldest.IsZero() || at.Before(u.Oldest) {
		u.Oldest = at
	}
	if at.After(u.Newest) {
		u.Newest = at
	}
}

// planAll plans every partition.
func (b *rebuild) planAll(ctx context.Context) error {
	ids := make(transactional)
	for x := range b.state.Transactions() {
		of := ids[x.Producer]
		of.epoch, of.version = x.Epoch, x.Version
		ids[x.Producer] = of
		if x.State == metastore.TxnOngoing {
			b.outcomes.ongoing[x.Producer] = &ongoing{id: x.ID, epoch: x.Epoch, version: x.Version}
		}
	}
	b.planner = &planner{
		objects: b.objects, ids: ids, damage: b.damagedRun, now: b.now, dryRun: b.opts.DryRun, copies: make(chan struct{}, copiesAtATime),
	}
	var all []func() *partition
	for _, t := range b.state.Topics() {
		for i := range t.Partitions {
			all = append(all, func() *partition { return b.partition(t, i) })
		}
	}
	var short []*partition // something is missing of them
	err := b.plan(ctx, all, func(p *partition) {
		if len(p.missing) > 0 {
			short = append(short, p)
		} else {
			b.planned(p)
		}
	})
	if err != nil || len(short) == 0 {
		return err
	}
	return b.planShort(ctx, short)
}

// plan plans partitions, and hands them over one at a time.
func (b *rebuild) plan(ctx context.Context, all []func() *partition, planned func(*partition)) error {
	b.opts.Progress.enter("finding the runs of partitions", len(all))
	plans, ctx := errgroup.WithContext(ctx)
	plans.SetLimit(b.opts.Concurrency)
	var mu sync.Mutex
	for _, of := range all {
		if ctx.Err() != nil {
			break
		}
		plans.Go(func() error {
			p := of()
			if err := p.plan(ctx, b.planner); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			planned(p)
			b.opts.Progress.step()
			return nil
		})
	}
	return plans.Wait()
}

// planShort looks for what is missing in objects of tier 1 that the index names for other runs: what was replaced lies in
// them until they are deleted.
func (b *rebuild) planShort(ctx context.Context, short []*partition) error {
	var rewritten []foundObject
	for id, o := range b.named {
		if size := b.bucket.segments[id]; id.Tier() == 1 && o.holdsMore(size) {
			rewritten = append(rewritten, foundObject{id, size})
		}
	}
	b.opts.Progress.enter("looking for what is missing", len(rewritten))
	more, err := readFooters(ctx, b.objects, rewritten, b.opts.Concurrency, b.opts.Progress, b.damagedObject)
	if err != nil {
		return err
	}
	all := make([]func() *partition, len(short))
	for i, p := range short {
		all[i] = func() *partition {
			b.addFound(p, more)
			return p
		}
	}
	return b.plan(ctx, all, b.planned)
}

// planned takes a partition whose plan is made.
func (b *rebuild) planned(p *partition) {
	b.outcomes.learn(p.history)
	start := p.start()
	for _, m := range p.missing {
		b.report.addMissing(b.opts.MaxFindings, Missing{
			Topic: b.nameOf(p.TopicPartition), Partition: p.Partition, From: m.from, To: m.to, Deleted: m.to <= start, Compacted: p.compact && m.from >= p.should.high,
		})
	}
	b.report.Beyond += p.beyond
	b.report.Pieces += p.pieces
	if !p.unchanged {
		b.partitions = append(b.partitions, p)
	}
}

func (b *rebuild) damagedObject(o foundObject, err error) {
	b.report.damage(keyOf(o.id), o.size, err)
}

func (b *rebuild) damagedRun(s *source, err error) {
	b.report.damage(keyOf(s.Segment), s.SegmentSize, err)
}
