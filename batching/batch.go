package batching

import (
	"context"
	"slices"
	"time"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
)

// Batch is one record batch on its way into a segment. It was validated before, and its log append time is set where
// the topic asks for that: the Writer does not look inside.
type Batch struct {
	metastore.TopicPartition
	Bytes  []byte             // the caller's again once Append returned
	Header recordbatch.Header // of Bytes
	// MaxLinger is the longest that the batch waits for company; 0 is the Writer's, negative is none. A longer one than
	// the Writer's asks for cheap PUTs: the batch then waits for its own deadline, a full segment, or company that leaves.
	MaxLinger time.Duration
	// Implicit lets a transactional batch begin its transaction and add the partition to it (see metastore.BatchCommit).
	Implicit bool
}

// records is how many offsets the batch takes.
func (b *Batch) records() int64 { return int64(b.Header.LastOffsetDelta) + 1 }

// pieceBytes bounds what batches of one request share of memory, and so what a reader of one of them keeps of others.
const pieceBytes = 256 << 10

// copyBatches appends a copy of each batch's bytes to dst, and tells how much memory the copies hold. Batches of a
// request share pieces of memory, so that small ones do not cost an allocation each; requests share none, so that a
// segment holds what is in it and no more.
func copyBatches(dst [][]byte, batches []Batch) (copies [][]byte, held int64) {
	for len(batches) > 0 {
		n, size := 1, len(batches[0].Bytes)
		for n < len(batches) && size+len(batches[n].Bytes) <= pieceBytes {
			size += len(batches[n].Bytes)
			n++
		}
		var piece []byte
		if n > 1 {
			piece = slices.Grow(piece, size)
		} // else append does not clear what it is about to fill
		for i := range batches[:n] {
			from := len(piece)
			piece = append(piece, batches[i].Bytes...)
			dst = append(dst, piece[from:len(piece):len(piece)])
		}
		held += int64(cap(piece))
		batches = batches[n:]
	}
	return dst, held
}

// request sums up what a call of Append brings.
type request struct {
	size    int64 // bytes of the batches
	held    int64 // bytes of memory of their copies
	records int64
}

// Pending is a request that was appended and waits for its commit.
type Pending struct {
	seg    *segmentWrite
	places []place // of the request's batches, in their order
}

// place says where in a segment a batch lies: an index into segmentWrite.parts and one into part.batches.
type place struct{ part, batch int32 }

// Wait returns the results of the request's batches, in the order in which they were given to Append, once their
// segment is committed. ErrStorage and ErrClosed say that none of them is in the log or ever will be;
// ErrUnknownOutcome, that they may be. Ctx's error ends the wait only: the batches go on to be committed. Any number
// of goroutines may wait, any number of times.
func (p *Pending) Wait(ctx context.Context) ([]metastore.BatchResult, error) {
	if len(p.places) == 0 {
		return nil, nil
	}
	select {
	case <-p.seg.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.seg.err != nil {
		return nil, p.seg.err
	}
	results := make([]metastore.BatchResult, len(p.places))
	for i, at := range p.places {
		results[i] = p.seg.results[at.part][at.batch]
	}
	return results, nil
}

// Done is closed when Wait would not block.
func (p *Pending) Done() <-chan struct{} {
	if len(p.places) == 0 {
		return closed
	}
	return p.seg.done
}

// closed is the Done of requests without batches.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
