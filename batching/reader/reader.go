// Package reader is the read path: it turns the runs that the commit log names into record batches with offsets.
//
// In tier 0 batches are stored as producers sent them. Their offsets follow from the run's base offset and the batches
// before them in the run, so a read walks over batch headers from the start of a run; it copies and patches the 61 bytes of
// each header and refers to the rest where it lies: in the writer's memory, the block cache's, or the read-ahead pool's.
// Batches that end transactions lie nowhere: they are made of what the commit log says.
//
// In tier 1 batches carry their offsets, with gaps where records were taken out, and the ends of transactions lie among
// them. A run may be long; the index of its object has the places to begin at. Such runs are old, wherever they lie.
//
// Runs may be replaced between two looks at the log by others that hold the same batches, of another tier and with other
// borders. What was planned with the old ones goes on with them: their objects stay for a while. What comes after it
// goes by offsets alone, so that nothing is read twice or left out.
package reader

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/readahead"
	"github.com/runnel-io/runnel/planted"
)

// ErrCorrupt: the stored bytes are not the batches that the commit log tells of. Nothing of them is returned.
var ErrCorrupt = errors.New("stored records do not match the commit log")

// ErrUnreadable: a compressed batch is stored as its producer sent it, and does not hold the records that its header
// announces.
var ErrUnreadable = errors.New("a producer's batch cannot be decompressed into its records")

// ErrSearchLimit: a search by time looked into Options.SearchBytes, or SearchInflatedBytes, of batches whose max
// timestamps promised a record that is not in them.
var ErrSearchLimit = errors.New("search by time gave up: max timestamps of batches are not those of their records")

// leaderEpoch is written into every batch: partitions have no leader, and one epoch for ever.
const leaderEpoch = 0

// Log is what the reader needs of the folded commit log. No method waits.
type Log interface {
	Runs(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, error)
	CommittedRuns(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, []metastore.AbortedTxn, error)
	RunAt(tp metastore.TopicPartition, timestamp int64) (metastore.Run, bool)
	RunWithMaxTimestamp(tp metastore.TopicPartition) (metastore.Run, bool)
}

// Blocks reads ranges of immutable objects that many want at about the same time. The result is shared memory, not to be
// modified; its parts add up to length bytes, fewer only if the object ends before. objstore.ErrNotFound and
// objstore.ErrRange as in objstore.Store.
type Blocks interface {
	Read(ctx context.Context, key string, objectSize, offset, length int64) ([][]byte, error)
	// Prefetch begins to load ranges that Read will be asked for. It does not wait.
	Prefetch(ctx context.Context, key string, objectSize int64, ranges []objstore.Range)
	// Forget makes an object be read from the bucket again: what is kept of it is wrong.
	Forget(key string)
}

// Recent is the memory of what this broker wrote a short while ago. Run returns the bytes of a run, shared and not to
// be modified, if it has them all.
type Recent interface {
	Run(id metastore.SegmentID, position, length uint32) ([][]byte, bool)
}

