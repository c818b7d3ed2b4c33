package broker

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/metastore"
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

func TestMetadataAnswersAnIDUnderManyNamesOnce(t *testing.T) {
	h := newHarness(t, nil, 0)
	id := h.topic("events", 1, 1).ID
	for v, want := range map[int16]int{12: 1, 11: 2} { // before v12 an id is an error, of the topic with that name
		req := metadataRequest(false, "a", "b")
		for i := range req.Topics {
			req.Topics[i].TopicID = id
		}
		equal(t, fmt.Sprintf("answers of v%d", v), len(ask[*kmsg.MetadataResponse](h, v, req).Topics), want)
	}
}

func TestDescribeConfigsTellsDefaultsOfSoManyGroupsOnly(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	req := kmsg.NewPtrDescribeConfigsRequest()
	for i := range metastore.MaxConfigResources + 2 {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, fmt.Sprint(i)
		if i%2 == 0 {
			r.ResourceType = kmsg.ConfigResourceTypeClientMetrics
		}
		req.Resources = append(req.Resources, r)
	}
	topic := kmsg.NewDescribeConfigsRequestResource()
	topic.ResourceType, topic.ResourceName = kmsg.ConfigResourceTypeTopic, "events"
	req.Resources = append(req.Resources, topic)
	for i, r := range ask[*kmsg.DescribeConfigsResponse](h, 4, req).Resources {
		refused := i >= metastore.MaxConfigResources && r.ResourceType != kmsg.ConfigResourceTypeTopic
		if refused != (r.ErrorCode == kerr.InvalidRequest.Code) || refused != (len(r.Configs) == 0) {
			t.Fatalf("resource %d, type %d: error %d, %d settings", i, r.ResourceType, r.ErrorCode, len(r.Configs))
		}
	}
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

func TestLargeAnswersAreGivenOnce(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	configs := describeRequest(kmsg.ConfigResourceTypeTopic, "events")
	configs.Resources = append(configs.Resources, configs.Resources[0], configs.Resources[0])
	equal(t, "DescribeConfigs", len(ask[*kmsg.DescribeConfigsResponse](h, 4, configs).Resources), 1)

	groups := kmsg.NewPtrDescribeGroupsRequest()
	groups.Groups = []string{"g", "h", "g"}
	equal(t, "DescribeGroups", len(ask[*kmsg.DescribeGroupsResponse](h, 5, groups).Groups), 2)

	offsets := kmsg.NewPtrOffsetFetchRequest()
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = "g"
	offsets.Groups = append(offsets.Groups, group, group)
	equal(t, "OffsetFetch", len(ask[*kmsg.OffsetFetchResponse](h, 8, offsets).Groups), 1)
}

func TestCreateTopicsBoundsTheTopicsOfARequest(t *testing.T) {
	h := newHarness(t, nil, 0)
	var topics []kmsg.CreateTopicsRequestTopic
	for i := range maxTopicsCreated + 1 {
		topics = append(topics, newTopic(fmt.Sprintf("t%d", i), 1, 1))
	}
	answers := ask[*kmsg.CreateTopicsResponse](h, 5, createRequest(topics...)).Topics
	equal(t, "answers", len(answers), len(topics))
	for _, a := range answers {
		equal(t, a.Topic, a.ErrorCode, kerr.PolicyViolation.Code)
	}
	equal(t, "topics", len(h.replica.Topics()), 0)
}

// A request that makes more topics than it has time for says so without another try, or log line, for each of the rest.
func TestMetadataStopsCreatingTopicsInTime(t *testing.T) {
	h := newHarness(t, nil, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.broker.autoCreate(ctx, nil, "late")
	equal(t, "code", code(err), kerr.LeaderNotAvailable.Code)
	equal(t, "topics", len(h.replica.Topics()), 0)
}

// What a group keeps with a position is up to 4 KiB; what names the partition, four bytes.
func TestOffsetFetchAnswersAPartitionNamedTwiceOnce(t *testing.T) {
	h := newHarness(t, nil, 0)
	topic := h.topic("events", 1, 1)
	for _, version := range []int16{1, 7, 8, 10} {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group = "g"
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "events", Partitions: []int32{0, 1, 0}}, {Topic: "events", Partitions: []int32{1, 2}}}
		group := kmsg.NewOffsetFetchRequestGroup()
		group.Group = "g"
		for _, asked := range req.Topics {
			group.Topics = append(group.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: "events", TopicID: topic.ID, Partitions: asked.Partitions})
		}
		req.Groups = append(req.Groups, group)
		answer := ask[*kmsg.OffsetFetchResponse](h, version, req)
		var got []int32
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				got = append(got, p.Partition)
			}
		}
		for _, group := range answer.Groups {
			for _, topic := range group.Topics {
				for _, p := range topic.Partitions {
					got = append(got, p.Partition)
				}
			}
		}
		equal(t, fmt.Sprintf("partitions at version %d", version), fmt.Sprint(got), "[0 1 2]")
	}
}

// countedLooks are topics, and how often somebody looked for more.
type countedLooks struct {
	topics
	looks int
}

type topics interface{ Topics } // whose name is not that of a method

func (c *countedLooks) Refresh(ctx context.Context) error {
	c.looks++
	return c.topics.Refresh(ctx)
}

// Looks are paced: with one for each transaction, a request of a few hundred would wait until its time was up.
func TestAddPartitionsToTxnLooksAtTheLogOnceForAllItsTransactions(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	counted := &countedLooks{topics: h.broker.Topics}
	h.broker.Topics = counted
	for what, single := range map[string]kmsg.AddPartitionsToTxnRequestTransaction{
		"unknown topics": {TransactionalID: "t", Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: "missing", Partitions: []int32{0}}}},
		"verification":   {TransactionalID: "t", VerifyOnly: true, Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: "events", Partitions: []int32{0}}}},
	} {
		counted.looks = 0
		req := kmsg.NewPtrAddPartitionsToTxnRequest()
		req.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{single, single, single}
		answer := ask[*kmsg.AddPartitionsToTxnResponse](h, 5, req)
		equal(t, "answers to "+what, len(answer.Transactions), 3)
		equal(t, "looks for "+what, counted.looks, 1)
	}
}

func TestDescribeProducersAnswersAPartitionNamedTwiceOnce(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "events", Partitions: []int32{0, 7, 0}}, {Topic: "events", Partitions: []int32{0, 8}}}
	var got []int32
	for _, topic := range ask[*kmsg.DescribeProducersResponse](h, 0, req).Topics {
		for _, p := range topic.Partitions {
			got = append(got, p.Partition)
		}
	}
	equal(t, "partitions", fmt.Sprint(got), "[0 7 8]")
}
