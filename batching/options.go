package batching

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Writer. The zero value of each field is its default.
type Options struct {
	// SegmentBytes seals a segment when its batches reach it. Default 8 MiB: the size from which S3's throughput per
	// request no longer grows much, and still some 40 ms of one upload. A request that does not fit goes into the next one,
	// unless the segment is less than half full: it is then larger by that half at most, or than a larger request.
	SegmentBytes int64
	// SegmentRuns seals a segment when it has batches of so many partitions. Default 10,000: a commit of about 0.5 MiB.
	SegmentRuns int
	// MaxLinger is the longest that a batch waits for its segment to fill, unless the batch says otherwise. It waits so
	// long only on a broker that takes half a SegmentBytes in that time, see pacer. Default 250 ms. Negative: none.
	MaxLinger time.Duration
	// MinLinger is how long the first batch of a segment waits at least, and after what silence a source counts as
	// waiting for us. Default 2 ms: small beside a PUT, and long enough for the requests that a client sends together to
	// share a segment instead of waiting for the next. Negative: none.
	MinLinger time.Duration
	// PutRate is how many segments per second are sealed early, that is before they are full or the longest linger is
	// over, not counting those of stalled sources. Default 25: a batch on a broker with little to do waits 40 ms at the
	// most, and a steady trickle costs some 320 USD a month and broker on S3 (5 USD per million PUTs).
	PutRate int
	// PutWorthBytes of sources that wait for us are worth a PUT at once. Default 64 KiB, which a default Java producer has
	// in flight even for a single partition. It makes 16,384 PUTs per GiB at the worst, some 0.08 USD: what a GiB costs
	// that is replicated from zone to zone.
	PutWorthBytes int64
	// MaxBuffered bounds the bytes that wait for upload or commit. It is the last resort: callers push back earlier, but
	// give up waiting (a producer's request.timeout.ms) before the Writer does. Default 1 GiB.
	MaxBuffered int64
	// Uploads is how many segments are uploaded at the same time. Default 16: 128 MiB in flight, which at 100 ms a PUT is
	// more than 1 GiB/s. While all are busy, the open segment is not sealed by age but grows.
	Uploads int
	// UploadTimeout is how long after its seal a segment may take to be in the object store; then its batches are refused
	// with ErrStorage. Default 1 minute.
	UploadTimeout time.Duration
	// CommitTimeout is how long after its seal a segment's commit is still repeated; then its outcome is reported as
	// unknown. Default 90 s, which is the most: it must exceed UploadTimeout and stay below metastore.MaxSegmentAge.
	CommitTimeout time.Duration
	// AttemptTimeout bounds one PUT and one call of Commit, so that a hung connection is tried again. Default 30 s.
	AttemptTimeout time.Duration
	// DrainTimeout is how long Run still uploads and commits what it has when its context ends. Default 20 s.
	DrainTimeout time.Duration
	// RecentBytes bounds the memory of committed segments for readers. Default 128 MiB. Negative: none.
	RecentBytes int64

	// Now dates the ids of segments, which the metastore refuses when they are too old. Default time.Now.
	Now func() time.Time

	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 8<<20)
	o.SegmentRuns = cmp.Or(o.SegmentRuns, 10_000)
	o.MaxLinger = cmp.Or(o.MaxLinger, 250*time.Millisecond)
	o.MinLinger = cmp.Or(o.MinLinger, 2*time.Millisecond)
	o.PutRate = cmp.Or(o.PutRate, 25)
	o.PutWorthBytes = cmp.Or(o.PutWorthBytes, 64<<10)
	o.MaxBuffered = cmp.Or(o.MaxBuffered, 1<<30)
	o.Uploads = cmp.Or(o.Uploads, 16)
	o.UploadTimeout = cmp.Or(o.UploadTimeout, time.Minute)
	o.CommitTimeout = cmp.Or(o.CommitTimeout, 90*time.Second)
	o.AttemptTimeout = cmp.Or(o.AttemptTimeout, 30*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 20*time.Second)
	o.RecentBytes = cmp.Or(o.RecentBytes, 128<<20)
	o.MinLinger = max(o.MinLinger, 0)
	o.MaxLinger = max(o.MaxLinger, o.MinLinger)
	o.RecentBytes = max(o.RecentBytes, 0)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate tells which option makes no sense.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.SegmentBytes > 0 && o.SegmentBytes <= 1<<30, "segment bytes %d: must be from 1 to 1 GiB", o.SegmentBytes)
	check(o.SegmentRuns > 0, "segment runs %d: must be positive", o.SegmentRuns)
	check(o.PutRate > 0, "put rate %d: must be positive", o.PutRate)
	check(o.PutWorthBytes > 0, "put worth bytes %d: must be positive", o.PutWorthBytes)
	check(o.MaxBuffered > 0, "max buffered bytes %d: must be positive", o.MaxBuffered)
	check(o.Uploads > 0, "uploads %d: must be positive", o.Uploads)
	check(o.AttemptTimeout > 0, "attempt timeout %v: must be positive", o.AttemptTimeout)
	check(o.DrainTimeout > 0, "drain timeout %v: must be positive", o.DrainTimeout)
	check(o.UploadTimeout > 0 && o.UploadTimeout < o.CommitTimeout,
		"upload timeout %v: must be positive and below the commit timeout %v", o.UploadTimeout, o.CommitTimeout)
	check(o.CommitTimeout <= maxCommitTimeout, "commit timeout %v: must be at most %v", o.CommitTimeout, maxCommitTimeout)
	return errors.Join(errs...)
}
