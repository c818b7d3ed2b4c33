// Package batching turns record batches from many connections into committed segments.
//
// The Writer is the write path: open segment -> seal -> upload -> commit -> answer. Its sub-packages know the bytes:
// recordbatch and segment; reader is the way back.
package batching

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/hedge"
)

var (
	// ErrStorage: the object store did not take the segment in time. Its batches are not in the log and never will be.
	ErrStorage = errors.New("object store did not take the segment")
	// ErrClosed: the Writer is draining or has ended. The batches are not in the log and never will be.
	ErrClosed = errors.New("writer closed")
	// ErrUnknownOutcome: a commit was asked for and not answered. The batches may be in the log, or may yet appear there;
	// the Writer does not ask again.
	ErrUnknownOutcome = errors.New("outcome of the commit unknown")
	// ErrOverloaded: MaxBuffered bytes wait for the object store or the metastore. The batches were not appended.
	ErrOverloaded = errors.New("too many bytes wait to be committed")
	// ErrTooManyRecords: the request claims more records than a segment can count. They were not appended.
	ErrTooManyRecords = errors.New("request claims more than 2^31-1 records")
)

// maxRecords bounds the offsets that a segment takes, so that those of a run fit 32 bits. Headers of compressed batches
// are believed, so this many need not take much space; one hostile batch must not spoil a segment for the others.
const maxRecords = math.MaxInt32

// Committer sequences uploaded segments, in the order of the slice; metastore.Replica does. A call may be repeated
// with the same segments after any error and returns the first result. On a nil error the results are durable.
type Committer interface {
	Commit(ctx context.Context, segments []metastore.SegmentCommit) ([]metastore.SegmentResult, error)
}

// Writer collects the batches of all connections in one open segment, uploads sealed segments in parallel, and commits
// them.
//
// The protocol of one segment: it gets its id when it is sealed. Its object is put under that id until the store has
// it, or until UploadTimeout; an object that exists already, and can be read, is an earlier attempt of our own, because
// nobody else has the id. Only then is it committed, under the same id until there is an answer, or until CommitTimeout; committing is
// idempotent by id, so an attempt whose answer was lost does no harm. The batches never get a second id: with one, a
// lost answer would put them in the log twice.
//
// Segments that share a source and partition, or a producer and partition, are committed in the order of their seals,
// which keeps requests of one connection and sequences of one producer in order (promise 4; see sequence). Others do not
// wait for each other, so that a slow PUT holds up no more than it must. A failed segment is left out.
//
// All that can be committed when the committer is free goes in one call.
type Writer struct {
	store   objstore.Store
	log     Committer
	opts    Options
	metrics *metrics
	recent  *Recent
	lost    losses
	late    hedge.Estimator // of PUTs
	puts    sync.WaitGroup  // calls of store.Put

	kick  chan struct{} // cap 1: something to upload, or a deadline to wait for
	ready chan struct{} // cap 1: something in line may be finished

	mu        sync.Mutex
	closed    bool
	hurried   bool          // see Hurry
	open      *segmentWrite // nil or with at least one batch
	pacer     pacer
	sequence  sequence
	line      []*segmentWrite // sealed and not yet taken by the committer, in order of seals
	started   int             // line[:started] were given to uploaders
	uploading int             // busy uploaders
	buffered  int64           // bytes appended and not answered
}

// New makes a Writer; Run makes it work. Options must be valid.
func New(store objstore.Store, log Committer, opts Options) *Writer {
	opts = opts.withDefaults()
	w := &Writer{
		store:  store,
		log:    log,
		opts:   opts,
		kick:   make(chan struct{}, 1),
		ready:  make(chan struct{}, 1),
		recent: newRecent(opts.RecentBytes),
		pacer: pacer{
			minLinger: opts.MinLinger, maxLinger: opts.MaxLinger, shortest: time.Second / time.Duration(opts.PutRate),
			target: max(opts.SegmentBytes/2, 1), worth: opts.PutWorthBytes,
		},
	}
	w.metrics = newMetrics(opts.Registerer, w)
	return w
}

// Busy tells whether somebody waits for records to be durable.
func (w *Writer) Busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buffered > 0
}

// Recent is the memory of segments that this Writer uploaded.
func (w *Writer) Recent() *Recent { return w.recent }

// Append puts the batches of one request, in their order, into the open segment: all into the same one, after all
// batches of earlier calls. The source is the connection that the request came from; requests without one (nil) count as
// of one source that is never stalled. Append does not block. It copies the batches' bytes, the only copy between socket
// and object store: they are the caller's again when it returns.
//
// Errors are ErrClosed, ErrOverloaded and ErrTooManyRecords; nothing was appended then.
func (w *Writer) Append(source *Source, batches []Batch) (*Pending, error) {
	if len(batches) == 0 {
		return &Pending{}, nil
	}
	var size, records int64
	for i := range batches {
		size += int64(len(batches[i].Bytes))
		records += batches[i].records()
	}
	if records > maxRecords {
		return nil, ErrTooManyRecords
	}
	var few [8][]byte
	copies, held := copyBatches(few[:0], batches)
	p, wake, err := w.append(source, batches, copies, request{size: size, held: held, records: records})
	if wake {
		notify(w.kick)
	}
	return p, err
}

