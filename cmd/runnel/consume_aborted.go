package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// leaveOutAborted ends stretches before the aborted records that they end with. The client library passes over those
// without a word, so a goal behind them would never be reached. Only where a transaction is open can there be any: elsewhere the
// last record is the end of a transaction, or in none.
func leaveOutAborted(ctx context.Context, client *kgo.Client, topics []string, stretches map[topicPartition]stretch) error {
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return fmt.Errorf("read end offsets: %w", err)
	}
	var details kadm.TopicDetails
	for tp, s := range stretches {
		if end, ok := ends.Lookup(tp.topic, tp.partition); !ok || end.Err != nil || end.Offset <= s.end || s.next >= s.end {
			continue
		}
		if details == nil {
			if details, err = admin.ListTopics(ctx, topics...); err != nil {
				return fmt.Errorf("look up topics: %w", err)
			}
		}
		if s.end, err = endOfDelivered(ctx, client, details[tp.topic], tp, s); err != nil {
			return fmt.Errorf("read the end of %s, partition %d: %w", tp.topic, tp.partition, err)
		}
		stretches[tp] = s
	}
	return nil
}

// endOfDelivered looks at the batches of a stretch from its end on, until it finds one that is not aborted.
func endOfDelivered(ctx context.Context, client *kgo.Client, topic kadm.TopicDetail, tp topicPartition, s stretch) (int64, error) {
	for end := s.end; end > s.next; {
		row, err := fetchOne(ctx, client, topic, tp.partition, end-1)
		if err != nil {
			return 0, err
		}
		first, aborted := abortedBatch(row)
		if !aborted || first >= end {
			return end, nil
		}
		end = first
	}
	return s.next, nil
}

// fetchOne asks the leader of a partition for the batch that holds an offset.
func fetchOne(ctx context.Context, client *kgo.Client, topic kadm.TopicDetail, partition int32, offset int64) (*kmsg.FetchResponseTopicPartition, error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic.Topic, topic.ID, []kmsg.FetchRequestTopicPartition{p}
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.IsolationLevel, req.Topics = 1, 1, []kmsg.FetchRequestTopic{t}
	req.SessionEpoch = -1
	resp, err := req.RequestWith(ctx, client.Broker(int(topic.Partitions[partition].Leader)))
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("the broker answered for %d topics, asked for one", len(resp.Topics))
	}
	row := &resp.Topics[0].Partitions[0]
	return row, kerr.ErrorForCode(row.ErrorCode)
}

// abortedBatch returns the first offset of the first batch of an answer, and whether its transaction was aborted.
func abortedBatch(row *kmsg.FetchResponseTopicPartition) (first int64, aborted bool) {
	const transactional, control = 1 << 4, 1 << 5
	var b kmsg.RecordBatch
	if err := b.ReadFrom(row.RecordBatches); err != nil || b.Magic != 2 || b.Attributes&(transactional|control) != transactional {
		return 0, false
	}
	for _, t := range row.AbortedTransactions {
		if t.ProducerID == b.ProducerID && t.FirstOffset <= b.FirstOffset {
			return b.FirstOffset, true
		}
	}
	return 0, false
}
