package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/metastore"
)

// created is the error of creating a topic.
func (h *harness) created(name string, partitions int32) error {
	h.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 1000
	return kerr.ErrorForCode(ask[*kmsg.CreateTopicsResponse](h, 7, req).Topics[0].ErrorCode)
}

func (h *harness) grown(name string, count int32) error {
	h.t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = name, count
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 1000
	return kerr.ErrorForCode(ask[*kmsg.CreatePartitionsResponse](h, 3, req).Topics[0].ErrorCode)
}

func TestTopicsAndPartitionsAreBounded(t *testing.T) {
	h := newHarness(t, map[string]string{"runnel.topics.max": "2", "runnel.partitions.max": "10"}, 0)
	equal(t, "a topic", h.created("a", 4), nil)
	equal(t, "too many partitions at once", h.created("b", 7), error(kerr.PolicyViolation))
	equal(t, "another topic", h.created("b", 3), nil)
	equal(t, "one topic too many", h.created("c", 1), error(kerr.PolicyViolation))
	equal(t, "one that is there", h.created("a", 1), error(kerr.TopicAlreadyExists))
	equal(t, "too many partitions in all", h.grown("b", 7), error(kerr.PolicyViolation))
	equal(t, "as many as there may be", h.grown("b", 6), nil)

	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = true
	for _, name := range []string{"a", "c"} {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
	}
	topics := ask[*kmsg.MetadataResponse](h, 9, req).Topics
	equal(t, "asked for one that is there", topics[0].ErrorCode, 0)
	equal(t, "asked for another", topics[1].ErrorCode, kerr.PolicyViolation.Code)
	if _, ok := h.replica.Topic("c"); ok {
		t.Error("created by asking for it")
	}
}

// TestTopicsOfOtherBrokersCount: also those that this one has not heard of yet.
func TestTopicsOfOtherBrokersCount(t *testing.T) {
	h := newHarness(t, map[string]string{"runnel.topics.max": "2", "runnel.partitions.max": "10"}, 0)
	equal(t, "a topic", h.created("a", 4), nil)
	other := metastore.NewReplica(h.store, metastore.ReplicaOptions{})
	must(t, other.Open(t.Context()))
	_, err := other.CreateTopic(t.Context(), metastore.NewTopic{Name: "b", Partitions: 4})
	must(t, err)
	equal(t, "one topic too many", h.created("c", 1), error(kerr.PolicyViolation))
	must(t, other.CatchUp(t.Context()))
	b, _ := other.Topic("b")
	must(t, other.CreatePartitions(t.Context(), b.ID, 6, metastore.Room{}))
	equal(t, "too many partitions in all", h.grown("a", 5), error(kerr.PolicyViolation))
}

func TestTransactionalIDsAreBounded(t *testing.T) {
	h := newHarness(t, map[string]string{"runnel.transactional.ids.max": "2"}, 0)
	init := func(id string) error {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &id, 10_000
		return kerr.ErrorForCode(ask[*kmsg.InitProducerIDResponse](h, 4, req).ErrorCode)
	}
	for _, id := range []string{"a", "b", "a"} {
		equal(t, id, init(id), nil)
	}
	equal(t, "one too many", init("c"), error(kerr.PolicyViolation))
	equal(t, "one that is there", init("b"), nil)
	equal(t, "ids", h.replica.TransactionalIDs(), 2)
}

func TestGroupsAreBounded(t *testing.T) {
	h := newHarness(t, map[string]string{"runnel.groups.max": "2"}, 0)
	h.topic("events", 1, 1)
	for _, group := range []string{"a", "b"} {
		equal(t, group, h.commit(t, 8, group, "events", [16]byte{}, 0, 5), 0)
	}
	equal(t, "one too many", kerr.ErrorForCode(h.join(5, "c", "").ErrorCode), error(kerr.GroupMaxSizeReached))
	equal(t, "offsets of one too many", h.commit(t, 8, "c", "events", [16]byte{}, 0, 5), kerr.GroupMaxSizeReached.Code)
	equal(t, "one that is there", h.commit(t, 8, "b", "events", [16]byte{}, 0, 6), 0)
	joined := h.join(3, "a", "")
	equal(t, "a member of one that is there", kerr.ErrorForCode(joined.ErrorCode), nil)
}