func (w *Writer) append(source *Source, batches []Batch, copies [][]byte, r request) (p *Pending, wake bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, false, ErrClosed
	}
	now := time.Now()
	if w.buffered > 0 && w.buffered+r.size > w.opts.MaxBuffered {
		w.lost.addRefused(batches, now)
		return nil, false, ErrOverloaded
	}
	if o := w.open; o != nil {
		switch {
		case o.size+r.size > w.opts.SegmentBytes && 2*o.size >= w.opts.SegmentBytes:
			// Below the half it takes the request and is larger: one PUT for both instead of one for a small rest.
			w.seal(sealBytes)
			wake = true
		case len(o.parts)+len(batches) > w.opts.SegmentRuns:
			w.seal(sealRuns)
			wake = true
		case o.records+r.records > maxRecords:
			w.seal(sealRecords)
			wake = true
		}
	}
	if w.open == nil {
		w.open = newSegmentWrite()
		wake = true
	}
	if w.pace(source, batches, r.size, now) {
		wake = true
	}
	var from int64
	if source != nil {
		from = source.id
	}
	p = w.open.add(from, batches, copies, r)
	w.buffered += r.size
	if w.open.size >= w.opts.SegmentBytes {
		w.seal(sealBytes)
		wake = true
	}
	return p, wake, nil
}

// pace notes when the open segment, to which the request is about to be added, is to be sealed. Wake: that may be earlier
// than the uploader expects. Caller holds mu.
func (w *Writer) pace(source *Source, batches []Batch, size int64, now time.Time) (wake bool) {
	o := w.open
	var eager int64
	for i := range batches {
		longest := batches[i].MaxLinger
		if longest == 0 {
			longest = w.opts.MaxLinger
		}
		if longest <= w.opts.MaxLinger {
			eager += int64(len(batches[i].Bytes))
		}
		if latest := now.Add(max(longest, 0)); o.latest.IsZero() || latest.Before(o.latest) {
			o.latest, wake = latest, true
		}
	}
	if eager > 0 && o.eager.IsZero() {
		o.eager, wake = now, true
	}
	w.pacer.arrived(now, size)
	if source == nil {
		return wake
	}
	source.join(o, now, size, eager)
	return wake || o.stalled >= w.opts.PutWorthBytes
}

// seal closes the open segment and puts it in line. Caller holds mu.
func (w *Writer) seal(reason sealReason) {
	s := w.open
	w.open = nil
	s.index = nil
	s.id = metastore.NewSegmentID(w.opts.Now())
	s.sealedAt = time.Now()
	w.pacer.sealed(s.sealedAt)
	w.sequence.sealed(s)
	w.line = append(w.line, s)
	w.metrics.sealed.WithLabelValues(string(reason)).Inc()
	w.metrics.segmentBytes.Observe(float64(s.size))
}

// Hurry makes the Writer send what it has and what still comes without waiting for company, for a broker that reads no
// more requests and waits for the answers to the last.
func (w *Writer) Hurry() {
	w.mu.Lock()
	w.hurried = true
	w.mu.Unlock()
	notify(w.kick)
}

// close ends Append for good. What is open is sealed by the next call of next.
func (w *Writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	notify(w.kick)
	notify(w.ready)
}

// Run uploads and commits until ctx ends; then it drains: seals, uploads and commits what is left for at most
// DrainTimeout, and fails the rest. It returns nil, or, without waiting for ctx, an error that makes further commits
// impossible (metastore.ErrRegressed, ErrNewerFormat, ErrCorrupt). It is called once; when it returns, no goroutine of
// the Writer is left, every Pending is answered.
func (w *Writer) Run(ctx context.Context) error {
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var fatal error
	ended := make(chan struct{})
	var watch, working sync.WaitGroup
	watch.Go(func() { w.drain(ctx, ended, stop) })
	working.Go(func() { w.uploadAll(work) })
	working.Go(func() {
		if fatal = w.commitAll(work); fatal != nil {
			w.close()
			stop(fatal)
			w.refuseRest()
		}
	})
	working.Wait()
	close(ended)
	watch.Wait()
	return fatal
}

// drain closes the Writer when ctx ends, and stops the work if it has not ended by itself soon after.
func (w *Writer) drain(ctx context.Context, ended <-chan struct{}, stop context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
	case <-ended:
		return
	}
	w.close()
	timer := time.NewTimer(w.opts.DrainTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		stop(ErrClosed)
	case <-ended:
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
