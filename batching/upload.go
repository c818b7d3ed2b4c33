package batching

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/planted"
)

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// uploadAll seals by age and gives sealed segments to uploaders, until the Writer is closed and all were given. Only
// then, and when all uploaders are done, does it return.
func (w *Writer) uploadAll(work context.Context) {
	var uploads sync.WaitGroup
	defer w.puts.Wait()
	defer uploads.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		seg, wait, more := w.next(time.Now())
		if seg != nil {
			uploads.Go(func() { w.upload(work, seg) })
			continue
		}
		if !more {
			return
		}
		var due <-chan time.Time
		if wait > 0 {
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-w.kick:
		case <-due:
		}
	}
}

// next takes the next segment to upload, or tells how long to wait for one to be due; 0 is until the next kick. More is
// false when there will be no further segment.
func (w *Writer) next(now time.Time) (seg *segmentWrite, wait time.Duration, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed && w.open != nil {
		w.seal(sealClose)
	}
	if w.uploading == w.opts.Uploads {
		return nil, 0, true
	}
	if w.started == len(w.line) {
		if w.open == nil {
			return nil, 0, !w.closed
		}
		o, reason := w.open, sealAge
		wait := w.pacer.due(now, o.eager, o.latest, o.stalled).Sub(now)
		switch {
		case w.hurried:
			reason = sealClose
		case wait > 0:
			return nil, wait, true
		case o.stalled >= w.opts.PutWorthBytes:
			reason = sealStalled
		}
		w.seal(reason)
	}
	seg = w.line[w.started]
	w.started++
	w.uploading++
	return seg, 0, true
}

// upload puts one segment into the object store and hands it to the committer.
func (w *Writer) upload(work context.Context, seg *segmentWrite) {
	err := w.put(work, seg)
	if err == nil {
		// Before the commit: fetchers ask as soon as it is in the log.
		if seg.recentCost() <= w.recent.limit {
			w.recent.add(seg.recent())
		}
	} else {
		w.opts.Logger.Error("segment not uploaded, its batches are refused",
			"segment", seg.id, "bytes", seg.size, "error", err)
	}
	w.mu.Lock()
	seg.phase = uploaded
	if err != nil {
		seg.phase = failed
		seg.err = refusal(work)
	}
	w.uploading--
	w.mu.Unlock()
	notify(w.kick)
	notify(w.ready)
}

// put repeats the PUT of a segment until the object is there, and gives up when the segment is too old or work ends.
func (w *Writer) put(work context.Context, seg *segmentWrite) error {
	ctx, cancel := context.WithDeadlineCause(work, seg.sealedAt.Add(w.opts.UploadTimeout), ErrStorage)
	defer cancel()
	object, err := seg.assemble()
	if err != nil {
		return err
	}
	key := segment.Key(seg.id)
	start := time.Now()
	for attempt := 0; ; attempt++ {
		err := w.putOnce(ctx, key, object, seg.size)
		if err == nil || planted.Is(planted.AckBeforePut) {
			w.metrics.putSeconds.Observe(time.Since(start).Seconds())
			return nil
		}
		if errors.Is(err, objstore.ErrInvalidKey) || !sleep(ctx, backoff(attempt)) {
			return err
		}
		w.metrics.putRetries.Inc()
		w.opts.Logger.Warn("upload of segment failed, trying again",
			"segment", seg.id, "attempt", attempt+1, "error", err)
	}
}

// refusal is the error of batches whose commit was never asked for.
func refusal(work context.Context) error {
	if work.Err() != nil {
		return ErrClosed
	}
	return ErrStorage
}

// backoff is how long to wait after the given attempt (from 0): doubled each time, and drawn from the upper half, so
// that brokers that failed together do not come back together.
func backoff(attempt int) time.Duration {
	d := lastBackoff
	if attempt < 7 {
		d = min(firstBackoff<<attempt, lastBackoff)
	}
	return d/2 + rand.N(d/2)
}

// sleep returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
