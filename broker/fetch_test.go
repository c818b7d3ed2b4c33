package broker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
)

// fetchRequest asks for partitions from offset 0, without waiting.
func fetchRequest(topic *metastore.Topic, partitions ...int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MinBytes, req.MaxBytes, req.ReplicaID, req.SessionEpoch = 1, 50<<20, -1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic.Name, topic.ID
	for _, partition := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes = partition, 1<<20
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// baseOffsets checks the batches of an answer and returns their base offsets.
func baseOffsets(t *testing.T, records []byte) (offsets []int64) {
	t.Helper()
	for b, err := range recordbatch.Split(records) {
		must(t, err)
		h, err := recordbatch.ParseHeader(b)
		must(t, err)
		equal(t, "CRC", h.CRC, recordbatch.Checksum(b))
		equal(t, "leader epoch", h.LeaderEpoch, 0)
		offsets = append(offsets, h.BaseOffset)
	}
	return offsets
}

func wantOffsets(t *testing.T, records []byte, want ...int64) {
	t.Helper()
	if got := baseOffsets(t, records); !slices.Equal(got, want) {
		t.Errorf("base offsets %d, want %d", got, want)
	}
}

func TestFetchAtEveryVersion(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 2, 1)
	for range 3 {
		h.produce(topic, 1, testBatch(4))
	}
	h.versions(1, func(t *testing.T, version int16) {
		for isolation := range int8(2) {
			req := fetchRequest(topic, 0, 1)
			req.IsolationLevel = isolation
			req.Topics[0].Partitions[1].FetchOffset = 5
			resp := ask[*kmsg.FetchResponse](h.harness, version, req)
			equal(t, "topics", len(resp.Topics), 1)
			if version >= 13 {
				equal(t, "topic id", metastore.TopicID(resp.Topics[0].TopicID), topic.ID)
			} else {
				equal(t, "topic", resp.Topics[0].Topic, "events")
			}
			empty, full := resp.Topics[0].Partitions[0], resp.Topics[0].Partitions[1]
			equal(t, "empty: error", empty.ErrorCode, 0)
			equal(t, "empty: high watermark", empty.HighWatermark, 0)
			if empty.RecordBatches == nil || len(empty.RecordBatches) != 0 {
				t.Errorf("empty: records %v, want none, not null", empty.RecordBatches)
			}
			equal(t, "error", full.ErrorCode, 0)
			equal(t, "high watermark", full.HighWatermark, 12)
			equal(t, "last stable offset", full.LastStableOffset, 12)
			equal(t, "preferred replica", full.PreferredReadReplica, -1)
			if version >= 5 {
				equal(t, "log start", full.LogStartOffset, 0)
			}
			equal(t, "aborted is null", full.AbortedTransactions == nil, isolation == 0)
			wantOffsets(t, full.RecordBatches, 4, 8)
		}
	})
}

