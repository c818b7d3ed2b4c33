package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// RecordReader reads record batches that are committed; reader.Reader does.
type RecordReader interface {
	// Fetch reads from several partitions; its answer is to be released. scan is the connection's.
	Fetch(ctx context.Context, scan *reader.Scan, isolation reader.Isolation, wants []reader.Want) *reader.Fetched
	// OffsetForTimestamp finds the first record with a timestamp of ts or later, MaxTimestamp the first with the largest.
	// It may lie beyond the last stable offset.
	OffsetForTimestamp(ctx context.Context, tp metastore.TopicPartition, ts int64) (offset metastore.Offset, timestamp int64, found bool, err error)
	MaxTimestamp(ctx context.Context, tp metastore.TopicPartition) (offset metastore.Offset, timestamp int64, found bool, err error)
}

// What an answer may hold without asking, so that the consumers at the tail are served however many others do not read
// their answers, and what every other waits for.
const (
	freeAnswer  = 64 << 10
	leastAnswer = 1 << 20
)

// holder bounds what answers hold in memory; wire.Conn does.
type holder interface {
	Hold(ctx context.Context, n, least int64) (int64, error)
}

// consumer is who fetches: a wire.Conn.
type consumer interface {
	holder
	Endpoint() *wire.Endpoint
}

// hold waits for memory for the answer, and shortens the plan to what there is.
func (p *fetchPlan) hold(ctx context.Context, c holder) {
	if p.bytes <= freeAnswer {
		return
	}
	got, err := c.Hold(ctx, int64(p.bytes), leastAnswer)
	if err != nil { // nobody is there to read the answer
		p.reads = nil
		return
	}
	p.shorten(int(got))
}

// shorten leaves so many bytes to be read, or the first batch.
func (p *fetchPlan) shorten(left int) {
	p.bytes = 0
	for i := range p.reads {
		if left <= 0 {
			p.reads = p.reads[:i]
			return
		}
		p.reads[i].bytes = min(p.reads[i].bytes, left)
		n := min(p.reads[i].there, p.reads[i].bytes)
		left -= n
		p.bytes += n
	}
}

// answerSize is about how large the rows are in an answer, with what stands above them.
func answerSize(rows []fetchedPartition) int {
	const head, row = 32, 48
	size := head
	for i := range rows {
		if rows[i].size > 0 || rows[i].err != nil {
			size += row + rows[i].size
		}
	}
	return size
}

// read fills the rows of the plan with records, which lie in what it returns, nil if there are none.
func (f *fetch) read(ctx context.Context, plan *fetchPlan) *reader.Fetched {
	if len(plan.reads) == 0 {
		return nil
	}
	wants := make([]reader.Want, len(plan.reads))
	for i := range plan.reads {
		read := &plan.reads[i]
		// No more than was planned: what was written since, while this waited for memory, fits into no bound.
		wants[i] = reader.Want{TopicPartition: read.tp, From: metastore.Offset(plan.rows[read.row].offset), MaxBytes: min(read.bytes, read.there)}
	}
	fetched := f.Reader.Fetch(ctx, f.scan, f.isolation, wants)
	for i := range fetched.Results {
		result, row := &fetched.Results[i], &plan.rows[plan.reads[i].row]
		if result.Err != nil {
			if ctx.Err() == nil {
				f.tell("records cannot be read", "partition", wants[i].TopicPartition, "offset", row.offset, "error", result.Err)
			}
			*row = row.failed(readError(result.Err))
			continue
		}
		row.at(result.Watermarks)
		row.records, row.size, row.aborted = result.Records, result.Bytes, result.Aborted
	}
	return fetched
}

// tellPause is the least time between two errors in the log of what clients ask for again and again, thousands of times a
// second while the bucket is away.
const tellPause = time.Second

// tell logs an error that clients can bring about, once in a while.
func (b *Broker) tell(what string, args ...any) {
	if b.told.allow(b.Now(), tellPause) {
		b.Logger.Error(what, args...)
	}
}

// warn logs what clients did, once in a while.
func (b *Broker) warn(what string, args ...any) {
	if b.warned.allow(b.Now(), tellPause) {
		b.Logger.Warn(what, args...)
	}
}

// readError is what a client is told that asks for records which are there but cannot be read now: an error that it
// tries again.
func readError(err error) *kerr.Error {
	switch {
	case errors.Is(err, metastore.ErrOffsetOutOfRange):
		return kerr.OffsetOutOfRange
	case errors.Is(err, metastore.ErrUnknownPartition):
		return kerr.UnknownTopicOrPartition
	}
	return kerr.KafkaStorageError
}
