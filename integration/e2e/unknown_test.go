package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestUnknownTopicsAndPartitions: producing to or fetching from what does not exist is an error of that partition
// alone, at offset -1.
func TestUnknownTopicsAndPartitions(t *testing.T) {
	t.Parallel()
	addr, alive := hostileTarget(t)
	topic := fmt.Sprintf("known-%d", rand.Uint32())
	createTopic(t, topic, 1, kgo.SeedBrokers(addr))
	for _, c := range []struct {
		name, topic string
		partition   int32
	}{
		{"an unknown topic", "nobody-made-this", 0},
		{"an unknown partition", topic, 1},
		{"a negative partition", topic, -1},
	} {
		t.Run("produce to "+c.name, func(t *testing.T) {
			conn := dial(t, addr)
			req := produceRequest(c.topic, batch(record("x")))
			req.Topics[0].Partitions[0].Partition = c.partition
			conn.send(t, req)
			p := conn.receive(t, req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
			if p.ErrorCode != kerr.UnknownTopicOrPartition.Code || p.BaseOffset != -1 {
				t.Errorf("error %v, offset %d", kerr.ErrorForCode(p.ErrorCode), p.BaseOffset)
			}
		})
		t.Run("fetch from "+c.name, func(t *testing.T) {
			conn := dial(t, addr)
			req := kmsg.NewPtrFetchRequest()
			req.Version = 11
			req.MaxBytes = 1 << 20
			req.SessionEpoch = -1
			ft := kmsg.NewFetchRequestTopic()
			ft.Topic = c.topic
			fp := kmsg.NewFetchRequestTopicPartition()
			fp.Partition, fp.PartitionMaxBytes = c.partition, 1<<20
			ft.Partitions = append(ft.Partitions, fp)
			req.Topics = append(req.Topics, ft)
			conn.send(t, req)
			p := conn.receive(t, req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
			if p.ErrorCode != kerr.UnknownTopicOrPartition.Code || p.HighWatermark != -1 {
				t.Errorf("error %v, high watermark %d", kerr.ErrorForCode(p.ErrorCode), p.HighWatermark)
			}
		})
	}
	alive()
}

// TestFetchOutsideTheLog is OFFSET_OUT_OF_RANGE before the log's start and after its end, and neither at the end.
func TestFetchOutsideTheLog(t *testing.T) {
	t.Parallel()
	addr, _ := hostileTarget(t)
	topic := fmt.Sprintf("three-%d", rand.Uint32())
	createTopic(t, topic, 1, kgo.SeedBrokers(addr))
	produce(t, topic, 0, 3, kgo.SeedBrokers(addr))
	for offset, want := range map[int64]error{
		-5: kerr.OffsetOutOfRange, 0: nil, 3: nil, 4: kerr.OffsetOutOfRange, 1 << 62: kerr.OffsetOutOfRange,
	} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			conn := dial(t, addr)
			req := kmsg.NewPtrFetchRequest()
			req.Version = 11
			req.MaxBytes = 1 << 20
			req.SessionEpoch = -1
			ft := kmsg.NewFetchRequestTopic()
			ft.Topic = topic
			fp := kmsg.NewFetchRequestTopicPartition()
			fp.FetchOffset, fp.PartitionMaxBytes = offset, 1<<20
			ft.Partitions = append(ft.Partitions, fp)
			req.Topics = append(req.Topics, ft)
			conn.send(t, req)
			p := conn.receive(t, req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
			if got := kerr.ErrorForCode(p.ErrorCode); !errors.Is(got, want) {
				t.Errorf("error %v, want %v", got, want)
			}
			if want == nil && p.HighWatermark != 3 {
				t.Errorf("high watermark %d", p.HighWatermark)
			}
		})
	}
}
