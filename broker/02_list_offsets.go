package broker

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// ListOffsets (2), versions 1 to 11: offsets by time. Timestamps below 0 ask for borders:
//
//	-1 latest              the high watermark; with read_committed the last stable offset
//	-2 earliest            the log start
//	-3 max timestamp       v7 (KIP-734): the first record with the largest timestamp
//	-4 earliest local      v8 (KIP-405): the log start, because nothing is tiered
//	-5 latest tiered       v9 (KIP-1005): none
//	-6 earliest to upload  v11 (KIP-1023): none
//
// Others ask for the first record with that timestamp or a later one; "none" is offset -1 without an error. Records are
// looked for inside compressed batches. v2 brings the isolation level, v4 the leader epoch, which is 0 here for ever.
// A partition that is asked for twice is answered once, with INVALID_REQUEST. Compressed batches are stored as they came, and
// when one that has to be looked into does not hold the records that it announces, the answer is CORRUPT_MESSAGE: no offset
// beyond it can be told to be the first.
//
// They are answered after a look at the commit log, so that whoever was told of an offset, by any broker, finds it below
// the latest one, and its record by time, and whoever deleted records finds them gone. If the log cannot be read, the answer
// is OFFSET_NOT_AVAILABLE, and LEADER_NOT_AVAILABLE before v5 (KIP-207): clients try again. That holds for the log start, too: a
// consumer whose next records have gone asks for it, and one that has moved since would send it back to what it has read.

const (
	latestOffset          = -1
	earliestOffset        = -2
	maxTimestampOffset    = -3
	earliestLocalOffset   = -4
	latestTieredOffset    = -5
	earliestPendingUpload = -6
)

// searchParallelism bounds the searches by time of one request: each reads and decompresses batches.
const searchParallelism = 4

func (b *Broker) listOffsets(ctx context.Context, c *wire.Conn, req *kmsg.ListOffsetsRequest) *kmsg.ListOffsetsResponse {
	resp := respond[*kmsg.ListOffsetsResponse](req)
	resp.Topics = make([]kmsg.ListOffsetsResponseTopic, len(req.Topics))
	twice, answered := askedTwice(req), make(map[fetchKey]bool)
	fresh := !asksForNews(req) || b.refreshed(ctx)
	describes := b.permits(c, acl.Describe, acl.Topic)
	slots := make(chan struct{}, searchParallelism)
	var searches sync.WaitGroup
	for i := range req.Topics {
		from, to := &req.Topics[i], &resp.Topics[i]
		to.Topic = from.Topic
		to.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, 0, len(from.Partitions)) // never moves: rows are being filled
		for j := range from.Partitions {
			asked := &from.Partitions[j]
			key := fetchKey{topic: from.Topic, partition: asked.Partition}
			if answered[key] {
				continue
			}
			answered[key] = twice[key]
			to.Partitions = append(to.Partitions, kmsg.NewListOffsetsResponseTopicPartition())
			row := &to.Partitions[len(to.Partitions)-1]
			row.Partition = asked.Partition
			q := offsetQuery{Broker: b, topic: from.Topic, committed: req.IsolationLevel == 1, version: req.Version, fresh: fresh, asked: asked}
			if !describes.allow(from.Topic) {
				q.fail(row, kerr.TopicAuthorizationFailed)
				continue
			}
			if twice[key] {
				q.fail(row, kerr.InvalidRequest)
				continue
			}
			if asked.Timestamp < 0 && asked.Timestamp != maxTimestampOffset {
				q.answer(ctx, row)
				continue
			}
			slots <- struct{}{}
			searches.Go(func() {
				defer func() { <-slots }()
				q.answer(ctx, row)
			})
		}
	}
	searches.Wait()
	return resp
}

// askedTwice returns the partitions that stand in the request more than once.
func askedTwice(req *kmsg.ListOffsetsRequest) map[fetchKey]bool {
	twice := make(map[fetchKey]bool)
	seen := make(map[fetchKey]bool)
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			key := fetchKey{topic: req.Topics[i].Topic, partition: req.Topics[i].Partitions[j].Partition}
			if seen[key] {
				twice[key] = true
			}
			seen[key] = true
		}
	}
	return twice
}

// asksForNews tells whether anything is asked that the commit log may have changed.
func asksForNews(req *kmsg.ListOffsetsRequest) bool {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			if isNews(req.Topics[i].Partitions[j].Timestamp) {
				return true
			}
		}
	}
	return false
}

