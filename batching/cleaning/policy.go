package cleaning

import (
	"math"
	"sort"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// Policy is what a topic's configs say of log compaction; times are in ms.
type Policy struct {
	Compact                bool    // cleanup.policy has compact
	MinCleanableDirtyRatio float64 // min.cleanable.dirty.ratio
	MinCompactionLagMs     int64   // min.compaction.lag.ms
	MaxCompactionLagMs     int64   // max.compaction.lag.ms; math.MaxInt64: none
	DeleteRetentionMs      int64   // delete.retention.ms
	SegmentMs              int64   // segment.ms: few dirty bytes wait no longer for more
}

// candidate is a partition that has something to be cleaned, as of a moment.
type candidate struct {
	metastore.TopicPartition
	policy    Policy
	cleanedTo metastore.Offset // up to which earlier rounds got
	from      metastore.Offset // where what is dirty begins: there, or at the log start
	marks     metastore.Watermarks
	clean     int64 // bytes below from
	dirty     int64 // bytes from there on that may be cleaned
	written   int64 // ms: when the first of the dirty runs was stored, as far as its segment tells
	oldest    int64 // ms: no record of the first dirty run has an older timestamp, about; math.MinInt64: nobody knows
}

// view is what is looked at of a metastore.PartitionView.
type view interface {
	Len() int
	Run(i int) metastore.Run
}

// survey looks for what may be cleaned of a partition, whose runs have so many bytes; false if nothing may.
func survey(tp metastore.TopicPartition, v view, bytes int64, marks metastore.Watermarks, cleanedTo metastore.Offset, policy Policy, now int64) (candidate, bool) {
	c := candidate{TopicPartition: tp, policy: policy, cleanedTo: cleanedTo, from: max(cleanedTo, marks.LogStart), marks: marks, clean: bytes, oldest: math.MinInt64}
	if !policy.Compact || c.from >= marks.Stable {
		return c, false
	}
	first := sort.Search(v.Len(), func(i int) bool { r := v.Run(i); return r.End() > c.from })
	youngest, young := eldest(now, policy.MinCompactionLagMs), false
	for i := first; i < v.Len(); i++ {
		run := v.Run(i)
		whole := int64(run.Length)
		c.clean -= whole
		young = young || run.Base >= marks.Stable || policy.MinCompactionLagMs > 0 && run.Newest() > youngest
		if young {
			continue
		}
		below := share(whole, c.from-run.Base, run.Records)
		above := share(whole, run.End()-marks.Stable, run.Records)
		c.clean += below
		c.dirty += whole - below - above
		if i > first {
			continue
		}
		c.written = run.Stored().UnixMilli()
		if run.Marker != nil || segment.Tier(run.Segment) == 0 { // what is in it was written at about the same time
			c.oldest = run.Newest()
		} else if first > 0 {
			before := v.Run(first - 1)
			c.oldest = before.Newest()
		}
	}
	return c, c.dirty > 0
}

// share is the part of a run's bytes that so many of its offsets take, about.
func share(bytes int64, offsets metastore.Offset, of int32) int64 {
	if offsets <= 0 {
		return 0
	}
	return int64(float64(bytes) * float64(offsets) / float64(of))
}

// eldest is the time so many ms before another.
func eldest(now, ms int64) int64 {
	if now < math.MinInt64+ms {
		return math.MinInt64
	}
	return now - ms
}

// ratio is the part of what may be cleaned, and was, that is dirty.
func (c *candidate) ratio() float64 { return float64(c.dirty) / float64(c.clean+c.dirty) }

// overdue is by how many ms the oldest dirty record is older than max.compaction.lag.ms; below 0 if it is not.
func (c *candidate) overdue(now int64) int64 {
	if c.policy.MaxCompactionLagMs == math.MaxInt64 {
		return -1
	}
	if limit := eldest(now, c.policy.MaxCompactionLagMs); c.oldest < limit {
		return min(limit-max(c.oldest, 0), math.MaxInt64)
	}
	return -1
}

// due tells whether a partition that has been dirty since a time is to be cleaned now.
func (c *candidate) due(now, since int64, opts *Options) bool {
	if c.overdue(now) >= 0 {
		return true
	}
	if c.ratio() <= c.policy.MinCleanableDirtyRatio {
		return false
	}
	patience := min(opts.SmallPatience.Milliseconds(), c.policy.SegmentMs)
	return c.dirty >= opts.SmallBytes || since <= eldest(now, patience)
}

// before says which of two partitions that are due comes first: one that is overdue, then the dirtier.
func (c *candidate) before(d *candidate, now int64) bool {
	if x, y := c.overdue(now), d.overdue(now); x >= 0 || y >= 0 {
		return x > y
	}
	return c.ratio() > d.ratio()
}
