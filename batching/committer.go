package batching

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

const (
	// maxCommitTimeout leaves the last attempt of a commit inside the age beyond which the log refuses a segment.
	maxCommitTimeout = metastore.MaxSegmentAge - 30*time.Second
	// groupBatches ends a group: beyond it a commit's latency is its size, and waiting for the next costs nothing.
	groupBatches = 20_000
)

// commitAll commits what is uploaded until the Writer is closed and nothing is left. An error means that
// nothing can be committed any more.
func (w *Writer) commitAll(work context.Context) error {
	for {
		group, refused, more := w.nextGroup()
		for _, seg := range refused {
			w.finish(seg, seg.err)
		}
		switch {
		case len(group) > 0:
			if err := w.commitGroup(work, group); err != nil {
				return err
			}
		case len(refused) > 0:
		case !more:
			return nil
		default:
			<-w.ready // comes: every segment in line gets uploaded or fails, and close notifies
		}
	}
}

// nextGroup takes, in order of seals, the segments that are finished and not to come after one that is not: those to
// commit and those that failed. Failed ones are to be finished before the others are committed, which may hold what
// came after, see losses.
func (w *Writer) nextGroup() (group, refused []*segmentWrite, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest, batches := w.line[:0], 0
	for _, seg := range w.line {
		if seg.phase == waiting || batches >= groupBatches || !seg.free() {
			rest = append(rest, seg)
			continue
		}
		w.sequence.taken(seg)
		w.started--
		if seg.phase == failed {
			refused = append(refused, seg)
			continue
		}
		group = append(group, seg)
		batches += seg.batches
	}
	clear(w.line[len(rest):])
	w.line = rest
	return group, refused, !w.closed || w.open != nil || len(w.line) > 0
}

// commitGroup asks for one commit until there is an answer, and answers the waiters. The error is fatal.
func (w *Writer) commitGroup(work context.Context, group []*segmentWrite) error {
	start := time.Now()
	asked := false // once true, a segment without an answer has an unknown outcome
	for attempt := 0; ; attempt++ {
		var late []*segmentWrite
		group, late = splitLate(group, time.Now().Add(-w.opts.CommitTimeout), work.Err() != nil)
		w.finishAll(late, unanswered(work, asked))
		if len(group) == 0 {
			return nil
		}
		asked = true
		results, err := w.commitOnce(work, group)
		if err == nil {
			w.metrics.commitSeconds.Observe(time.Since(start).Seconds())
			w.metrics.commitSegments.Observe(float64(len(group)))
			w.settle(group, results)
			return nil
		}
		switch {
		case errors.Is(err, metastore.ErrInvalidCommit):
			w.opts.Logger.Error("metastore refuses a commit as invalid", "segments", len(group), "error", err)
			w.finishAll(group, err)
			return nil
		case hopeless(err):
			w.finishAll(group, ErrUnknownOutcome)
			return fmt.Errorf("commit segments: %w", err)
		}
		if planted.Is(planted.DeleteBeforeGrace) {
			w.deleteObjects(work, group)
		}
		w.metrics.commitRetries.Inc()
		w.opts.Logger.Warn("commit failed, asking again", "segments", len(group), "first", group[0].id, "attempt", attempt+1,
			"error", err)
		sleep(work, backoff(attempt))
	}
}

// deleteObjects is a planted bug: objects whose commit has no answer may well be named by the log.
func (w *Writer) deleteObjects(ctx context.Context, group []*segmentWrite) {
	keys := make([]string, len(group))
	for i, seg := range group {
		keys[i] = segment.Key(seg.id)
	}
	_ = w.store.Delete(ctx, keys)
}

// commitOnce is one attempt.
func (w *Writer) commitOnce(ctx context.Context, group []*segmentWrite) ([]metastore.SegmentResult, error) {
	ctx, cancel := context.WithTimeout(ctx, w.opts.AttemptTimeout)
	defer cancel()
	commits := make([]metastore.SegmentCommit, len(group))
	now := time.Now()
	for i, seg := range group {
		w.lost.mark(&seg.commit, now)
		commits[i] = seg.commit
	}
	results, err := w.log.Commit(ctx, commits)
	if err == nil && len(results) != len(group) {
		return nil, fmt.Errorf("%d results for %d segments", len(results), len(group))
	}
	return results, err
}

func (w *Writer) settle(group []*segmentWrite, results []metastore.SegmentResult) {
	for i, seg := range group {
		if !seg.settle(results[i]) {
			w.opts.Logger.Error("results of a commit do not match its batches", "segment", seg.id)
			w.finish(seg, ErrUnknownOutcome)
			continue
		}
		if seg.results[0][0].Verdict == metastore.SegmentTooOld { // and so are all others
			w.lost.add(seg.parts, time.Now())
		} else {
			w.lost.settled(seg.parts, seg.results, time.Now())
		}
		w.finish(seg, nil)
	}
}

// refuseRest fails everything that commitAll left in line, until the uploaders have ended.
func (w *Writer) refuseRest() {
	for {
		group, refused, more := w.nextGroup()
		w.finishAll(append(group, refused...), ErrClosed)
		if len(group)+len(refused) == 0 {
			if !more {
				return
			}
			<-w.ready
		}
	}
}

func (w *Writer) finishAll(group []*segmentWrite, err error) {
	for _, seg := range group {
		w.finish(seg, err)
	}
}

func (w *Writer) finish(seg *segmentWrite, err error) {
	w.mu.Lock()
	w.buffered -= seg.size
	now := time.Now()
	for _, own := range seg.shares {
		own.source.leave(seg, now, w.opts.MinLinger)
	}
	seg.shares = nil
	w.mu.Unlock()
	if err != nil {
		w.lost.add(seg.parts, time.Now())
		w.metrics.failed.WithLabelValues(outcome(err)).Inc()
	}
	seg.finish(err)
}

// splitLate separates the segments sealed before the time, or all.
func splitLate(group []*segmentWrite, before time.Time, all bool) (rest, late []*segmentWrite) {
	for _, seg := range group {
		if all || seg.sealedAt.Before(before) {
			late = append(late, seg)
		} else {
			rest = append(rest, seg)
		}
	}
	return rest, late
}

// hopeless says that no further commit can succeed.
func hopeless(err error) bool {
	return errors.Is(err, metastore.ErrRegressed) || errors.Is(err, metastore.ErrNewerFormat) || errors.Is(err, metastore.ErrCorrupt)
}

// unanswered is the error of segments that the committer gives up.
func unanswered(work context.Context, asked bool) error {
	if asked {
		return ErrUnknownOutcome
	}
	return refusal(work)
}

func outcome(err error) string {
	if errors.Is(err, ErrUnknownOutcome) {
		return "unknown"
	}
	return "refused"
}