// isNews tells whether what is asked for may be another than a broker knows which is behind.
func isNews(timestamp int64) bool {
	return timestamp != latestTieredOffset && timestamp != earliestPendingUpload
}

// offsetQuery is what is asked of one partition.
type offsetQuery struct {
	*Broker
	topic     string
	committed bool
	version   int16
	fresh     bool // the broker knows all that any broker answered before
	asked     *kmsg.ListOffsetsRequestTopicPartition
}

// answer fills in the row.
func (q *offsetQuery) answer(ctx context.Context, row *kmsg.ListOffsetsResponseTopicPartition) {
	if q.asked.Timestamp < q.lowest() {
		q.fail(row, kerr.UnsupportedVersion)
		return
	}
	if moved := q.moved(); moved != nil {
		q.fail(row, moved)
		return
	}
	topic, err := q.topicByNameOrID(q.topic, [16]byte{}, false)
	if err != nil {
		q.fail(row, kafkaError(err))
		return
	}
	tp := metastore.TopicPartition{Topic: topic.ID, Partition: row.Partition}
	marks, ok := q.Topics.Watermarks(tp)
	if !ok {
		q.fail(row, kerr.UnknownTopicOrPartition)
		return
	}
	if err := wrongEpoch(q.asked.CurrentLeaderEpoch); err != nil {
		q.fail(row, err)
		return
	}
	if !q.fresh && isNews(q.asked.Timestamp) {
		q.fail(row, q.unknownYet())
		return
	}
	offset, timestamp, err := q.find(ctx, tp, marks)
	if err != nil {
		if ctx.Err() == nil {
			q.complain(row.Partition, err)
		}
		q.fail(row, searchError(err))
		return
	}
	row.Offset, row.Timestamp = int64(offset), timestamp
	if offset >= 0 {
		row.LeaderEpoch = 0
	}
}

// complain logs why a search found nothing: as an error what somebody must look at, as a warning what a producer sent.
func (q *offsetQuery) complain(partition int32, err error) {
	args := []any{"topic", q.topic, "partition", partition, "timestamp", q.asked.Timestamp, "error", err}
	if errors.Is(err, reader.ErrUnreadable) || errors.Is(err, reader.ErrSearchLimit) {
		q.warn("records that a producer sent cannot be searched by time", args...)
		return
	}
	q.tell("records cannot be searched by time", args...)
}

// searchError is what a client is told: of a batch that a producer made badly what Kafka says of one that it finds in a log.
func searchError(err error) *kerr.Error {
	if errors.Is(err, reader.ErrUnreadable) {
		return kerr.CorruptMessage
	}
	return readError(err)
}

// unknownYet is what a client is told that asks a broker which may be behind others.
func (q *offsetQuery) unknownYet() *kerr.Error {
	if q.version < 5 {
		return kerr.LeaderNotAvailable
	}
	return kerr.OffsetNotAvailable
}

// lowest is the most special timestamp that the version of the request knows.
func (q *offsetQuery) lowest() int64 {
	switch {
	case q.version >= 11:
		return earliestPendingUpload
	case q.version >= 9:
		return latestTieredOffset
	case q.version >= 8:
		return earliestLocalOffset
	case q.version >= 7:
		return maxTimestampOffset
	}
	return earliestOffset
}

func (q *offsetQuery) find(ctx context.Context, tp metastore.TopicPartition, marks metastore.Watermarks) (metastore.Offset, int64, error) {
	latest := marks.High
	if q.committed {
		latest = marks.Stable
	}
	var found bool
	var offset metastore.Offset
	var timestamp int64
	var err error
	switch q.asked.Timestamp {
	case latestOffset:
		return latest, -1, nil
	case earliestOffset, earliestLocalOffset:
		return marks.LogStart, -1, nil
	case latestTieredOffset, earliestPendingUpload:
		return metastore.NoOffset, -1, nil
	case maxTimestampOffset:
		offset, timestamp, found, err = q.Reader.MaxTimestamp(ctx, tp)
	default:
		offset, timestamp, found, err = q.Reader.OffsetForTimestamp(ctx, tp, q.asked.Timestamp)
	}
	if err != nil || !found || offset >= latest { // beyond the border counts as nothing, as in Kafka
		return metastore.NoOffset, -1, err
	}
	return offset, timestamp, nil
}

func (q *offsetQuery) fail(row *kmsg.ListOffsetsResponseTopicPartition, err *kerr.Error) {
	row.ErrorCode, row.Offset, row.Timestamp = err.Code, -1, -1
}
