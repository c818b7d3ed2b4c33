// Package rewrite writes runs of many partitions again, as runs in segments of tier 1.
//
// A job names parts: consecutive runs of one partition each. Their batches are read in order, within a bound of memory,
// checked, given to whoever wants to drop or change some, and laid out in new objects. Once these are stored, the commit
// log is asked to replace the old runs by the new ones. Nothing is deleted here: what runs name no more becomes garbage
// in the log.
//
// A job that dies at any line has changed nothing, or has replaced whole parts: objects come before the entry that names
// them, and that entry holds for a partition only if its runs are still those that were read.
package rewrite

import (
	"context"
	"errors"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// Part is what a job rewrites of one partition.
type Part struct {
	metastore.TopicPartition
	// Runs are consecutive ones of the partition, in order, as the state has them; the ends of transactions too. There is
	// one at least, and no more than MaxPartRuns.
	Runs []metastore.Run
	// CleanedTo is handed on to the commit log: log compaction has got so far. 0 says nothing.
	CleanedTo metastore.Offset
	// Clean decides what becomes of each batch; nil keeps all.
	Clean Clean
}

// MaxPartRuns is how many runs a part may have: they are swapped in one entry of the log.
const MaxPartRuns = metastore.MaxSwapRuns / 4

// Batch is a batch as it is read.
type Batch struct {
	// Header has the batch's real base offset, and leader epoch 0.
	Header recordbatch.Header
	// Bytes are the whole batch, with those in its header too. They are good, and may be changed, until the function that
	// got the batch returns.
	Bytes []byte
	// Run is the index in Part.Runs of the run that has the batch.
	Run int
	// Last says that no batch of the part follows.
	Last bool
}

// Clean returns what is written in place of a batch: b.Bytes, or another batch whose offsets lie within those of b (its CRC
// is right, and its header has its real base offset), or nil for nothing. What it returns is copied before the next call.
// It gets the batches of a part in order, one at a time, on one goroutine. An error ends the part, and is its result; the
// other parts go on.
type Clean func(b Batch) ([]byte, error)

var (
	// ErrRefused: the runs of the part are not any more what they were when they were read, or the partition is gone.
	// Nothing was replaced, and whoever wants it still plans anew.
	ErrRefused = errors.New("runs have changed since they were read")
	// ErrCorrupt: a run does not hold what the log says of it. A *CorruptError tells which.
	ErrCorrupt = errors.New("corrupt run")
)

// CorruptError tells which run of a part cannot be read. It is an ErrCorrupt.
type CorruptError struct {
	Run    metastore.Run
	Reason error
}

func (e *CorruptError) Error() string {
	return ErrCorrupt.Error() + ": segment " + e.Run.Segment.String() + ": " + e.Reason.Error()
}

// Unwrap returns ErrCorrupt and the reason.
func (e *CorruptError) Unwrap() []error { return []error{ErrCorrupt, e.Reason} }

// SegmentError says that a segment could not be read, several times over or for good. If it is an objstore.ErrNotFound, the
// segment was replaced and deleted since the job was planned, which is to be planned anew, or else it is lost.
type SegmentError struct {
	Segment metastore.SegmentID
	Reason  error
}

func (e *SegmentError) Error() string {
	return "read segment " + e.Segment.String() + ": " + e.Reason.Error()
}

// Unwrap returns the reason.
func (e *SegmentError) Unwrap() error { return e.Reason }

// Store is what the engine needs of an objstore.Store.
type Store interface {
	objstore.Getter
	Put(ctx context.Context, key string, parts [][]byte) error
}

// Report tells what a job did.
type Report struct {
	// Results are by part: nil if its runs were replaced, ErrRefused, ErrCorrupt, or the error of its Clean.
	Results []error
	// BytesRead and BytesWritten are those of the objects, what was read beside the runs included; Gets and Objects are how
	// many requests and PUTs they took.
	BytesRead, BytesWritten int64
	Gets, Objects           int
}
