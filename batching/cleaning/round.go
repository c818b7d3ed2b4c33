package cleaning

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/rewrite"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/planted"
)

var (
	// ErrTooManyKeys: the next batch of a partition has more keys than there is memory for.
	ErrTooManyKeys = errors.New("a batch has more keys than log compaction has memory for")
	// errGone: the partition is not there any more, or all that was to be cleaned of it, or is not to be cleaned any more.
	errGone = errors.New("nothing is left to be cleaned")
	// errEnough ends a reading.
	errEnough = errors.New("enough was read")
)

// round cleans one partition.
//
// It reads what is dirty into a map from key to last offset, and then everything from the log start on, to drop what the map
// says is superseded. It rewrites stretch after stretch in the order of their offsets, each of them in an entry of its
// own, and says last of all how far it got. So a partition of any size takes bounded memory, and whoever dies in
// between has lost nothing but work: a record is dropped only for one that lies after it and stays; the newest of a key goes
// only if it is a tombstone that an earlier, complete round has met; and while that round got to the tombstone, it had
// dropped all before it. In the other order a tombstone could be gone while a value from before it is still there, which
// the next round, having no tombstone in its map, would keep.
type round struct {
	*Cleaner
	candidate
	now   int64 // ms
	sieve sieve
	begun bool // the log knows
	full  bool // the map was, before all was in it
	tries int  // that were in vain since something was achieved

	read, written int64 // bytes
}

// mostTries bounds how often a stretch is begun again because its runs were replaced meanwhile.
const mostTries = 5

func (c *Cleaner) newRound(p candidate) *round {
	r := &round{Cleaner: c, candidate: p, now: c.opts.Now().UnixMilli()}
	r.sieve = sieve{
		filter: recordbatch.Filter{MaxInflated: c.opts.InflatedBytes}, cleanedTo: p.cleanedTo,
		now: r.now, trail: newTrail(),
	}
	if p.cleanedTo == justBegun {
		r.sieve.cleanedTo = 0
	}
	return r
}

// run does the round. An errGone says that there is nothing to do.
func (r *round) run(ctx context.Context) error {
	if err := r.index(ctx); err != nil {
		return fmt.Errorf("read what is dirty: %w", err)
	}
	at := r.marks.LogStart
	for at < r.sieve.end {
		next, err := r.stretch(ctx, at)
		if err != nil {
			return fmt.Errorf("clean from offset %d: %w", at, err)
		}
		at = next
	}
	err := r.log.NoteCleaned(ctx, r.TopicPartition, r.sieve.end, r.sieve.done)
	if errors.Is(err, metastore.ErrUnknownPartition) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("note how far cleaning got: %w", err)
	}
	return nil
}

const (
	// pageBytes is how many bytes of runs are asked for at a time: a run may have no more than the end of a transaction.
	pageBytes = 4 << 20
	// pieceRuns is how many runs are rewritten with one entry of the log at the most.
	pieceRuns = rewrite.MaxPartRuns
)

// runs returns runs from an offset on that begin below another, about as many bytes as asked for, and the aborted
// transactions that reach into them. The offset is raised to the log start.
//
// They are of one state or of several that follow on one another. That an aborted transaction may be known to an earlier one
// alone is right: it was aborted.
func (r *round) runs(at, below metastore.Offset, bytes int64) (metastore.Offset, []metastore.Run, abortedTxns, error) {
	var all []metastore.Run
	txns := make(abortedTxns)
	for next := at; bytes > 0 && len(all) < pieceRuns && next < below; {
		marks, runs, list, err := r.log.CommittedRuns(r.TopicPartition, next, int(min(bytes, pageBytes)))
		switch {
		case errors.Is(err, metastore.ErrOffsetOutOfRange) && next < marks.LogStart && len(all) == 0:
			at, next = marks.LogStart, marks.LogStart
			continue
		case errors.Is(err, metastore.ErrOffsetOutOfRange) && next < marks.LogStart:
			return at, all, txns, nil
		case errors.Is(err, metastore.ErrUnknownPartition) || errors.Is(err, metastore.ErrOffsetOutOfRange):
			return at, nil, nil, errGone
		case err != nil:
			return at, nil, nil, err
		}
		txns.add(list)
		for _, run := range runs {
			switch {
			case run.Base >= below, len(all) == pieceRuns,
				len(all) > 0 && run.Base < next: // it took the place of others just now
				return at, all, txns, nil
			}
			all = append(all, run)
			bytes -= int64(run.Length)
			next = run.End()
		}
		if len(runs) == 0 {
			break
		}
	}
	return at, all, txns, nil
}

