package rewrite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

// Options of an Engine. The zero value of each field is its default.
type Options struct {
	// ReadBytes bounds the memory of what a job reads ahead. Each object that is being read has a share of it, which is
	// what one GET asks for: the more memory, the fewer GETs. Default 64 MiB. More than ReadBytes/4096 objects at the same
	// time take more.
	ReadBytes int64
	// Reads is how many GETs a job has under way at a time. Default 4.
	Reads int
	// ObjectBytes is about how large objects become. A job has one in memory that is being filled, and one that is being
	// uploaded. Default 64 MiB. One is larger if a single batch is.
	ObjectBytes int64
	// MarkBytes is how far marks of the sparse indexes are apart in a run, at least. Default segment.MarkSpacing; simulations have short
	// runs, and take less.
	MarkBytes int64
	// SwapRuns is about how many runs, old and new, go into one entry of the log. A job with more ends its object early, and
	// takes several. Default 50,000.
	SwapRuns int
	// Pace is asked before each GET and PUT whether so many bytes may be moved now; it waits if not. It ends the job with
	// an error. Default: always.
	Pace func(ctx context.Context, bytes int64) error
	// Now dates the ids of segments, which the metastore refuses when they are too old. Default time.Now.
	Now func() time.Time

	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	o.ReadBytes = cmp.Or(o.ReadBytes, 64<<20)
	o.Reads = cmp.Or(o.Reads, 4)
	o.ObjectBytes = cmp.Or(o.ObjectBytes, 64<<20)
	o.MarkBytes = cmp.Or(o.MarkBytes, segment.MarkSpacing)
	o.SwapRuns = cmp.Or(o.SwapRuns, 50_000)
	if o.Pace == nil {
		o.Pace = func(context.Context, int64) error { return nil }
	}
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
	check(o.ReadBytes > 0, "read bytes %d: must be positive", o.ReadBytes)
	check(o.Reads > 0, "reads %d: must be positive", o.Reads)
	check(o.ObjectBytes > 0 && o.ObjectBytes <= 1<<30, "object bytes %d: must be from 1 to 1 GiB", o.ObjectBytes)
	check(o.MarkBytes > 0 && o.MarkBytes <= segment.MarkSpacing, "mark bytes %d: must be from 1 to %d", o.MarkBytes, segment.MarkSpacing)
	check(o.SwapRuns > 0 && o.SwapRuns <= metastore.MaxSwapRuns/2, "swap runs %d: must be from 1 to %d", o.SwapRuns, metastore.MaxSwapRuns/2)
	return errors.Join(errs...)
}
