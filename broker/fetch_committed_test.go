package broker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/metastore"
)

func committedRequest(topic *metastore.Topic, partition int32, offset int64) *kmsg.FetchRequest {
	req := fetchRequest(topic, partition)
	req.IsolationLevel = 1
	req.Topics[0].Partitions[0].FetchOffset = offset
	return req
}

func TestFetchCommittedAtEveryVersion(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	one, two, three := h.txnClient("one"), h.txnClient("two"), h.txnClient("three")
	equal(t, "offset", one.produce(topic, 0, 2), 0)
	equal(t, "offset", two.produce(topic, 0, 2), 2)
	one.end(false, 2) // 4
	equal(t, "offset", h.produce(topic, 0, testBatch(1)), 5)
	two.end(true, 2) // 6
	equal(t, "offset", two.produce(topic, 0, 1), 7)
	equal(t, "offset", three.produce(topic, 0, 1), 8)
	equal(t, "offset", h.produce(topic, 0, testBatch(1)), 9)
	two.end(false, 2) // 10
	h.versions(1, func(t *testing.T, version int16) {
		row := ask[*kmsg.FetchResponse](h.harness, version, committedRequest(topic, 0, 0)).Topics[0].Partitions[0]
		equal(t, "high watermark", row.HighWatermark, 11)
		equal(t, "last stable offset", row.LastStableOffset, 8)
		wantOffsets(t, row.RecordBatches, 0, 2, 4, 5, 6, 7)
		equal(t, "aborted", len(row.AbortedTransactions), 2)
		equal(t, "producer", row.AbortedTransactions[0].ProducerID, int64(one.producer))
		equal(t, "first offset", row.AbortedTransactions[0].FirstOffset, 0)
		equal(t, "producer", row.AbortedTransactions[1].ProducerID, int64(two.producer))
		equal(t, "first offset", row.AbortedTransactions[1].FirstOffset, 7)

		row = ask[*kmsg.FetchResponse](h.harness, version, committedRequest(topic, 0, 5)).Topics[0].Partitions[0]
		wantOffsets(t, row.RecordBatches, 5, 6, 7)
		equal(t, "aborted", len(row.AbortedTransactions), 1)

		row = ask[*kmsg.FetchResponse](h.harness, version, committedRequest(topic, 0, 8)).Topics[0].Partitions[0]
		wantOffsets(t, row.RecordBatches)
		equal(t, "error at the last stable offset", row.ErrorCode, 0)
		if row.AbortedTransactions == nil || len(row.AbortedTransactions) > 0 {
			t.Errorf("aborted %v, want an empty list", row.AbortedTransactions)
		}
		row = ask[*kmsg.FetchResponse](h.harness, version, committedRequest(topic, 0, 12)).Topics[0].Partitions[0]
		equal(t, "error beyond the end", row.ErrorCode, kerr.OffsetOutOfRange.Code)

		req := committedRequest(topic, 0, 0)
		req.IsolationLevel = 0
		row = ask[*kmsg.FetchResponse](h.harness, version, req).Topics[0].Partitions[0]
		wantOffsets(t, row.RecordBatches, 0, 2, 4, 5, 6, 7, 8, 9, 10)
		equal(t, "last stable offset", row.LastStableOffset, 8)
		if row.AbortedTransactions != nil {
			t.Errorf("aborted %v, want null", row.AbortedTransactions)
		}
	})
	h.versions(2, func(t *testing.T, version int16) {
		for isolation, want := range map[int8]int64{0: 11, 1: 8} {
			if version < 2 {
				isolation, want = 0, 11
			}
			req := listOffsetsRequest(topic.Name, 0, latestOffset)
			req.IsolationLevel = isolation
			row := ask[*kmsg.ListOffsetsResponse](h.harness, version, req).Topics[0].Partitions[0]
			equal(t, "latest", row.Offset, want)
			req = listOffsetsRequest(topic.Name, 0, 1_000_020) // later than all records: a marker's
			req.IsolationLevel = isolation
			row = ask[*kmsg.ListOffsetsResponse](h.harness, version, req).Topics[0].Partitions[0]
			equal(t, "offset of a marker's time", row.Offset, 4)
		}
	})
}

// countedReads counts the reads of a broker.
type countedReads struct {
	RecordReader
	n atomic.Int64
}

func (c *countedReads) Fetch(ctx context.Context, scan *reader.Scan, isolation reader.Isolation, wants []reader.Want) *reader.Fetched {
	c.n.Add(1)
	return c.RecordReader.Fetch(ctx, scan, isolation, wants)
}

// stableInsideARun writes a run of one record and n that belong to an open transaction.
func (h *recordHarness) stableInsideARun(topic *metastore.Topic, c *txnClient, n int) {
	h.t.Helper()
	req := produceRequest(topic, 0, testBatch(1))
	req.Topics = append(req.Topics, c.request(topic, 0, testRecords(n, 1_000_000)).Topics...)
	req.TransactionID = &c.id
	for _, row := range h.sendRequest(implicitVersion, req) {
		equal(h.t, "error", row.ErrorCode, 0)
	}
	marks, runs, err := h.replica.Runs(metastore.TopicPartition{Topic: topic.ID}, 0, 1)
	must(h.t, err)
	equal(h.t, "records of the run", runs[0].Records, int32(n)+1)
	equal(h.t, "last stable offset", marks.Stable, 1)
}

