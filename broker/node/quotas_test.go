package node

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
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
// short, so that its burst is over soon.
func TestQuotasHoldForRealClients(t *testing.T) {
	const limit, value = 1 << 20, 50 << 10
	n, _ := startWith(t, memoryStores(), map[string]string{"cluster.quota.window.num": "2"})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := kadm.NewClient(client(t, n)).CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	within := func(what string, got int64, d time.Duration) {
		t.Helper()
		rate := float64(got) / d.Seconds()
		t.Logf("%s: %.0f bytes/s over %v", what, rate, d)
		if rate < 0.9*limit || rate > 1.1*limit {
			t.Errorf("%s: %.0f bytes/s, want %d", what, rate, limit)
		}
	}
	// What a window allows comes in bursts: rates are measured from the beginning of one to that of another.
	burst := func(total *atomic.Int64) (int64, time.Time) {
		last, since := total.Load(), time.Now()
		paused := false
		eventually(t, "a burst begins", func() bool {
			now := total.Load()
			if now == last {
				paused = paused || time.Since(since) > 150*time.Millisecond
				return false
			}
			begins := paused
			if !begins {
				last, since = now, time.Now()
			}
			return begins
		})
		return last, time.Now()
	}
	measure := func(total *atomic.Int64) (int64, time.Duration) {
		eventually(t, "the first burst is over", func() bool { return total.Load() > 2*limit })
		from, begun := burst(total)
		for {
			if to, ended := burst(total); ended.Sub(begun) > 5*time.Second {
				return to - from, ended.Sub(begun)
			}
		}
	}

	setQuota(ctx, t, n, "producer_byte_rate", limit)
	var produced, failed atomic.Int64
	producer := client(t, n, kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedBytes(4*value), kgo.ProducerBatchMaxBytes(4*value))
	producing, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for producing.Err() == nil {
			producer.Produce(producing, &kgo.Record{Value: bytes.Repeat([]byte("x"), value)}, func(_ *kgo.Record, err error) {
				switch {
				case err == nil:
					produced.Add(value)
				case producing.Err() == nil:
					failed.Add(1)
				}
			})
		}
	}()
	got, d := measure(&produced)
	within("produced", got, d)
	stop()
	<-done
	if failed.Load() > 0 {
		t.Errorf("%d records were not produced", failed.Load())
	}

	setQuota(ctx, t, n, "consumer_byte_rate", limit)
	setQuota(ctx, t, n, "producer_byte_rate", 1<<40)
	for range 10 * limit / value {
		producer.Produce(ctx, &kgo.Record{Value: bytes.Repeat([]byte("x"), value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Add(1)
			}
		})
	}
	if err := producer.Flush(ctx); err != nil || failed.Load() > 0 {
		t.Fatal(err, failed.Load())
	}
	var consumed atomic.Int64
	consumer := client(t, n, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	consuming, stop := context.WithCancel(ctx)
	done = make(chan struct{})
	go func() {
		defer close(done)
		for consuming.Err() == nil {
			fetches := consumer.PollFetches(consuming)
			if err := fetches.Err(); err != nil && consuming.Err() == nil {
				t.Error(err)
				return
			}
			fetches.EachRecord(func(r *kgo.Record) { consumed.Add(int64(len(r.Value))) })
		}
	}()
	got, d = measure(&consumed)
	within("consumed", got, d)
	stop()
	<-done
}
