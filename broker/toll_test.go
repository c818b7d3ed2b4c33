package broker

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// newVirtualHarness is a record harness in virtual time: the test must be in a bubble.
func newVirtualHarness(t *testing.T, overrides map[string]string, opts wire.Options) *recordHarness {
	t.Helper()
	h := newRecordBroker(t, overrides)
	srv, err := wire.NewServer(h.broker.Routes(), opts)
	must(t, err)
	ln := newPipes()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), ln, &wire.Endpoint{Name: "PLAINTEXT"}) }()
	h.conn = ln.dial()
	t.Cleanup(func() {
		_ = h.conn.Close()
		must(t, srv.Shutdown(context.Background()))
		<-served
	})
	return h
}

// limit sets a quota without a request.
func (h *harness) limit(e quota.Entity, key string, value float64) {
	h.t.Helper()
	must(h.t, h.replica.AlterConfigs(h.t.Context(), []metastore.ConfigChange{{ConfigResource: quotaResource(e), Set: map[string]string{key: quota.FormatValue(value)}}}))
}

func batchOf(size int) []byte {
	return recordbatchtest.Encode([]recordbatch.Record{{Timestamp: 1_000_000, Value: bytes.Repeat([]byte("x"), size)}}, recordbatchtest.Options{}.NotIdempotent())
}

const (
	kib           = 1 << 10
	kafkaWindow   = 11 * time.Second
	measuredRates = 33 * time.Second // three windows
)

// rateOf is how many bytes a second a client moves once the first window is over.
func rateOf(step func() int) float64 {
	begun := time.Now()
	for time.Since(begun) < kafkaWindow {
		step()
	}
	begun = time.Now()
	total := 0
	for time.Since(begun) < measuredRates {
		total += step()
	}
	return float64(total) / time.Since(begun).Seconds()
}

func within(t *testing.T, rate, limit float64) {
	t.Helper()
	t.Logf("%.0f bytes/s, allowed are %.0f", rate, limit)
	if rate < 0.9*limit || rate > 1.1*limit {
		t.Errorf("%.0f bytes/s, want %.0f", rate, limit)
	}
}

// TestProducersKeepToTheirQuota: those that wait as they are told, those that do not, and those with acks=0, whom nobody
// tells. None is disconnected, though their connections are idle for less than a throttle lasts.
func TestProducersKeepToTheirQuota(t *testing.T) {
	const limit = 100 * kib
	for _, c := range []struct {
		name     string
		acks     int16
		obedient bool
	}{{"obedient", -1, true}, {"stubborn", -1, false}, {"acks=0", 0, false}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newVirtualHarness(t, nil, wire.Options{IdleTimeout: 3 * time.Second})
				topic := h.topic("events", 1, 1)
				h.limit(quota.Entity{User: quota.Named("ANONYMOUS")}, "producer_byte_rate", limit)
				req := produceRequest(topic, 0, batchOf(50*kib))
				req.Acks = c.acks
				throttled := false
				within(t, rateOf(func() int {
					if c.acks == 0 {
						req.SetVersion(9)
						frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, 1)
						_, err := h.conn.Write(frame)
						must(t, err)
						time.Sleep(time.Millisecond)
						return 50 * kib
					}
					resp := ask[*kmsg.ProduceResponse](h.harness, 9, req)
					equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, 0)
					throttled = throttled || resp.ThrottleMillis > 0
					if c.obedient {
						time.Sleep(time.Duration(resp.ThrottleMillis) * time.Millisecond)
					}
					return 50 * kib
				}), limit)
				if !throttled && c.acks != 0 {
					t.Error("no answer told of a throttle")
				}
			})
		})
	}
}

// TestConsumersKeepToTheirQuota: an answer that would be too much is empty, and the session as it was.
func TestConsumersKeepToTheirQuota(t *testing.T) {
	const limit = 100 * kib
	for _, obedient := range []bool{true, false} {
		t.Run(fmt.Sprint("obedient=", obedient), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newVirtualHarness(t, nil, wire.Options{IdleTimeout: 3 * time.Second})
				topic := h.topic("events", 1, 1)
				for range 120 {
					h.produce(topic, 0, batchOf(50*kib))
				}
				h.limit(quota.Entity{ClientID: quota.Named("test")}, "consumer_byte_rate", limit)
				req := fetchRequest(topic, 0)
				req.SessionEpoch = 0
				next, empty := int64(0), 0
				within(t, rateOf(func() int {
					req.Topics[0].Partitions[0].FetchOffset = next
					resp := ask[*kmsg.FetchResponse](h.harness, 12, req)
					equal(t, "error", resp.ErrorCode, 0)
					if resp.SessionID != 0 {
						req.SessionID = resp.SessionID
						req.SessionEpoch++
					}
					size := 0
					for _, topic := range resp.Topics {
						for _, p := range topic.Partitions {
							equal(t, "error", p.ErrorCode, 0)
							size += len(p.RecordBatches)
							for _, offset := range baseOffsets(t, p.RecordBatches) {
								equal(t, "offset", offset, next)
								next++
							}
						}
					}
					if resp.ThrottleMillis > 0 && size == 0 {
						empty++
					}
					if obedient {
						time.Sleep(time.Duration(resp.ThrottleMillis) * time.Millisecond)
					}
					time.Sleep(time.Millisecond)
					return size
				}), limit)
				if empty == 0 {
					t.Error("no answer was empty")
				}
			})
		})
	}
}

