// Package cleaning is log compaction: it leaves of the records of a key the last one (cleanup.policy=compact), as Kafka's log
// cleaner does.
//
// What a partition has above the offset up to which it was cleaned is dirty. A round (see round.go) cleans one partition, up
// to its last stable offset or the first batch that is too young. What is left keeps its offset, and its place in its
// batch. Tombstones and the ends of transactions go some time after the round that met them first (KIP-534).
//
// Kafka never compacts the segment that it appends to, so that segment.bytes and segment.ms delay compaction. Here is no
// such segment. What is in the way is that a round costs an object and entries in the log however little is dirty, so a
// little waits for more: see Options.SmallPatience.
package cleaning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
)

// Log is what the cleaner needs of the folded commit log; a metastore.Replica has it.
type Log interface {
	VisitPartitions(visit func(*metastore.PartitionView) bool)
	CommittedRuns(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, []metastore.AbortedTxn, error)
	TopicByID(id metastore.TopicID) (*metastore.Topic, bool)
	NoteCleaned(ctx context.Context, tp metastore.TopicPartition, to metastore.Offset, forgotten []metastore.Offset) error
}

// Options of a Cleaner. The zero value of each field is its default.
type Options struct {
	Now func() time.Time // default time.Now

	// MapBytes bounds the map of keys, which has 27 bytes for each (log.cleaner.dedupe.buffer.size): 5 million keys in
	// 128 MiB, the default. While it grows to that it takes half as much again. A partition with more dirty keys takes several
	// rounds.
	MapBytes int64
	// MapBytesNow, if set, is asked when a round begins, and takes the place of MapBytes.
	MapBytesNow func() int64
	// PieceBytes is about how much of a partition is rewritten with one entry of the log. Default 512 MiB.
	PieceBytes int64
	// InflatedBytes bounds what one batch may decompress to; a larger one is left as it is. While a batch is changed, what it
	// holds is in memory once. Default 100 MiB, the most that Produce takes for a compacted topic.
	InflatedBytes int

	// A partition with fewer dirty bytes than SmallBytes is cleaned once they have been dirty for SmallPatience, or for the
	// topic's segment.ms if that is less. Defaults 1 MiB, which is the least segment.bytes, and 1 hour.
	SmallBytes    int64
	SmallPatience time.Duration

	// Backoff is how long a partition is left alone after a round that failed; it doubles with each that follows, up to
	// MostBackoff. Defaults 15 s, which is log.cleaner.backoff.ms, and 1 hour.
	Backoff, MostBackoff time.Duration

	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.MapBytes = cmp.Or(o.MapBytes, 128<<20)
	o.PieceBytes = cmp.Or(o.PieceBytes, 512<<20)
	o.InflatedBytes = cmp.Or(o.InflatedBytes, 100<<20)
	o.SmallBytes = cmp.Or(o.SmallBytes, 1<<20)
	o.SmallPatience = cmp.Or(o.SmallPatience, time.Hour)
	o.Backoff = cmp.Or(o.Backoff, 15*time.Second)
	o.MostBackoff = cmp.Or(o.MostBackoff, time.Hour)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

const leastMap = 1 << 10 // bytes

// Validate tells which option makes no sense.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.MapBytes >= leastMap, "map bytes %d: must be 1 KiB or more", o.MapBytes)
	check(o.PieceBytes > 0, "piece bytes %d: must be positive", o.PieceBytes)
	check(o.InflatedBytes > 0, "inflated bytes %d: must be positive", o.InflatedBytes)
	check(o.SmallBytes > 0, "small bytes %d: must be positive", o.SmallBytes)
	check(o.SmallPatience > 0, "small patience %s: must be positive", o.SmallPatience)
	check(o.Backoff > 0 && o.Backoff <= o.MostBackoff, "backoff %s: must be positive, and at most %s", o.Backoff, o.MostBackoff)
	return errors.Join(errs...)
}

// Cleaner cleans the partitions of compacted topics. Its memory is that of a map, of a job of the engine, and of a batch,
// decompressed and compressed again.
type Cleaner struct {
	log      Log
	engine   *rewrite.Engine
	policyOf func(*metastore.Topic) Policy
	opts     Options
	metrics  *metrics

	mu    sync.Mutex
	known map[metastore.TopicPartition]*history
}

// history is what the cleaner remembers of a partition that has something dirty. It is lost with the process, and needs
// not be kept.
type history struct {
	from     metastore.Offset // where what is dirty begins
	since    int64            // ms: when something has been dirty from there on
	due      int64            // ms: since when it has been due, 0 if it is not
	failures int
	retry    int64 // ms: when it may be tried again
	visited  uint64
}