// The answer that refers to records is, byte by byte, the one that kmsg would make.
func TestFetchResponseEncodes(t *testing.T) {
	end := int64(77)
	rows := []fetchedPartition{
		{fetchPartition: fetchPartition{fetchKey: fetchKey{topic: "a", id: [16]byte{1}, partition: 3}}, highWatermark: 9, stable: 8, logStart: 2,
			records: [][]byte{[]byte("first"), []byte("second")}, size: 11, aborted: []metastore.AbortedTxn{{Producer: 1 << 40, First: 3, Last: 7}, {Producer: 5, First: 2, Last: 8}}},
		fetchPartition{fetchKey: fetchKey{topic: "a", id: [16]byte{1}, partition: 4}}.failed(kerr.OffsetOutOfRange),
		{fetchPartition: fetchPartition{fetchKey: fetchKey{topic: "b", id: [16]byte{2}}}, diverging: &end, records: [][]byte{bytes.Repeat([]byte("x"), 300)}, size: 300},
		{fetchPartition: fetchPartition{fetchKey: fetchKey{topic: "a", id: [16]byte{1}, partition: 5}}},
	}
	for version := int16(4); version <= 18; version++ {
		for _, committed := range []bool{false, true} {
			t.Run(fmt.Sprintf("v%d committed %v", version, committed), func(t *testing.T) {
				resp := &fetchResponse{FetchResponse: kmsg.NewPtrFetchResponse(), rows: rows, committed: committed}
				resp.SetVersion(version)
				resp.SessionID, resp.ThrottleMillis = 0x01020304, 5
				if version < 7 {
					resp.SessionID = 0
				}
				encoded := resp.AppendTo([]byte("head"))[4:]
				decoded := kmsg.NewPtrFetchResponse()
				decoded.SetVersion(version)
				must(t, decoded.ReadFrom(encoded))
				if again := decoded.AppendTo(nil); !bytes.Equal(again, encoded) {
					t.Fatalf("kmsg encodes\n%x, ours is\n%x", again, encoded)
				}
				equal(t, "topics", len(decoded.Topics), 3)
				equal(t, "session", decoded.SessionID, resp.SessionID)
				first := decoded.Topics[0].Partitions
				equal(t, "partitions", len(first), 2)
				equal(t, "records", string(first[0].RecordBatches), "firstsecond")
				equal(t, "stable", first[0].LastStableOffset, 8)
				equal(t, "error", first[1].ErrorCode, kerr.OffsetOutOfRange.Code)
				equal(t, "aborted is null", first[0].AbortedTransactions == nil, !committed)
				if committed {
					equal(t, "aborted", len(first[0].AbortedTransactions), 2)
					equal(t, "producer", first[0].AbortedTransactions[0].ProducerID, 1<<40)
					equal(t, "first offset", first[0].AbortedTransactions[1].FirstOffset, 2)
				}
				if version >= 12 {
					equal(t, "diverging", decoded.Topics[1].Partitions[0].DivergingEpoch.EndOffset, end)
				}
				if !reflect.DeepEqual(decoded.Topics[2].Partitions[0].Partition, int32(5)) {
					t.Error("last partition")
				}
			})
		}
	}
}

func TestFetchErrors(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	h.produce(topic, 0, testBatch(4))
	for _, tc := range []struct {
		name    string
		version int16
		change  func(*kmsg.FetchRequest, *kmsg.FetchRequestTopicPartition)
		want    *kerr.Error
	}{
		{"unknown topic", 12, func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.Topics[0].Topic = "nowhere" }, kerr.UnknownTopicOrPartition},
		{"unknown topic id", 13, func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.Topics[0].TopicID = [16]byte{1} }, kerr.UnknownTopicID},
		{"zero topic id", 13, func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.Topics[0].TopicID = [16]byte{} }, kerr.UnknownTopicID},
		{"unknown partition", 12, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.Partition = 1 }, kerr.UnknownTopicOrPartition},
		{"negative partition", 12, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.Partition = -1 }, kerr.UnknownTopicOrPartition},
		{"after the end", 12, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 5 }, kerr.OffsetOutOfRange},
		{"before the start", 12, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = -1 }, kerr.OffsetOutOfRange},
		{"newer leader epoch", 12, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 1 }, kerr.UnknownLeaderEpoch},
		{"later epoch fetched", 12, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = 3 }, kerr.OffsetOutOfRange},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := fetchRequest(topic, 0)
			req.MaxWaitMillis = 60_000 // an error is answered at once
			tc.change(req, &req.Topics[0].Partitions[0])
			resp := ask[*kmsg.FetchResponse](h.harness, tc.version, req)
			row := resp.Topics[0].Partitions[0]
			equal(t, "error", row.ErrorCode, tc.want.Code)
			equal(t, "high watermark", row.HighWatermark, -1)
			equal(t, "last stable offset", row.LastStableOffset, -1)
			equal(t, "log start", row.LogStartOffset, -1)
			equal(t, "records", len(row.RecordBatches), 0)
		})
	}
	t.Run("error beside records", func(t *testing.T) {
		resp := ask[*kmsg.FetchResponse](h.harness, 12, fetchRequest(topic, 7, 0))
		equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
		wantOffsets(t, resp.Topics[0].Partitions[1].RecordBatches, 0)
	})
	t.Run("past the end of the epoch fetched", func(t *testing.T) {
		req := fetchRequest(topic, 0)
		req.MaxWaitMillis = 60_000
		req.Topics[0].Partitions[0].LastFetchedEpoch, req.Topics[0].Partitions[0].FetchOffset = 0, 9
		row := ask[*kmsg.FetchResponse](h.harness, 12, req).Topics[0].Partitions[0]
		equal(t, "diverging epoch", row.DivergingEpoch.Epoch, 0)
		equal(t, "diverging end", row.DivergingEpoch.EndOffset, 4)
		equal(t, "records", len(row.RecordBatches), 0)
	})
}

