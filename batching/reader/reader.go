// Package reader is the read path: it turns the runs that the commit log names into record batches with offsets.
//
// Batches are stored as producers sent them. Their offsets follow from the run's base offset and the batches before
// them in the run, so a read walks over batch headers from the start of a run; it copies and patches the 61 bytes of
// each header and refers to the rest where it lies, in the cache's memory or the writer's.
package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
)

// ErrCorrupt: the stored bytes are not the batches that the commit log tells of. Nothing of them is returned.
var ErrCorrupt = errors.New("stored records do not match the commit log")

// ErrSearchLimit: a search by time looked into Options.SearchBytes, or SearchInflatedBytes, of batches whose max
// timestamps promised a record that is not in them.
var ErrSearchLimit = errors.New("search by time gave up: max timestamps of batches are not those of their records")

// leaderEpoch is written into every batch: partitions have no leader, and one epoch for ever.
const leaderEpoch = 0

// Log is what the reader needs of the folded commit log. No method waits.
type Log interface {
	Runs(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, error)
	RunAt(tp metastore.TopicPartition, timestamp int64) (metastore.Run, bool)
	RunWithMaxTimestamp(tp metastore.TopicPartition) (metastore.Run, bool)
}

// Blocks reads ranges of immutable objects. The result is shared memory, not to be modified; its parts add up to length
// bytes, fewer only if the object ends before. objstore.ErrNotFound and objstore.ErrRange as in objstore.Store.
type Blocks interface {
	Read(ctx context.Context, key string, objectSize, offset, length int64) ([][]byte, error)
}

// Recent is the memory of what this broker wrote a short while ago. Run returns the bytes of a run, shared and not to
// be modified, if it has them all.
type Recent interface {
	Run(id metastore.SegmentID, position, length uint32) ([][]byte, bool)
}

// Options of a Reader. The zero value is the default.
type Options struct {
	// Ahead is how many runs of one read are loaded at the same time. Default 8.
	Ahead int
	// WindowBytes is the least that is loaded of a run at a time, unless the run ends before. Default 1 MiB.
	WindowBytes int
	// SearchBytes bounds the compressed bytes that one search by time looks into. Default 64 MiB.
	SearchBytes int
	// InflatedBytes bounds what one batch may decompress to in a search by time. Default 100 MiB.
	InflatedBytes int
	// SearchInflatedBytes bounds what one search by time decompresses: a batch of 3 KiB can hold 100 MiB. Each batch
	// counts for 64 KiB at least. Default 256 MiB, less than a second.
	SearchInflatedBytes int
	// Searches is how many batches are decompressed at the same time, by all searches. Default: half the processors, 1 at
	// least, so that searches leave room for reads and writes.
	Searches int
}

func (o Options) withDefaults() Options {
	if o.Ahead <= 0 {
		o.Ahead = 8
	}
	if o.WindowBytes <= 0 {
		o.WindowBytes = 1 << 20
	}
	if o.SearchBytes <= 0 {
		o.SearchBytes = 64 << 20
	}
	if o.InflatedBytes <= 0 {
		o.InflatedBytes = 100 << 20
	}
	if o.SearchInflatedBytes <= 0 {
		o.SearchInflatedBytes = 256 << 20
	}
	if o.Searches <= 0 {
		o.Searches = max(runtime.GOMAXPROCS(0)/2, 1)
	}
	return o
}

// Reader reads records by offset and by time. All methods may run concurrently.
type Reader struct {
	log    Log
	blocks Blocks
	recent Recent
	opts   Options

	searching chan struct{} // holds a token for each batch that is being decompressed
}

// New makes a reader. recent may be nil.
func New(log Log, blocks Blocks, recent Recent, opts Options) *Reader {
	opts = opts.withDefaults()
	return &Reader{log: log, blocks: blocks, recent: recent, opts: opts, searching: make(chan struct{}, opts.Searches)}
}

// load reads bytes [from, from+n) of a run.
func (r *Reader) load(ctx context.Context, run metastore.Run, from, n uint32) ([][]byte, error) {
	parts, err := r.blocks.Read(ctx, segment.Key(run.Segment), run.SegmentSize, int64(run.Position)+int64(from), int64(n))
	if errors.Is(err, objstore.ErrRange) {
		return nil, fmt.Errorf("%w: segment %s is shorter than %d bytes: %w", ErrCorrupt, run.Segment, run.SegmentSize, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", run.Segment, err)
	}
	for i, p := range parts {
		if len(p) < copiedBelow {
			parts[i] = bytes.Clone(p)
		}
	}
	return parts, nil
}

// copiedBelow is the length below which a part of a block is copied: an answer made of a thousand small runs would else
// keep as many blocks of 1 MiB in memory, for as long as a client takes to read it.
const copiedBelow = 256 << 10

// inMemory returns the bytes of a run if the writer still has them.
func (r *Reader) inMemory(run metastore.Run) ([][]byte, bool) {
	if r.recent == nil {
		return nil, false
	}
	return r.recent.Run(run.Segment, run.Position, run.Length)
}
