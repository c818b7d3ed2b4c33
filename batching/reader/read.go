package reader

import (
	"context"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
)

// Isolation is how far a read goes, by Kafka's number.
type Isolation int8

// The isolation levels.
const (
	ReadUncommitted Isolation = iota // to the high watermark
	ReadCommitted                    // to the last stable offset
)

// Result is what a Read found.
type Result struct {
	// Watermarks are those of the state that the records were chosen from. With metastore.ErrOffsetOutOfRange they are
	// filled in too.
	Watermarks metastore.Watermarks
	// Records are whole batches in order, as parts. The caller may keep the slices but not modify them: batch bodies are
	// memory shared with the cache.
	Records [][]byte
	// Bytes is the length of all parts.
	Bytes int
}

// Read returns batches from the one that holds offset `from` on, as many as fit in maxBytes; with atLeastOne the first
// even if it does not. The first batch may begin before from. At the border (high watermark or last stable offset)
// there is nothing to read, and no error.
//
// Errors: metastore.ErrUnknownPartition, metastore.ErrOffsetOutOfRange, ErrCorrupt, those of Blocks (the text names the
// segment). If batches before the error can be read, they are returned without it.
func (r *Reader) Read(ctx context.Context, tp metastore.TopicPartition, from metastore.Offset, isolation Isolation,
	maxBytes int, atLeastOne bool) (Result, error) {
	marks, runs, err := r.log.Runs(tp, from, max(maxBytes, 1))
	a := answer{from: from, upTo: marks.High, maxBytes: maxBytes, atLeastOne: atLeastOne, result: Result{Watermarks: marks}}
	if isolation == ReadCommitted {
		a.upTo = marks.Stable
	}
	for err == nil && len(runs) > 0 && a.wants(runs[0]) {
		if err = r.readRuns(ctx, runs, &a); err != nil || a.full {
			break
		}
		// The runs were enough by their length, but the first may have been needed in part.
		last := runs[len(runs)-1]
		a.from = last.Base + metastore.Offset(last.Records)
		if _, runs, err = r.log.Runs(tp, a.from, maxBytes-a.result.Bytes); err != nil {
			return a.result, nil // deleted or trimmed meanwhile: the next read will tell
		}
	}
	if err != nil && a.result.Bytes > 0 {
		return a.result, nil // the next read begins at what cannot be read, and will tell
	}
	return a.result, err
}

// answer collects the batches of one Read.
type answer struct {
	from, upTo metastore.Offset
	maxBytes   int
	atLeastOne bool
	full       bool // nothing more is wanted
	result     Result
	headers    []byte // room for patched headers
}

// wants tells whether the run can have something for the answer.
func (a *answer) wants(run metastore.Run) bool {
	return !a.full && run.Base < a.upTo && (a.result.Bytes < a.maxBytes || a.atLeastOne && a.result.Bytes == 0)
}

// readRuns walks over runs in order, while those ahead are loaded.
func (r *Reader) readRuns(ctx context.Context, runs []metastore.Run, a *answer) error {
	ctx, cancel := context.WithCancel(ctx)
	ahead := prefetch{reader: r, runs: runs, window: r.window(a.maxBytes)}
	defer func() {
		cancel()
		ahead.running.Wait()
	}()
	for i, run := range runs {
		if !a.wants(run) {
			a.full = true
			return nil
		}
		w, err := ahead.get(ctx, i)
		if err != nil {
			return err
		}
		if err := a.addRun(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// window is how much of a run is loaded at a time for an answer of maxBytes.
func (r *Reader) window(maxBytes int) uint32 {
	const most = 64 << 20
	return uint32(min(max(maxBytes, r.opts.WindowBytes), most))
}

// addRun adds batches of a run until the answer is full.
func (a *answer) addRun(ctx context.Context, w *walk) error {
	for !a.full {
		h, ok, err := w.next(ctx)
		if err != nil || !ok {
			return err
		}
		switch {
		case metastore.Offset(h.LastOffset()) < a.from:
			w.skip(h)
		case metastore.Offset(h.LastOffset()) >= a.upTo, !a.fits(h.Size()):
			a.full = true
		default:
			if err := a.addBatch(ctx, w, h); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *answer) fits(size int) bool {
	return size <= a.maxBytes-a.result.Bytes || a.atLeastOne && a.result.Bytes == 0
}

// addBatch adds the batch at hand: a patched copy of its header, and its body where it lies.
func (a *answer) addBatch(ctx context.Context, w *walk, h recordbatch.Header) error {
	first := len(a.result.Records)
	parts, err := w.take(ctx, h, append(a.result.Records, nil))
	if err != nil {
		return err
	}
	if cap(a.headers)-len(a.headers) < recordbatch.HeaderSize {
		a.headers = make([]byte, 0, 16*recordbatch.HeaderSize)
	}
	n := len(a.headers)
	// The header may span parts: copy from each what belongs to it, and leave in place what does not.
	kept := first + 1
	for i := first + 1; i < len(parts); i++ {
		missing := recordbatch.HeaderSize - (len(a.headers) - n)
		mine := min(missing, len(parts[i]))
		a.headers = append(a.headers, parts[i][:mine]...)
		if mine < len(parts[i]) {
			parts[kept] = parts[i][mine:]
			kept++
		}
	}
	clear(parts[kept:])
	header := a.headers[n:len(a.headers):len(a.headers)]
	recordbatch.SetBaseOffset(header, h.BaseOffset, leaderEpoch)
	parts[first] = header
	a.result.Records = parts[:kept]
	a.result.Bytes += h.Size()
	return nil
}