// TestABatchLargerThanAWindowGetsOn: a quota below the size of a batch slows its consumer down, and does not stop it.
func TestABatchLargerThanAWindowGetsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newVirtualHarness(t, nil, wire.Options{})
		topic := h.topic("events", 1, 1)
		for range 3 {
			h.produce(topic, 0, batchOf(500*kib))
		}
		h.limit(quota.Entity{ClientID: quota.Default}, "consumer_byte_rate", 10*kib)
		req := fetchRequest(topic, 0)
		begun, got := time.Now(), 0
		for got < 3 && time.Since(begun) < 10*time.Minute {
			req.Topics[0].Partitions[0].FetchOffset = int64(got)
			resp := ask[*kmsg.FetchResponse](h.harness, 12, req)
			for _, topic := range resp.Topics {
				got += len(baseOffsets(t, topic.Partitions[0].RecordBatches))
			}
			time.Sleep(time.Duration(resp.ThrottleMillis) * time.Millisecond)
		}
		if took := time.Since(begun); got != 3 || took < 90*time.Second || took > 170*time.Second {
			t.Errorf("%d batches in %v, want 3 in about 150s", got, took)
		}
	})
}

// TestRequestsAreThrottled counts what each costs, as virtual time does not pass in handlers.
func TestRequestsAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newVirtualHarness(t, nil, wire.Options{})
		h.limit(quota.Entity{ClientID: quota.Default}, "request_percentage", 1)
		requests, begun := 0, time.Now()
		for time.Since(begun) < 40*time.Second {
			resp := ask[*kmsg.ListGroupsResponse](h.harness, 4, kmsg.NewPtrListGroupsRequest())
			if resp.ThrottleMillis > 1000 {
				t.Fatalf("throttled for %d ms, want a second at most", resp.ThrottleMillis)
			}
			requests++
			time.Sleep(100 * time.Microsecond)
		}
		most := time.Since(begun).Seconds() + 12 // a burst of a window, and what was due to rounding
		if percent := float64(requests) * requestCost.Seconds() * 100; percent > most || percent < most/2 {
			t.Errorf("%d requests, %.1f percent-seconds, want %.1f", requests, percent, most)
		}
	})
}

func TestChangesOfTopicsAreThrottled(t *testing.T) {
	for _, c := range []struct {
		version int16
		strict  bool
	}{{5, false}, {6, true}} {
		synctest.Test(t, func(t *testing.T) {
			h := newVirtualHarness(t, nil, wire.Options{})
			h.limit(quota.Entity{User: quota.Default}, "controller_mutation_rate", 1)
			create := func(name string) (*kerr.Error, time.Duration) {
				req := kmsg.NewPtrCreateTopicsRequest()
				topic := kmsg.NewCreateTopicsRequestTopic()
				topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 10, 1
				req.Topics, req.TimeoutMillis = append(req.Topics, topic), 1000
				resp := ask[*kmsg.CreateTopicsResponse](h.harness, c.version, req)
				err, _ := kerr.ErrorForCode(resp.Topics[0].ErrorCode).(*kerr.Error)
				return err, time.Duration(resp.ThrottleMillis) * time.Millisecond
			}
			for i := range 2 { // of eleven, and nine that are owed
				if err, wait := create(fmt.Sprint("topic", i)); err != nil || wait > 0 && (c.strict || i == 0) {
					t.Fatalf("v%d, topic %d: %v, wait %v", c.version, i, err, wait)
				}
			}
			err, wait := create("topic2")
			if c.strict {
				equal(t, "error", err, kerr.ThrottlingQuotaExceeded)
				equal(t, "wait", wait, 9*time.Second)
				time.Sleep(wait)
				if err, wait := create("topic2"); err != nil || wait != 0 {
					t.Errorf("after the wait: %v, %v", err, wait)
				}
				return
			}
			if err != nil || wait <= 0 {
				t.Errorf("v%d: %v, wait %v", c.version, err, wait)
			}
		})
	}
}
