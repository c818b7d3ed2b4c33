package broker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/metastore"
)

// elsewhere is another broker's view of the same metastore. The harness's own does not follow the log by itself.
func (h *harness) elsewhere() *metastore.Replica {
	h.t.Helper()
	r := metastore.NewReplica(h.store, metastore.ReplicaOptions{})
	must(h.t, r.Open(h.t.Context()))
	return r
}

// commitElsewhere adds a record to a partition through another broker. Its object does not exist: it is not to be read.
func (h *harness) commitElsewhere(tp metastore.TopicPartition) {
	h.t.Helper()
	h.commitBatchElsewhere(tp, metastore.BatchCommit{Length: 100, Records: 1, MaxTimestamp: 5_000, ProducerID: metastore.NoProducerID})
}

func (h *harness) commitBatchElsewhere(tp metastore.TopicPartition, b metastore.BatchCommit) {
	h.t.Helper()
	_, err := h.elsewhere().Commit(h.t.Context(), []metastore.SegmentCommit{{
		ID: metastore.NewSegmentID(time.Now()), Size: 1000,
		Runs: []metastore.RunCommit{{TopicPartition: tp, Position: 38, Batches: []metastore.BatchCommit{b}}},
	}})
	must(h.t, err)
}

// cutOff is what a broker knows that cannot look at the log.
type cutOff struct{ *metastore.Replica }

func (cutOff) Refresh(context.Context) error { return errors.New("no route to host") }

// ahead is a fetch of a consumer that read the record at offset 0 from another broker.
func ahead(topic *metastore.Topic, lastEpoch int32) *kmsg.FetchRequest {
	req := fetchRequest(topic, 0)
	p := &req.Topics[0].Partitions[0]
	p.FetchOffset, p.CurrentLeaderEpoch, p.LastFetchedEpoch = 1, 0, lastEpoch
	return req
}

func TestFetchBeyondWhatThisBrokerHasHeardOf(t *testing.T) {
	h := newRecordHarness(t, nil)
	h.versions(1, func(t *testing.T, version int16) {
		for name, lastEpoch := range map[string]int32{"position": -1, "position-and-epoch": 0} {
			topic := h.topic(versionName(version)+name, 1, 1)
			h.commitElsewhere(metastore.TopicPartition{Topic: topic.ID})
			row := ask[*kmsg.FetchResponse](h.harness, version, ahead(topic, lastEpoch)).Topics[0].Partitions[0]
			equal(t, name+": error", kerr.ErrorForCode(row.ErrorCode), nil)
			equal(t, name+": high watermark", row.HighWatermark, 1)
			equal(t, name+": diverging end", row.DivergingEpoch.EndOffset, -1)
		}
	})
}

// newCutOff is a broker that missed a record and cannot look at the log. It must not make consumers begin anew or go back.
func newCutOff(t *testing.T) (*recordHarness, *metastore.Topic) {
	t.Helper()
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	h.commitElsewhere(metastore.TopicPartition{Topic: topic.ID})
	h.broker.Topics = cutOff{h.replica}
	return h, topic
}

func TestFetchFromABrokerThatIsCutOff(t *testing.T) {
	h, topic := newCutOff(t)
	h.versions(1, func(t *testing.T, version int16) {
		want := kerr.OffsetNotAvailable
		if version < 11 {
			want = kerr.NotLeaderForPartition
		}
		for _, lastEpoch := range []int32{-1, 0} {
			row := ask[*kmsg.FetchResponse](h.harness, version, ahead(topic, lastEpoch)).Topics[0].Partitions[0]
			equal(t, "error", row.ErrorCode, want.Code)
			equal(t, "high watermark", row.HighWatermark, -1)
			equal(t, "diverging end", row.DivergingEpoch.EndOffset, -1)
		}
		below := ask[*kmsg.FetchResponse](h.harness, version, fetchRequest(topic, 0)).Topics[0].Partitions[0]
		equal(t, "error of a consumer that is not ahead", below.ErrorCode, 0)
		before := fetchRequest(topic, 0)
		before.Topics[0].Partitions[0].FetchOffset = -1
		row := ask[*kmsg.FetchResponse](h.harness, version, before).Topics[0].Partitions[0]
		equal(t, "error before the log's start", row.ErrorCode, kerr.OffsetOutOfRange.Code)
	})
}

func TestListOffsetsOfABrokerThatIsCutOff(t *testing.T) {
	h, _ := newCutOff(t)
	h.versions(2, func(t *testing.T, version int16) {
		want := kerr.OffsetNotAvailable
		if version < 5 {
			want = kerr.LeaderNotAvailable
		}
		for _, asked := range []int64{latestOffset, earliestOffset, earliestLocalOffset, maxTimestampOffset, 5_000} {
			if asked == maxTimestampOffset && version < 7 || asked == earliestLocalOffset && version < 8 {
				continue
			}
			row := ask[*kmsg.ListOffsetsResponse](h.harness, version, listOffsetsRequest("events", 0, asked)).Topics[0].Partitions[0]
			equal(t, "error", row.ErrorCode, want.Code)
			equal(t, "offset", row.Offset, -1)
		}
		if version < 9 {
			return
		}
		row := ask[*kmsg.ListOffsetsResponse](h.harness, version, listOffsetsRequest("events", 0, latestTieredOffset)).Topics[0].Partitions[0]
		equal(t, "latest tiered: error", row.ErrorCode, 0)
		equal(t, "latest tiered", row.Offset, -1)
	})
}