// readRuns shows the batches of runs until visit returns an error, which it returns unless it is errEnough.
func (r *round) readRuns(ctx context.Context, runs []metastore.Run, visit func(rewrite.Batch) error) error {
	results, err := r.engine.Read(ctx, []rewrite.Part{{TopicPartition: r.TopicPartition, Runs: runs}}, func(_ int, b rewrite.Batch) error {
		r.read += int64(len(b.Bytes))
		return visit(b)
	})
	if err == nil {
		err = results[0]
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// again tells whether an error says that runs were replaced meanwhile, so that they are to be looked for once more. If it is
// the store that lost something, that is found out soon.
func (r *round) again(err error) bool {
	if !errors.Is(err, rewrite.ErrRefused) && !errors.Is(err, objstore.ErrNotFound) {
		return false
	}
	r.tries++
	return r.tries < mostTries
}

// index makes the map, and finds the end of what is cleaned.
func (r *round) index(ctx context.Context) error {
	bytes := r.opts.MapBytes
	if r.opts.MapBytesNow != nil {
		bytes = max(r.opts.MapBytesNow(), leastMap)
	}
	r.sieve.keys = newKeyMap(bytes, int64(r.marks.Stable-r.from))
	r.sieve.end = r.from
	for at, stop := r.from, false; !stop; {
		from, runs, aborted, err := r.runs(at, r.marks.Stable, r.opts.PieceBytes)
		if err != nil {
			return err
		}
		if len(runs) == 0 {
			break
		}
		err = r.readRuns(ctx, runs, func(b rewrite.Batch) error {
			if metastore.Offset(b.Header.LastOffset()) < from {
				return nil
			}
			if stop = !r.take(b, &runs[b.Run], aborted); stop {
				return errEnough
			}
			from = r.sieve.end
			return nil
		})
		if r.again(err) {
			at = from
			continue
		}
		if err != nil {
			return err
		}
		r.tries = 0
		at = runs[len(runs)-1].End()
	}
	switch {
	case r.sieve.end > r.from:
		return nil
	case r.full:
		return ErrTooManyKeys
	}
	return errGone
}

// take puts the keys of a batch of a run into the map; false if it is not to be cleaned in this round, nor any after it.
func (r *round) take(b rewrite.Batch, of *metastore.Run, txns abortedTxns) bool {
	h := b.Header
	next := metastore.Offset(h.LastOffset()) + 1
	if next > r.marks.Stable || r.young(h, of) {
		return false
	}
	if !h.Control() && !(h.Transactional() && txns.has(h)) {
		// What cannot be read is kept as it is, and so is everything that it could supersede.
		_ = r.sieve.filter.Entries(b.Bytes, func(e recordbatch.Entry) bool {
			if e.Key != nil && metastore.Offset(e.Offset) >= r.from {
				r.full = !r.sieve.keys.put(e.Key, metastore.Offset(e.Offset))
			}
			return !r.full
		})
		if r.full {
			return false
		}
	}
	r.sieve.end = next
	return true
}

// young tells whether a batch of a run has to stay as it is for min.compaction.lag.ms. Without timestamps it is as old as what it was
// stored in, as far as that is known, and never older.
func (r *round) young(h recordbatch.Header, of *metastore.Run) bool {
	if r.policy.MinCompactionLagMs <= 0 || planted.Is(planted.LagIgnored) {
		return false
	}
	newest := h.MaxTimestamp
	if newest < 0 {
		newest = of.Stored().UnixMilli()
	}
	return newest > eldest(r.now, r.policy.MinCompactionLagMs)
}

// A stretch may take so long, and no longer, for what it gives tombstones counts from when it began; leastStretch is for topics
// that hardly keep them.
const (
	mostStretch  = 10 * time.Minute
	leastStretch = 5 * time.Second
)

// begin sets the delete horizon of a stretch: when it has taken its place in the log, which it does within the time returned or
// not at all, tombstones have delete.retention.ms left. A reader that met an older record of the key just before, and gets on in
// that time, still meets the tombstone, however slow the store is.
func (r *round) begin() (most time.Duration) {
	retention := min(r.policy.DeleteRetentionMs, math.MaxInt64/4)
	slack := min(retention/2, mostStretch.Milliseconds())
	r.sieve.horizon = min(r.opts.Now().UnixMilli(), math.MaxInt64/2) + retention + slack
	return max(time.Duration(slack)*time.Millisecond, leastStretch)
}

// stretch cleans what begins at an offset, and returns where it ends: the runs there that stay as they are, and those
// after them as far as one entry goes.
func (r *round) stretch(ctx context.Context, at metastore.Offset) (metastore.Offset, error) {
	if topic, ok := r.log.TopicByID(r.Topic); !ok || !r.policyOf(topic).Compact {
		return 0, errGone // somebody has it keep what is left, as Kafka's cleaner is told to stop then
	}
	ctx, cancel := context.WithTimeout(ctx, r.begin())
	defer cancel()
	_, runs, aborted, err := r.runs(at, r.sieve.end, r.opts.PieceBytes)
	if err != nil {
		return 0, err
	}
	if len(runs) == 0 {
		return r.sieve.end, nil
	}
	r.sieve.aborted = aborted
	first, err := r.firstChanged(ctx, runs)
	if err == nil && first < len(runs) {
		err = r.noteBegun(ctx)
	}
	if err == nil && first < len(runs) {
		err = r.rewrite(ctx, runs[first:])
	}
	if planted.Is(planted.CleanedTooFar) {
		err = nil
	}
	if r.again(err) {
		return r.sieve.passed, nil
	}
	if err != nil {
		return 0, err
	}
	r.tries = 0
	return runs[len(runs)-1].End(), nil
}

// justBegun is an offset that says nothing of what was cleaned, but that a round began: see noteBegun.
const justBegun = 1

// noteBegun says, before the first gap in a partition, that there may be some, should the round not get to its end: whoever finds
// one would take it for a loss. What is below the offset is gone, or the first record, which has nothing before it.
func (r *round) noteBegun(ctx context.Context) error {
	if r.cleanedTo > 0 || r.begun {
		return nil
	}
	err := r.log.NoteCleaned(ctx, r.TopicPartition, max(r.marks.LogStart, justBegun), nil)
	if errors.Is(err, metastore.ErrUnknownPartition) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("note that cleaning begins: %w", err)
	}
	r.begun = true
	return nil
}

// firstChanged shows the sieve runs until one changes, and returns its index; len(runs) if none does. The sieve has then seen
// those before it.
func (r *round) firstChanged(ctx context.Context, runs []metastore.Run) (int, error) {
	at, changed := 0, false
	before, passed := r.sieve.clone(), r.sieve.passed
	err := r.readRuns(ctx, runs, func(b rewrite.Batch) error {
		if b.Run != at {
			at, before, passed = b.Run, r.sieve.clone(), r.sieve.passed
		}
		out, err := r.sieve.pass(b.Header, b.Bytes)
		if err != nil {
			return err
		}
		if changed = !same(out, b.Bytes); changed {
			return errEnough
		}
		return nil
	})
	if changed || err != nil {
		r.sieve.trail, r.sieve.passed = before, passed
		return at, err
	}
	return len(runs), nil
}

// same tells whether a batch is the one that the sieve was shown.
func same(out, in []byte) bool { return len(out) == len(in) && &out[0] == &in[0] }

// rewrite replaces runs by what the sieve leaves of them.
func (r *round) rewrite(ctx context.Context, runs []metastore.Run) error {
	before, passed := r.sieve.clone(), r.sieve.passed
	report, err := r.engine.Do(ctx, []rewrite.Part{{TopicPartition: r.TopicPartition, Runs: runs, Clean: func(b rewrite.Batch) ([]byte, error) {
		return r.sieve.pass(b.Header, b.Bytes)
	}}})
	r.read += report.BytesRead
	r.written += report.BytesWritten
	if err == nil {
		err = report.Results[0]
	}
	if err != nil {
		r.sieve.trail, r.sieve.passed = before, passed
	}
	return err
}
