package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/metastore"
)

// AuditTopic is an audit.Sink that appends events to a topic, one record each, through this broker's own write path. A topic
// that is not there is made, with one partition and the cluster's defaults.
type AuditTopic struct {
	name     string
	topics   Topics
	changes  TopicChanges
	writer   Appender
	settings *settings.Live
	source   *batching.Source
	now      func() time.Time
}

// NewAuditTopic makes the sink.
func NewAuditTopic(name string, topics Topics, changes TopicChanges, writer Appender, live *settings.Live, now func() time.Time) *AuditTopic {
	return &AuditTopic{name: name, topics: topics, changes: changes, writer: writer, settings: live, source: batching.NewSource(), now: now}
}

// auditBatchBytes is below what topics take by default, so that no line of its own makes a batch too large.
const auditBatchBytes = 256 << 10

// Write implements audit.Sink. The events are durable when it returns nil.
func (a *AuditTopic) Write(ctx context.Context, lines [][]byte) error {
	topic, err := a.topic(ctx)
	if err != nil {
		return err
	}
	var batches []batching.Batch
	for len(lines) > 0 {
		n, size := 0, 0
		for n < len(lines) && (n == 0 || size+len(lines[n]) <= auditBatchBytes) {
			size += len(lines[n])
			n++
		}
		b := plainBatch(lines[:n], a.now())
		header, err := recordbatch.ParseHeader(b)
		if err != nil {
			return fmt.Errorf("make a batch of audit events: %w", err)
		}
		batches = append(batches, batching.Batch{TopicPartition: metastore.TopicPartition{Topic: topic.ID}, Bytes: b, Header: header})
		lines = lines[n:]
	}
	pending, err := a.writer.Append(a.source, batches)
	if err != nil {
		return fmt.Errorf("append audit events: %w", err)
	}
	results, err := pending.Wait(ctx)
	if err != nil {
		return fmt.Errorf("append audit events: %w", err)
	}
	for _, r := range results {
		if r.Verdict != metastore.Accepted {
			return fmt.Errorf("append audit events: refused as %v", r.Verdict)
		}
	}
	return nil
}

func (a *AuditTopic) topic(ctx context.Context) (*metastore.Topic, error) {
	if t, ok := a.topics.Topic(a.name); ok {
		return t, nil
	}
	t, err := a.changes.CreateTopic(ctx, metastore.NewTopic{
		Name: a.name, Partitions: 1, ReplicationFactor: a.settings.Load().DefaultReplicationFactor,
	})
	if errors.Is(err, metastore.ErrTopicExists) { // another broker made it
		if err := a.topics.Refresh(ctx); err != nil {
			return nil, fmt.Errorf("look for topic %s: %w", a.name, err)
		}
		if t, ok := a.topics.Topic(a.name); ok {
			return t, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("create topic %s for audit events: %w", a.name, err)
	}
	return t, nil
}

// plainBatch is a batch of values without keys, of no producer.
func plainBatch(values [][]byte, at time.Time) []byte {
	const lengthAt, checksumAt = 8, 17
	var records []byte
	for i, value := range values {
		r := kmsg.NewRecord()
		r.OffsetDelta, r.Value = int32(i), value
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without itself: 0 is one byte
		records = r.AppendTo(records)
	}
	batch := kmsg.NewRecordBatch()
	batch.PartitionLeaderEpoch, batch.Magic = -1, 2
	batch.LastOffsetDelta, batch.NumRecords = int32(len(values)-1), int32(len(values))
	batch.FirstTimestamp, batch.MaxTimestamp = at.UnixMilli(), at.UnixMilli()
	batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence = -1, -1, -1
	batch.Records = records
	b := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)-lengthAt-4))
	binary.BigEndian.PutUint32(b[checksumAt:], recordbatch.Checksum(b))
	return b
}