func TestOffsetForLeaderEpochOfABrokerThatIsCutOff(t *testing.T) {
	h, _ := newCutOff(t)
	h.versions(23, func(t *testing.T, version int16) {
		p := ask[*kmsg.OffsetForLeaderEpochResponse](h.harness, version, endOfEpochRequest("events")).Topics[0].Partitions[0]
		equal(t, "error", p.ErrorCode, kerr.OffsetNotAvailable.Code)
		equal(t, "end", p.EndOffset, -1)
	})
}

func endOfEpochRequest(name string) *kmsg.OffsetForLeaderEpochRequest {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
	topic.Topic = name
	topic.Partitions = append(topic.Partitions, kmsg.NewOffsetForLeaderEpochRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	return req
}

// Whoever was told of an offset by one broker, and asks another for the end, is told of one that is not before it.
func TestEndsAreThoseThatAnyBrokerAnswered(t *testing.T) {
	h := newRecordHarness(t, nil)
	topic := h.topic("events", 1, 1)
	tp := metastore.TopicPartition{Topic: topic.ID}
	h.commitElsewhere(tp)
	equal(t, "latest", ask[*kmsg.ListOffsetsResponse](h.harness, 9, listOffsetsRequest("events", 0, latestOffset)).Topics[0].Partitions[0].Offset, 1)
	h.commitElsewhere(tp)
	p := ask[*kmsg.OffsetForLeaderEpochResponse](h.harness, 4, endOfEpochRequest("events")).Topics[0].Partitions[0]
	equal(t, "end of epoch", p.EndOffset, 2)
	h.commitElsewhere(tp)
	// The record is known, and only its object missing.
	row := ask[*kmsg.ListOffsetsResponse](h.harness, 9, listOffsetsRequest("events", 0, 5_000)).Topics[0].Partitions[0]
	equal(t, "by time", row.ErrorCode, kerr.KafkaStorageError.Code)
}

func TestALookAtTheLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		h.broker.Topics = silent{h.replica}
		req := ahead(topic, -1)
		req.SetVersion(13)
		req.MaxWaitMillis = 60_000
		begun := time.Now()
		resp := h.broker.fetch(t.Context(), nil, anyTopic, nil, req)
		equal(t, "error", resp.rows[0].err, kerr.OffsetNotAvailable)
		equal(t, "took", time.Since(begun), refreshWait)
	})
}

// slowTopics lets a topic be looked up only when the gate is open.
type slowTopics struct {
	*metastore.Replica
	gate sync.Mutex
}

func (s *slowTopics) Topic(name string) (*metastore.Topic, bool) {
	s.gate.Lock()
	defer s.gate.Unlock()
	return s.Replica.Topic(name)
}

// A fetch by name goes on with the topic that has the name now, and hears of what comes to it.
func TestWaitingFetchFollowsATopicThatIsCreatedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newRecordBroker(t, nil)
		topic := h.topic("events", 1, 1)
		topics := &slowTopics{Replica: h.replica}
		h.broker.Topics = topics
		req := fetchRequest(topic, 0)
		req.SetVersion(12)
		req.MinBytes, req.MaxWaitMillis = 1, 60_000
		begun := time.Now()
		answered := make(chan *fetchResponse, 1)
		go func() { answered <- h.broker.fetch(t.Context(), nil, anyTopic, nil, req) }()
		synctest.Wait()
		topics.gate.Lock() // so that the fetch sees nothing in between
		must(t, h.replica.DeleteTopic(t.Context(), topic.ID))
		again := h.topic("events", 1, 1)
		topics.gate.Unlock()
		synctest.Wait()
		time.Sleep(2 * time.Second)
		h.produce(again, 0, testBatch(1))
		resp := <-answered
		equal(t, "error", resp.rows[0].err, nil)
		equal(t, "high watermark", resp.rows[0].highWatermark, 1)
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("took %v although records came after 2s", took)
		}
	})
}

// silent is what a broker knows whose metastore does not answer.
type silent struct{ *metastore.Replica }

func (silent) Refresh(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A consumer at the end of what a broker without a lease knows is told to look for another broker, where there is one.
func TestABrokerThatLostItsLeaseSendsWaitingConsumersAway(t *testing.T) {
	for _, tc := range []struct {
		name                  string
		others, lapsed, reads bool
		offset                int64
		want                  *kerr.Error
	}{
		{"cut off", true, true, false, 1, kerr.NotLeaderForPartition},
		{"cut off, its lease holds", true, false, false, 1, nil},
		{"it can read the log", true, true, true, 1, nil},
		{"it knows of no other", false, true, false, 1, nil},
		{"it has records", true, true, false, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newRecordBroker(t, nil)
				topic := h.topic("events", 1, 1)
				h.produce(topic, 0, testBatch(1))
				if tc.others {
					_, err := h.store.RegisterBroker(t.Context(), metastore.Broker{NodeID: 5, Host: "other", Port: 1}, time.Hour)
					must(t, err)
				}
				must(t, h.broker.Membership.(*cluster.Membership).Join(t.Context()))
				if tc.lapsed {
					time.Sleep(time.Minute) // virtual
				}
				if !tc.reads {
					h.broker.Topics = cutOff{h.replica}
				}
				results := make(chan *kerr.Error, 2)
				for range 2 {
					req := fetchRequest(topic, 0)
					req.SetVersion(13)
					req.MaxWaitMillis = 500
					req.Topics[0].Partitions[0].FetchOffset = tc.offset
					go func() { results <- h.broker.fetch(t.Context(), nil, anyTopic, nil, req).rows[0].err }()
				}
				first, second := <-results, <-results
				if first == nil {
					first, second = second, first
				}
				equal(t, "error", first, tc.want)
				equal(t, "error of another at the same time", second, nil)
				time.Sleep(time.Minute)
			})
		})
	}
}
