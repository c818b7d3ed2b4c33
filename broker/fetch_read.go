package broker

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/metastore"
)

// RecordReader reads record batches that are committed; reader.Reader does.
type RecordReader interface {
	Read(ctx context.Context, tp metastore.TopicPartition, from metastore.Offset, isolation reader.Isolation,
		maxBytes int, atLeastOne bool) (reader.Result, error)
	// OffsetForTimestamp finds the first record with a timestamp of ts or later, MaxTimestamp the first with the largest.
	// It may lie beyond the last stable offset.
	OffsetForTimestamp(ctx context.Context, tp metastore.TopicPartition, ts int64) (offset metastore.Offset, timestamp int64, found bool, err error)
	MaxTimestamp(ctx context.Context, tp metastore.TopicPartition) (offset metastore.Offset, timestamp int64, found bool, err error)
}

// fetchParallelism bounds the partitions of one request that are read at the same time. Most reads come from memory;
// those that do not are a request to the object store each.
const fetchParallelism = 16

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
	left := int(got)
	for i := range p.reads {
		if left <= 0 {
			p.reads = p.reads[:i]
			return
		}
		p.reads[i].bytes = min(p.reads[i].bytes, left)
		left -= min(p.reads[i].there, p.reads[i].bytes)
	}
}

// read fills the rows of the plan with records.
func (f *fetch) read(ctx context.Context, plan *fetchPlan) {
	if len(plan.reads) == 0 {
		return
	}
	slots := make(chan struct{}, fetchParallelism)
	var group sync.WaitGroup
	for i := range plan.reads[1:] {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			f.readOne(ctx, plan, i+1, false)
		})
	}
	f.readOne(ctx, plan, 0, true)
	group.Wait()
	// The first may have failed, or had less than it seemed.
	for i := range plan.reads[1:] {
		if plan.size() > 0 {
			return
		}
		f.readOne(ctx, plan, i+1, true)
	}
}

func (f *fetch) readOne(ctx context.Context, plan *fetchPlan, i int, atLeastOne bool) {
	read := &plan.reads[i]
	row := &plan.rows[read.row]
	result, err := f.Reader.Read(ctx, read.tp, metastore.Offset(row.offset), f.isolation, read.bytes, atLeastOne)
	if err != nil {
		if ctx.Err() == nil {
			f.Logger.Error("records cannot be read", "partition", read.tp, "offset", row.offset, "error", err)
		}
		*row = row.failed(readError(err))
		return
	}
	row.at(result.Watermarks)
	row.records, row.size = result.Records, result.Bytes
}

func (p *fetchPlan) size() int {
	n := 0
	for i := range p.rows {
		n += p.rows[i].size
	}
	return n
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
