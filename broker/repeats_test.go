package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka answers what a request names twice once. Package integration/differential compares the rest with Kafka itself.

func TestMetadataAnswersATopicNamedTwiceOnce(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	topics := ask[*kmsg.MetadataResponse](h, 9, metadataRequest(false, "events", "missing", "events", "missing")).Topics
	equal(t, "answers", len(topics), 2)
	equal(t, "first", *topics[0].Topic, "events")
	equal(t, "second", *topics[1].Topic, "missing")
}

func TestDeleteTopicsKeepsATopicNamedTwice(t *testing.T) {
	h := newHarness(t, nil, 0)
	id := h.topic("events", 1, 1).ID
	h.topic("other", 1, 1)
	name := kmsg.StringPtr("events")
	for what, twice := range map[string][]kmsg.DeleteTopicsRequestTopic{
		"names":         {{Topic: name}, {Topic: name}},
		"ids":           {{TopicID: id}, {TopicID: id}},
		"name and id":   {{Topic: name}, {TopicID: id}},
		"not in a line": {{Topic: name}, {Topic: kmsg.StringPtr("missing")}, {Topic: name}},
	} {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Topics = twice
		answers := ask[*kmsg.DeleteTopicsResponse](h, 6, req).Topics
		equal(t, "answers to "+what, len(answers), len(twice)-1)
		equal(t, what, answers[0].ErrorCode, kerr.InvalidRequest.Code)
		if _, ok := h.replica.Topic("events"); !ok {
			t.Fatalf("%s: the topic is gone", what)
		}
	}
}

func TestDeleteGroupsAnswersAGroupNamedTwiceOnce(t *testing.T) {
	h := newHarness(t, nil, 0)
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{"g", "g", "h"}
	groups := ask[*kmsg.DeleteGroupsResponse](h, 2, req).Groups
	equal(t, "answers", len(groups), 2)
}

func TestCreatePartitionsTakesReplicasOfTheTopicsFactorOnly(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 2)
	for _, c := range []struct {
		replicas []int32
		want     int16
	}{
		{[]int32{}, kerr.InvalidReplicaAssignment.Code}, {[]int32{0}, kerr.InvalidReplicaAssignment.Code},
		{[]int32{0, 0, 0}, kerr.InvalidReplicaAssignment.Code}, {[]int32{0, 0}, 0},
	} {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.ValidateOnly = true
		req.Topics = []kmsg.CreatePartitionsRequestTopic{{
			Topic: "events", Count: 2, Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: c.replicas}},
		}}
		answer := ask[*kmsg.CreatePartitionsResponse](h, 3, req).Topics[0]
		equal(t, "answer", answer.ErrorCode, c.want)
	}
}

func TestDescribeTopicPartitionsRefusesForeignCursors(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	for _, cursor := range []kmsg.DescribeTopicPartitionsRequestCursor{{Topic: "events", Partition: -1}, {Topic: "event", Partition: 0}} {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit, req.Cursor = 100, &cursor
		req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "events"}}
		topics := ask[*kmsg.DescribeTopicPartitionsResponse](h, 0, req).Topics
		equal(t, "error", topics[0].ErrorCode, kerr.InvalidRequest.Code)
		equal(t, "partitions", len(topics[0].Partitions), 0)
	}
}

func TestDescribeClusterKnowsEndpointTypes(t *testing.T) {
	h := newHarness(t, nil, 0)
	for kind, want := range map[int8]int16{0: kerr.UnsupportedEndpointType.Code, 1: 0, 2: kerr.MismatchedEndpointType.Code, 3: kerr.UnsupportedEndpointType.Code} {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.EndpointType = kind
		equal(t, "error", ask[*kmsg.DescribeClusterResponse](h, 2, req).ErrorCode, want)
	}
}