func TestFetchLimits(t *testing.T) {
	h := newRecordHarness(t, map[string]string{"fetch.max.bytes": "1024"})
	topic := h.topic("events", 3, 1)
	for partition := range int32(2) {
		for range 3 {
			h.produce(topic, partition+1, testBatch(4)) // partition 0 stays empty
		}
	}
	size := int32(len(testBatch(4)))
	for _, tc := range []struct {
		name              string
		max, partitionMax int32
		want              [3]int // batches by partition
	}{
		{"room for all", 6 * size, 3 * size, [3]int{0, 3, 3}},
		{"partition bound", 6 * size, 2*size + 1, [3]int{0, 2, 2}},
		{"request bound", 4 * size, 3 * size, [3]int{0, 3, 1}},
		{"less than one batch", size - 1, size - 1, [3]int{0, 1, 0}},
		{"nothing", 0, 0, [3]int{0, 1, 0}},
		{"negative", -5, -5, [3]int{0, 1, 0}},
		{"partition less than one batch", 6 * size, 1, [3]int{0, 1, 0}},
		{"broker's bound", 1 << 30, 1 << 30, [3]int{0, 3, min(3, max(0, (1024-3*int(size))/int(size)))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := fetchRequest(topic, 0, 1, 2)
			req.MaxBytes = tc.max
			for i := range req.Topics[0].Partitions {
				req.Topics[0].Partitions[i].PartitionMaxBytes = tc.partitionMax
			}
			resp := ask[*kmsg.FetchResponse](h.harness, 12, req)
			var got [3]int
			for i, row := range resp.Topics[0].Partitions {
				got[i] = len(baseOffsets(t, row.RecordBatches))
			}
			equal(t, "batches", got, tc.want)
		})
	}
}

func TestWaitsEndTogetherAndNeverLate(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	for _, d := range []time.Duration{time.Millisecond, 31 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 5 * time.Second, time.Hour} {
		ends := make(map[time.Time]bool)
		for i := range 1000 {
			now := start.Add(time.Duration(i) * d / 1000)
			wait := untilTogether(now, d)
			if wait > d || wait < d-d/leastSteps || wait < d-longestStep {
				t.Fatalf("a wait of %v for one of %v", wait, d)
			}
			ends[now.Add(wait)] = true
		}
		if d >= 100*time.Millisecond && d <= 5*time.Second && len(ends) > 2*max(leastSteps, int(d/longestStep))+2 {
			t.Errorf("1000 waits of %v end at %d times", d, len(ends))
		}
	}
}

// movedInBetween commits before a watch begins.
type movedInBetween struct {
	Partitions
	commit func()
}

func (m movedInBetween) Watch(tps []metastore.TopicPartition) *metastore.Watch {
	m.commit()
	return m.Partitions.Watch(tps)
}

func TestFetchHearsOfWhatMovesBeforeItWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		h.broker.Partitions = movedInBetween{h.replica, func() { h.produce(topic, 0, testBatch(4)) }}
		req := fetchRequest(topic, 0)
		req.SetVersion(12)
		req.MinBytes, req.MaxWaitMillis = 1, 10_000
		begin := time.Now()
		resp := h.broker.fetch(t.Context(), nil, anyTopic, nil, req)
		if took := time.Since(begin); took > time.Second || resp.rows[0].size == 0 {
			t.Errorf("answered %d bytes after %v", resp.rows[0].size, took)
		}
	})
}

func TestFetchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 2, 1)
		size := len(testBatch(4))
		for _, tc := range []struct {
			name     string
			minBytes int
			events   func()        // in the course of the fetch
			want     time.Duration // 10 s, the max wait, may be a bit less: see untilTogether
			records  int
		}{
			{"nothing comes", 1, func() {}, 10 * time.Second, 0},
			{"records come", 1, func() {
				time.Sleep(2 * time.Second)
				h.produce(topic, 0, testBatch(4))
			}, 2*time.Second + time.Millisecond, size},
			{"too few come", 10 * size, func() {
				time.Sleep(2 * time.Second)
				h.produce(topic, 0, testBatch(4))
			}, 10 * time.Second, size},
			{"enough come", 2 * size, func() {
				for range 2 {
					time.Sleep(2 * time.Second)
					h.produce(topic, 0, testBatch(4))
				}
			}, 4*time.Second + 2*time.Millisecond, 2 * size},
			{"another partition moves", 1, func() {
				time.Sleep(2 * time.Second)
				h.produce(topic, 1, testBatch(4))
			}, 10 * time.Second, 0},
			{"min bytes 0", 0, func() {}, 0, 0},
		} {
			marks, _ := h.replica.Watermarks(metastore.TopicPartition{Topic: topic.ID})
			req := fetchRequest(topic, 0)
			req.SetVersion(12)
			req.MinBytes, req.MaxWaitMillis = int32(tc.minBytes), 10_000
			req.Topics[0].Partitions[0].FetchOffset = int64(marks.High)
			begin := time.Now()
			go tc.events()
			resp := h.broker.fetch(t.Context(), nil, anyTopic, nil, req)
			if took := time.Since(begin).Round(10 * time.Millisecond); took > tc.want.Round(10*time.Millisecond) || took < tc.want-longestStep {
				t.Errorf("%s: took %v, want %v", tc.name, took, tc.want)
			}
			equal(t, tc.name+": bytes", resp.rows[0].size, tc.records)
			synctest.Wait()
			time.Sleep(time.Minute)
		}
	})
}

func TestWaitingFetchEnds(t *testing.T) {
	for _, tc := range []struct {
		name  string
		event func(h *recordHarness, topic *metastore.Topic, cancel func())
		want  *kerr.Error
	}{
		{"when the topic is deleted", func(h *recordHarness, topic *metastore.Topic, _ func()) {
			must(h.t, h.replica.DeleteTopic(h.t.Context(), topic.ID))
		}, kerr.UnknownTopicID},
		{"when the client goes away", func(_ *recordHarness, _ *metastore.Topic, cancel func()) { cancel() }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newRecordBroker(t, nil)
				topic := h.topic("events", 1, 1)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					time.Sleep(time.Second)
					tc.event(h, topic, cancel)
				}()
				req := fetchRequest(topic, 0)
				req.SetVersion(13)
				req.MaxWaitMillis = 60_000
				begin := time.Now()
				resp := h.broker.fetch(ctx, nil, anyTopic, nil, req)
				equal(t, "took", time.Since(begin), time.Second)
				equal(t, "error", resp.rows[0].err, tc.want)
			})
		})
	}
}

func TestWaitingFetchHearsThatItsRecordsAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		for range 3 {
			h.produce(topic, 0, testBatch(4))
		}
		req := fetchRequest(topic, 0)
		req.SetVersion(12)
		req.MinBytes, req.MaxWaitMillis = 1<<20, 10_000
		req.Topics[0].Partitions[0].FetchOffset = 5
		begin := time.Now()
		go func() {
			time.Sleep(2 * time.Second)
			_, err := h.replica.DeleteRecords(t.Context(), []metastore.RecordDeletion{{TopicPartition: metastore.TopicPartition{Topic: topic.ID}, Before: 9}})
			must(t, err)
		}()
		resp := h.broker.fetch(t.Context(), nil, anyTopic, nil, req)
		equal(t, "waited", time.Since(begin), 2*time.Second)
		equal(t, "error", resp.rows[0].err, kerr.OffsetOutOfRange)
	})
}

func TestWaitingFetchDoesNoIO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		h.produce(topic, 0, testBatch(4))
		req := fetchRequest(topic, 0)
		req.SetVersion(13)
		req.MaxWaitMillis = 60_000
		req.Topics[0].Partitions[0].FetchOffset = 4
		before := h.objects.gets.Load()
		h.broker.fetch(t.Context(), nil, anyTopic, nil, req)
		equal(t, "GETs", h.objects.gets.Load(), before)
	})
}

