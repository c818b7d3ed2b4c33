package compaction

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Compactor. The zero value of each field is its default.
type Options struct {
	// Delay is how old a segment of tier 0 must be: younger ones are what consumers at the tail read, from memory. Default
	// 2 minutes.
	Delay time.Duration
	// DueBytes of tier 0 past the delay are worth a job. Default 512 MiB: more in a job makes fewer and larger runs.
	DueBytes int64
	// Wait is how old the oldest segment of tier 0 becomes before there is a job for less. It is also how long merges wait
	// for company, and how old a segment must be before it counts as sparse. Default 10 minutes.
	Wait time.Duration

	// JobBytes, JobSegments, JobRuns and JobParts bound a job: bytes of runs, segments of tier 0 that it reads, runs, and
	// partitions. Default 1 GiB, 4,096, 200,000 (some 16 MB of memory) and 50,000.
	JobBytes    int64
	JobSegments int
	JobRuns     int
	JobParts    int

	// MergeRuns is how many neighbors of about the same size become one run. Default 8.
	MergeRuns int
	// SmallRun is the size below which a run is merged with others, at most a quarter of the engine's ObjectBytes. Default
	// 16 MiB: what a GET can use.
	SmallRun int64
	// MergeBytes are worth a job of merges that did not wait. Default 64 MiB: one object.
	MergeBytes int64

	// Forgive is after what time a run that could not be read is tried again. Default 1 hour.
	Forgive time.Duration

	// Now is the clock that segments are dated by. Default time.Now.
	Now func() time.Time

	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	o.Delay = cmp.Or(o.Delay, 2*time.Minute)
	o.DueBytes = cmp.Or(o.DueBytes, 512<<20)
	o.Wait = cmp.Or(o.Wait, 10*time.Minute)
	o.JobBytes = cmp.Or(o.JobBytes, 1<<30)
	o.JobSegments = cmp.Or(o.JobSegments, 4096)
	o.JobRuns = cmp.Or(o.JobRuns, 200_000)
	o.JobParts = cmp.Or(o.JobParts, 50_000)
	o.MergeRuns = cmp.Or(o.MergeRuns, 8)
	o.SmallRun = cmp.Or(o.SmallRun, 16<<20)
	o.MergeBytes = cmp.Or(o.MergeBytes, 64<<20)
	o.Forgive = cmp.Or(o.Forgive, time.Hour)
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
	check(o.Delay > 0 && o.Wait >= o.Delay, "delay %v, wait %v: the delay must be positive, the wait no shorter", o.Delay, o.Wait)
	check(o.DueBytes > 0 && o.MergeBytes > 0, "due bytes %d, merge bytes %d: must be positive", o.DueBytes, o.MergeBytes)
	check(o.JobBytes > 0 && o.JobSegments > 0 && o.JobParts > 0,
		"job bytes %d, segments %d, parts %d: must be positive", o.JobBytes, o.JobSegments, o.JobParts)
	check(o.JobRuns >= o.MergeRuns, "job runs %d: must be %d or more", o.JobRuns, o.MergeRuns)
	check(o.MergeRuns >= 2, "merge runs %d: must be 2 or more", o.MergeRuns)
	check(o.SmallRun > 0, "small run %d: must be positive", o.SmallRun)
	check(o.Forgive > 0, "forgive %v: must be positive", o.Forgive)
	return errors.Join(errs...)
}