// A consumer that has read to the last stable offset waits, however much is written behind it, until that moves.
func TestFetchAtTheLastStableOffsetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		c := h.txnClient("payments")
		h.stableInsideARun(topic, c, 2)
		reads := &countedReads{RecordReader: h.broker.Reader}
		h.broker.Reader = reads
		for _, tc := range []struct {
			name   string
			commit bool
			events func()
			want   time.Duration
			reads  int64
		}{
			{"nothing ends", true, func() {
				for range 5 {
					time.Sleep(time.Second)
					h.produce(topic, 0, testBatch(100))
				}
			}, 10 * time.Second, 0},
			{"the transaction ends", true, func() {
				time.Sleep(time.Second)
				h.produce(topic, 0, testBatch(100))
				time.Sleep(2 * time.Second)
				c.end(true, 2)
			}, 3 * time.Second, 1},
		} {
			reads.n.Store(0)
			req := committedRequest(topic, 0, 1)
			req.SetVersion(12)
			req.MinBytes, req.MaxWaitMillis = 1, 10_000
			begin, gets := time.Now(), h.objects.gets.Load()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				tc.events()
			}()
			resp := h.broker.fetch(t.Context(), nil, anyTopic, nil, req)
			if took := time.Since(begin); took > tc.want+10*time.Millisecond || took < tc.want-longestStep {
				t.Errorf("%s: took %v, want %v", tc.name, took, tc.want)
			}
			equal(t, tc.name+": reads", reads.n.Load(), tc.reads)
			equal(t, tc.name+": there are records", resp.rows[0].size > 0, tc.reads > 0)
			equal(t, tc.name+": GETs", h.objects.gets.Load(), gets)
			<-ended
		}
	})
}

// Min bytes count what is stable, though the last stable offset lies inside a run.
func TestMinBytesCountWhatIsStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		c := h.txnClient("payments")
		h.stableInsideARun(topic, c, 100)
		fetch := committedRequest(topic, 0, 0)
		fetch.SetVersion(12)
		fetch.MinBytes, fetch.MaxWaitMillis = int32(len(testBatch(1)))+100, 10_000
		begin := time.Now()
		resp := h.broker.fetch(t.Context(), nil, anyTopic, nil, fetch)
		if took := time.Since(begin); took < 9*time.Second {
			t.Errorf("took %v", took)
		}
		equal(t, "bytes", resp.rows[0].size, len(testBatch(1)))
	})
}

// Incremental answers tell of what moved: the last stable offset by itself is no news, records that it sets free are.
func TestFetchSessionsOfCommittedRecords(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 2, 1)
	c := h.txnClient("payments")
	c.produce(topic, 0, 2)
	req := committedRequest(topic, 0, 0)
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, committedRequest(topic, 1, 0).Topics[0].Partitions...)
	req.SessionEpoch = 0
	resp := ask[*kmsg.FetchResponse](h.harness, 13, req)
	equal(t, "partitions", len(resp.Topics[0].Partitions), 2)
	equal(t, "last stable offset", resp.Topics[0].Partitions[0].LastStableOffset, 0)
	next := fetchRequest(topic)
	next.Topics, next.IsolationLevel, next.SessionID = nil, 1, resp.SessionID
	for epoch := range int32(2) {
		next.SessionEpoch = epoch + 1
		equal(t, "topics in an answer without news", len(ask[*kmsg.FetchResponse](h.harness, 13, next).Topics), 0)
	}
	next.SessionEpoch = 3
	c.end(false, 2)
	resp = ask[*kmsg.FetchResponse](h.harness, 13, next)
	equal(t, "topics", len(resp.Topics), 1)
	wantOffsets(t, resp.Topics[0].Partitions[0].RecordBatches, 0, 2)
	equal(t, "last stable offset", resp.Topics[0].Partitions[0].LastStableOffset, 3)
	equal(t, "aborted", len(resp.Topics[0].Partitions[0].AbortedTransactions), 1)
}

func TestListOffsetsByTimeEndsAtTheLastStableOffset(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	h.produce(topic, 0, testBatch(1))
	c := h.txnClient("payments")
	row := c.send(implicitVersion, topic, 0, testRecords(1, 2_000_000))
	equal(t, "error", row.ErrorCode, 0)
	list := func(isolation int8, timestamp int64) int64 {
		req := listOffsetsRequest(topic.Name, 0, timestamp)
		req.IsolationLevel = isolation
		row := ask[*kmsg.ListOffsetsResponse](h.harness, 8, req).Topics[0].Partitions[0]
		equal(t, "error", row.ErrorCode, 0)
		return row.Offset
	}
	for _, timestamp := range []int64{maxTimestampOffset, 1_500_000} {
		equal(t, "uncommitted", list(0, timestamp), 1)
		equal(t, "committed", list(1, timestamp), -1)
	}
	equal(t, "committed, earlier", list(1, 1_000_000), 0)
	c.end(true, 2)
	equal(t, "committed in the end", list(1, 1_500_000), 1)
	equal(t, "the marker is the latest", list(1, maxTimestampOffset), 2)
}

// A consumer comes from a broker that has heard of the end of a transaction, to one that has not yet.
func TestFetchBeyondTheLastStableOffsetWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		c, later := h.txnClient("payments"), h.txnClient("later")
		c.produce(topic, 0, 2)
		later.produce(topic, 0, 2)
		h.produce(topic, 0, testBatch(1))
		req := committedRequest(topic, 0, 2)
		req.SetVersion(12)
		req.MinBytes, req.MaxWaitMillis = 1, 10_000
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			time.Sleep(time.Second)
			c.end(true, 2)
			time.Sleep(time.Second)
			later.end(true, 2)
		}()
		begin := time.Now()
		row := h.broker.fetch(t.Context(), nil, anyTopic, nil, req).rows[0]
		if took := time.Since(begin).Round(10 * time.Millisecond); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		equal(t, "error", row.err, nil)
		equal(t, "there are records", row.size > 0, true)
		<-ended
	})
}