// New makes a cleaner. policy tells what the configs of a topic say; it is asked often, and must be quick.
func New(log Log, engine *rewrite.Engine, policy func(*metastore.Topic) Policy, opts Options) (*Cleaner, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	c := &Cleaner{log: log, engine: engine, policyOf: policy, opts: opts.withDefaults(), known: make(map[metastore.TopicPartition]*history)}
	c.metrics = newMetrics(c.opts.Registerer, c)
	return c, nil
}

// Do does one round: of the partition that is most overdue by max.compaction.lag.ms, else of the dirtiest of those that are
// due. more says that others are due, or that the round did not get to the end of what is dirty. It is for one goroutine
// at a time; two brokers that do it at once lose work and nothing else.
func (c *Cleaner) Do(ctx context.Context) (more bool, err error) {
	due := c.plan()
	if len(due) == 0 {
		return false, nil
	}
	p := due[0]
	began := c.opts.Now()
	r := c.newRound(p)
	err = r.run(ctx)
	if ctx.Err() != nil {
		return false, ctx.Err() // the lease is over, or the broker stops: nobody's fault
	}
	c.ended(p, err)
	c.metrics.ended(r, err, c.opts.Now().Sub(began))
	switch {
	case errors.Is(err, errGone):
		return len(due) > 1, nil
	case err != nil:
		return len(due) > 1, fmt.Errorf("compact partition %s: %w", p.TopicPartition, err)
	}
	t := &r.sieve.tally
	if t.unreadable > 0 {
		c.opts.Logger.Warn("batches that cannot be read are not compacted", "partition", p.TopicPartition.String(), "batches", t.unreadable)
	}
	c.opts.Logger.Info("partition compacted", "partition", p.TopicPartition.String(), "from", int64(p.from), "to", int64(r.sieve.end),
		"keys", r.sieve.keys.keys, "superseded", t.dropped[superseded], "tombstones", t.dropped[tombstone], "aborted", t.dropped[aborted],
		"bytes_read", r.read, "bytes_written", r.written)
	return len(due) > 1 || r.full, nil
}

// plan returns the partitions that are due, that of the next round first.
func (c *Cleaner) plan() []candidate {
	now := c.opts.Now().UnixMilli()
	var due []candidate
	c.mu.Lock()
	visit := c.metrics.plans.Add(1)
	c.mu.Unlock()
	policies := make(map[metastore.TopicID]Policy)
	c.log.VisitPartitions(func(v *metastore.PartitionView) bool {
		policy, ok := policies[v.TopicPartition.Topic]
		if !ok {
			policy = c.policyOf(v.Topic)
			policies[v.TopicPartition.Topic] = policy
		}
		p, ok := survey(v.TopicPartition, v, v.Bytes, v.Watermarks, v.CleanedTo, policy, now)
		if !ok {
			return true
		}
		if c.remember(&p, now, visit) {
			due = append(due, p)
		}
		return true
	})
	c.mu.Lock()
	for tp, h := range c.known {
		if h.visited != visit {
			delete(c.known, tp)
		}
	}
	c.mu.Unlock()
	slices.SortStableFunc(due, func(a, b candidate) int {
		switch {
		case a.before(&b, now):
			return -1
		case b.before(&a, now):
			return 1
		}
		return 0
	})
	return due
}

// remember notes that a partition has something dirty, and tells whether it is to be cleaned now.
func (c *Cleaner) remember(p *candidate, now int64, visit uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.known[p.TopicPartition]
	if h == nil {
		h = &history{from: p.from, since: now}
		c.known[p.TopicPartition] = h
	}
	if h.from != p.from {
		h.from, h.since, h.due = p.from, now, 0
	}
	h.visited = visit
	h.since = min(h.since, p.written)
	if !p.due(now, h.since, &c.opts) {
		h.due = 0
		return false
	}
	if h.due == 0 {
		h.due = now
	}
	return now >= h.retry
}

// ended notes what became of a round.
func (c *Cleaner) ended(p candidate, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.known[p.TopicPartition]
	if h == nil {
		return
	}
	if err == nil {
		h.failures, h.retry = 0, 0
		return
	}
	wait := c.opts.MostBackoff
	if h.failures < 32 && c.opts.Backoff<<h.failures < wait {
		wait = c.opts.Backoff << h.failures
	}
	h.failures++
	h.retry = c.opts.Now().Add(wait).UnixMilli()
}

// waiting is for how long the partition that has waited longest for a round has been due.
func (c *Cleaner) waiting() time.Duration {
	now := c.opts.Now().UnixMilli()
	c.mu.Lock()
	defer c.mu.Unlock()
	longest := int64(0)
	for _, h := range c.known {
		if h.due > 0 {
			longest = max(longest, now-h.due)
		}
	}
	return time.Duration(longest) * time.Millisecond
}
