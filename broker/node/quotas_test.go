package node

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

func setQuota(ctx context.Context, t *testing.T, n *Node, key string, value float64) {
	t.Helper()
	answers, err := kadm.NewClient(client(t, n)).AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "client-id"}},
		Ops:    []kadm.AlterClientQuotaOp{{Key: key, Value: value}},
	}})
	if err != nil || answers[0].Err != nil {
		t.Fatal(answers, err)
	}
}

// TestQuotasHoldForRealClients: franz-go produces and consumes at the rates of their quotas, and sees no error. The window is
// short, so that its burst counts for little: it is two seconds' worth, and so the rate in ten seconds is up to a fifth more.
func TestQuotasHoldForRealClients(t *testing.T) {
	const limit, value, measured = 1 << 20, 50 << 10, 10 * time.Second
	n, _ := startWith(t, memoryStores(), map[string]string{"cluster.quota.window.num": "3"})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := kadm.NewClient(client(t, n)).CreateTopic(ctx, 1, 1, nil, "full"); err != nil {
		t.Fatal(err)
	}
	opts := []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedBytes(20 * value), kgo.ProducerBatchMaxBytes(4 * value)}
	producer := client(t, n, append(opts, kgo.DefaultProduceTopic("full"))...)
	for range 15 * limit / value {
		producer.Produce(ctx, &kgo.Record{Value: bytes.Repeat([]byte("x"), value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := producer.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	setQuota(ctx, t, n, "producer_byte_rate", limit)
	setQuota(ctx, t, n, "consumer_byte_rate", limit)

	producer = client(t, n, append(opts, kgo.DefaultProduceTopic("t"), kgo.AllowAutoTopicCreation())...)
	consumer := client(t, n, kgo.ConsumeTopics("full"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel = context.WithTimeout(ctx, measured)
	defer cancel()
	var produced, consumed atomic.Int64
	var both errgroup.Group
	both.Go(func() error {
		for ctx.Err() == nil {
			producer.Produce(ctx, &kgo.Record{Value: bytes.Repeat([]byte("x"), value)}, func(_ *kgo.Record, err error) {
				if err == nil {
					produced.Add(value)
				} else if ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
		return nil
	})
	both.Go(func() error {
		for ctx.Err() == nil {
			fetches := consumer.PollFetches(ctx)
			if err := fetches.Err(); err != nil && ctx.Err() == nil {
				return err
			}
			fetches.EachRecord(func(r *kgo.Record) { consumed.Add(int64(len(r.Value))) })
		}
		return nil
	})
	if err := both.Wait(); err != nil {
		t.Error(err)
	}
	for what, got := range map[string]int64{"produced": produced.Load(), "consumed": consumed.Load()} {
		rate := float64(got) / measured.Seconds()
		t.Logf("%s: %.0f bytes/s", what, rate)
		if rate < 0.9*limit || rate > 1.3*limit {
			t.Errorf("%s: %.0f bytes/s, want %d, and up to %d more", what, rate, limit, limit/5)
		}
	}
}