func TestFetchSessionOverTheWire(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 3, 1)
	for _, version := range []int16{7, 12, 13, 18} {
		t.Run(versionName(version), func(t *testing.T) {
			h.produce(topic, 2, testBatch(1))
			marks, _ := h.replica.Watermarks(metastore.TopicPartition{Topic: topic.ID, Partition: 2})
			req := fetchRequest(topic, 0, 1, 2)
			req.SessionEpoch = 0
			req.Topics[0].Partitions[2].FetchOffset = int64(marks.High) - 1
			resp := ask[*kmsg.FetchResponse](h.harness, version, req)
			equal(t, "partitions", len(resp.Topics[0].Partitions), 3)
			id := resp.SessionID
			if id == 0 {
				t.Fatal("no session")
			}
			next := fetchRequest(topic, 2)
			next.SessionID, next.SessionEpoch = id, 1
			next.Topics[0].Partitions[0].FetchOffset = int64(marks.High)
			resp = ask[*kmsg.FetchResponse](h.harness, version, next)
			equal(t, "topics in an answer without news", len(resp.Topics), 0)
			equal(t, "session", resp.SessionID, id)
			next.Topics, next.SessionEpoch = nil, 2
			h.produce(topic, 2, testBatch(1))
			resp = ask[*kmsg.FetchResponse](h.harness, version, next)
			equal(t, "topics", len(resp.Topics), 1)
			wantOffsets(t, resp.Topics[0].Partitions[0].RecordBatches, int64(marks.High))
			resp = ask[*kmsg.FetchResponse](h.harness, version, next)
			equal(t, "error of a repeated epoch", resp.ErrorCode, kerr.InvalidFetchSessionEpoch.Code)
			next.SessionID = 1
			resp = ask[*kmsg.FetchResponse](h.harness, version, next)
			equal(t, "error of an unknown session", resp.ErrorCode, kerr.FetchSessionIDNotFound.Code)
		})
	}
}

func TestFetchOfWhatCannotBeRead(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 2, 1)
	commitMissing(t, h, topic, 0)
	h.produce(topic, 1, testBatch(2))
	resp := ask[*kmsg.FetchResponse](h.harness, 12, fetchRequest(topic, 0, 1))
	equal(t, "error", resp.Topics[0].Partitions[0].ErrorCode, kerr.KafkaStorageError.Code)
	wantOffsets(t, resp.Topics[0].Partitions[1].RecordBatches, 0)
}

// Consumers ask again at once for what cannot be read. The log must not grow by each of them.
func TestWhatCannotBeReadIsLoggedOnceInAWhile(t *testing.T) {
	h := newRecordBroker(t, nil)
	topic := h.topic("events", 2, 1)
	commitMissing(t, h, topic, 0)
	commitMissing(t, h, topic, 1)
	var logged bytes.Buffer
	now := time.Now()
	h.broker.Logger, h.broker.Now = slog.New(slog.NewTextHandler(&logged, nil)), func() time.Time { return now }
	fetch := func() {
		req := fetchRequest(topic, 0, 1)
		req.SetVersion(12)
		equal(t, "error", h.broker.fetch(t.Context(), nil, anyTopic, nil, req).rows[1].err, kerr.KafkaStorageError)
	}
	for range 10 {
		fetch()
	}
	equal(t, "lines", bytes.Count(logged.Bytes(), []byte("\n")), 1)
	now = now.Add(tellPause)
	fetch()
	equal(t, "lines a second later", bytes.Count(logged.Bytes(), []byte("\n")), 2)
}

// commitMissing commits a segment whose object does not exist.
func commitMissing(t *testing.T, h *recordHarness, topic *metastore.Topic, partition int32) {
	t.Helper()
	_, err := h.replica.Commit(t.Context(), []metastore.SegmentCommit{{ID: metastore.NewSegmentID(time.Now()), Size: 1000, Runs: []metastore.RunCommit{{
		TopicPartition: metastore.TopicPartition{Topic: topic.ID, Partition: partition}, Position: 38,
		Batches: []metastore.BatchCommit{{Length: 100, Records: 1, MaxTimestamp: 1, ProducerID: metastore.NoProducerID}},
	}}}})
	must(t, err)
}