// Options of a Reader. The zero value is the default.
type Options struct {
	// WindowBytes is the least that is loaded of a run at a time when more is needed than was planned, unless the run ends
	// before. Default 1 MiB.
	WindowBytes int
	// HotAge is how old a segment may be for its records to be the tail's: they come by way of Blocks, which many readers
	// share. Older ones are read with read-ahead. Default 1 min.
	HotAge time.Duration
	// HotBytes is how far a reader may be behind the end of a partition to be at the tail all the same. Default 8 MiB.
	HotBytes int
	// MinAhead and MaxAhead bound what is loaded ahead of one connection's reads. Defaults 512 KiB and 32 MiB.
	MinAhead, MaxAhead int64
	// PinBytes bounds the blocks that answers keep in memory for a part below 256 KiB each, by blocks of 1 MiB; beyond it
	// such parts are copied. Default 64 MiB.
	PinBytes int64
	// LongestFetch bounds the wait of one Fetch for the store: clients give up after 30 s, and would hear of no error.
	// Default 20 s.
	LongestFetch time.Duration
	Now          func() time.Time // that segments' ages go by; default time.Now
	// SearchBytes bounds the compressed bytes that one search by time looks into. Default 64 MiB.
	SearchBytes int
	// InflatedBytes bounds what one batch may decompress to in a search by time. Default 100 MiB.
	InflatedBytes int
	// SearchInflatedBytes bounds what one search by time decompresses: a batch of 3 KiB can hold 100 MiB. Each batch
	// counts for 64 KiB at least. Default 256 MiB, less than a second.
	SearchInflatedBytes int
	// UnindexedBytes is the length of a run of tier 1 up to which a place in it is looked for without the index: that takes one request to
	// the store, and with the index it takes two. Default 512 KiB; simulations have short runs, and take less.
	UnindexedBytes int
	// IndexBytes bounds the memory for indexes of objects of tier 1. Default 8 MiB, some three hundred.
	IndexBytes int64
	// Searches is how many batches are decompressed at the same time, by all searches. Default: half the processors, 1 at
	// least, so that searches leave room for reads and writes.
	Searches int
}

func (o Options) withDefaults() Options {
	if o.WindowBytes <= 0 {
		o.WindowBytes = 1 << 20
	}
	if o.HotAge == 0 {
		o.HotAge = time.Minute
	}
	if o.HotBytes <= 0 {
		o.HotBytes = 8 << 20
	}
	if o.MinAhead <= 0 {
		o.MinAhead = 512 << 10
	}
	if o.MaxAhead <= 0 {
		o.MaxAhead = 32 << 20
	}
	if o.PinBytes <= 0 {
		o.PinBytes = 64 << 20
	}
	if o.LongestFetch <= 0 {
		o.LongestFetch = 20 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
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
	if o.UnindexedBytes <= 0 {
		o.UnindexedBytes = 512 << 10
	}
	if o.IndexBytes <= 0 {
		o.IndexBytes = 8 << 20
	}
	if o.Searches <= 0 {
		o.Searches = max(runtime.GOMAXPROCS(0)/2, 1)
	}
	return o
}

// Reader reads records by offset and by time. All methods may run concurrently.
//
// Bytes come from the writer's memory if it still has the run; else, at the tail, from Blocks, which the brokers of a
// zone share; else from a readahead.Pool, so that a reader of old records neither takes the tail's memory nor waits in
// its line.
type Reader struct {
	log     Log
	blocks  Blocks
	ahead   *readahead.Pool
	recent  Recent
	opts    Options
	indexes indexes
	scans   scans
	pinned  atomic.Int64 // see Options.PinBytes

	searching chan struct{} // holds a token for each batch that is being decompressed
}

// New makes a reader. recent may be nil.
func New(log Log, blocks Blocks, ahead *readahead.Pool, recent Recent, opts Options) *Reader {
	opts = opts.withDefaults()
	return &Reader{log: log, blocks: blocks, ahead: ahead, recent: recent, opts: opts, indexes: indexes{most: opts.IndexBytes},
		searching: make(chan struct{}, opts.Searches)}
}

// runs finds the runs of a partition from an offset on, as far as the isolation lets them be read: up to upTo, which may
// lie inside the last one.
func (r *Reader) runs(isolation Isolation, tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (
	marks metastore.Watermarks, upTo metastore.Offset, runs []metastore.Run, aborted []metastore.AbortedTxn, err error) {
	if isolation == ReadCommitted && !planted.Is(planted.ReadsPastStable) {
		marks, runs, aborted, err = r.log.CommittedRuns(tp, from, maxBytes)
		return marks, marks.Stable, runs, aborted, err
	}
	marks, runs, err = r.log.Runs(tp, from, maxBytes)
	return marks, marks.High, runs, nil, err
}

// inMemory returns the bytes of a run if the writer still has them.
func (r *Reader) inMemory(run metastore.Run) ([][]byte, bool) {
	if r.recent == nil {
		return nil, false
	}
	return r.recent.Run(run.Segment, run.Position, run.Length)
}
