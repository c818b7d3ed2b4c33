package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/metastore"
)

func createRequest(topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = topics
	return req
}

func newTopic(name string, partitions int32, replicas int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, replicas
	for i := 0; i+1 < len(configs); i += 2 {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = configs[i], &configs[i+1]
		topic.Configs = append(topic.Configs, config)
	}
	return topic
}

func TestCreateTopics(t *testing.T) {
	h := newHarness(t, map[string]string{"num.partitions": "6", "default.replication.factor": "3"}, 0)
	h.versions(19, func(t *testing.T, v int16) {
		name := fmt.Sprintf("topic-%d", v)
		resp := ask[*kmsg.CreateTopicsResponse](h, v, createRequest(newTopic(name, 2, 5, "retention.ms", "1000"), newTopic(name+"-default", -1, -1)))
		for _, topic := range resp.Topics {
			equal(t, topic.Topic, topic.ErrorCode, 0)
		}
		created, ok := h.replica.Topic(name)
		equal(t, "created", ok, true)
		equal(t, "partitions", created.Partitions, 2)
		equal(t, "replication factor", created.ReplicationFactor, 5)
		equal(t, "config", created.Configs["retention.ms"], "1000")
		created, _ = h.replica.Topic(name + "-default")
		equal(t, "default partitions", created.Partitions, 6)
		equal(t, "default replication factor", created.ReplicationFactor, 3)
		if v >= 5 {
			answer := resp.Topics[0]
			equal(t, "partitions answered", answer.NumPartitions, 2)
			equal(t, "replication factor answered", answer.ReplicationFactor, 5)
			at := slices.IndexFunc(answer.Configs, func(c kmsg.CreateTopicsResponseTopicConfig) bool { return c.Name == "retention.ms" })
			equal(t, "config answered", *answer.Configs[at].Value, "1000")
			equal(t, "source answered", answer.Configs[at].Source, 1)
		}
		if v >= 7 {
			equal(t, "id answered", resp.Topics[1].TopicID, [16]byte(created.ID))
		}
		again := ask[*kmsg.CreateTopicsResponse](h, v, createRequest(newTopic(name, 2, 1))).Topics[0]
		equal(t, "again", again.ErrorCode, kerr.TopicAlreadyExists.Code)
		if v >= 5 {
			equal(t, "partitions beside an error", again.NumPartitions, -1)
		}
	})
}

func TestCreateTopicsRefuses(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("a.b", 1, 1)
	assigned := func(name string, partitions int32, assignment ...kmsg.CreateTopicsRequestTopicReplicaAssignment) kmsg.CreateTopicsRequestTopic {
		topic := newTopic(name, partitions, -1)
		topic.ReplicaAssignment = assignment
		return topic
	}
	nullConfig := newTopic("t", 1, 1, "retention.ms", "1")
	nullConfig.Configs[0].Value = nil
	cases := map[string]struct {
		topic kmsg.CreateTopicsRequestTopic
		want  *kerr.Error
	}{
		"empty name":                   {newTopic("", 1, 1), kerr.InvalidTopicException},
		"bad name":                     {newTopic("a/b", 1, 1), kerr.InvalidTopicException},
		"colliding name":               {newTopic("a_b", 1, 1), kerr.InvalidTopicException},
		"no partitions":                {newTopic("t", 0, 1), kerr.InvalidPartitions},
		"negative partitions":          {newTopic("t", -2, 1), kerr.InvalidPartitions},
		"too many partitions":          {newTopic("t", 1<<30, 1), kerr.InvalidPartitions},
		"more than a million replicas": {newTopic("t", 100_000, 11), kerr.InvalidReplicationFactor},
		"no replicas":                  {newTopic("t", 1, 0), kerr.InvalidReplicationFactor},
		"negative replicas":            {newTopic("t", 1, -3), kerr.InvalidReplicationFactor},
		"unknown config":               {newTopic("t", 1, 1, "retention.hours", "1"), kerr.InvalidConfig},
		"bad config":                   {newTopic("t", 1, 1, "retention.ms", "soon"), kerr.InvalidConfig},
		"null config":                  {nullConfig, kerr.InvalidConfig},
		"assignment and count":         {assigned("t", 1, kmsg.CreateTopicsRequestTopicReplicaAssignment{Replicas: []int32{0}}), kerr.InvalidRequest},
		"assignment with a gap":        {assigned("t", -1, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: 1, Replicas: []int32{0}}), kerr.InvalidReplicaAssignment},
		"assignment of nothing":        {assigned("t", -1, kmsg.CreateTopicsRequestTopicReplicaAssignment{}), kerr.InvalidReplicaAssignment},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := ask[*kmsg.CreateTopicsResponse](h, 7, createRequest(c.topic)).Topics[0]
			equal(t, "error", got.ErrorCode, c.want.Code)
			if got.ErrorMessage == nil || *got.ErrorMessage == "" {
				t.Error("no text")
			}
		})
	}
	twice := ask[*kmsg.CreateTopicsResponse](h, 7, createRequest(newTopic("x", 1, 1), newTopic("y", 1, 1), newTopic("x", 2, 1))).Topics
	equal(t, "answers", len(twice), 2)
	equal(t, "name listed twice", twice[0].ErrorCode, kerr.InvalidRequest.Code)
	equal(t, "the other", twice[1].ErrorCode, 0)
	equal(t, "topics", len(h.replica.Topics()), 2)
}

func TestCreateTopicsByAssignmentAndValidateOnly(t *testing.T) {
	h := newHarness(t, nil, 0)
	topic := newTopic("assigned", -1, -1)
	for i := range int32(3) {
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: 2 - i, Replicas: []int32{7, 8}})
	}
	req := createRequest(topic)
	req.ValidateOnly = true
	got := ask[*kmsg.CreateTopicsResponse](h, 7, req).Topics[0]
	equal(t, "error", got.ErrorCode, 0)
	equal(t, "partitions", got.NumPartitions, 3)
	equal(t, "id", got.TopicID, [16]byte{})
	equal(t, "topics after validation only", len(h.replica.Topics()), 0)
	equal(t, "error", ask[*kmsg.CreateTopicsResponse](h, 7, createRequest(topic)).Topics[0].ErrorCode, 0)
	created, _ := h.replica.Topic("assigned")
	equal(t, "layout", [2]int{int(created.Partitions), int(created.ReplicationFactor)}, [2]int{3, 2})
}

func TestDeleteTopics(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.versions(20, func(t *testing.T, v int16) {
		topic := h.topic("doomed", 1, 1)
		named := kmsg.NewPtrDeleteTopicsRequest()
		named.TimeoutMillis = 10_000
		named.TopicNames = []string{"doomed", "missing"}
		named.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("doomed")}, {Topic: kmsg.StringPtr("missing")}}
		answers := ask[*kmsg.DeleteTopicsResponse](h, v, named).Topics
		equal(t, "answers", len(answers), 2)
		equal(t, "deleted", answers[0].ErrorCode, 0)
		equal(t, "name", *answers[0].Topic, "doomed")
		equal(t, "missing", answers[1].ErrorCode, kerr.UnknownTopicOrPartition.Code)
		if _, ok := h.replica.Topic("doomed"); ok {
			t.Error("the topic is there")
		}
		if v >= 6 {
			equal(t, "id", answers[0].TopicID, [16]byte(topic.ID))
		}
	})
	topic := h.topic("by-id", 1, 1)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = []kmsg.DeleteTopicsRequestTopic{
		{TopicID: topic.ID}, {TopicID: [16]byte{1}}, {}, {Topic: kmsg.StringPtr("by-id"), TopicID: topic.ID},
	}
	answers := ask[*kmsg.DeleteTopicsResponse](h, 6, req).Topics
	equal(t, "by id", answers[0].ErrorCode, 0)
	equal(t, "name of the id", *answers[0].Topic, "by-id")
	equal(t, "unknown id", answers[1].ErrorCode, kerr.UnknownTopicID.Code)
	equal(t, "neither", answers[2].ErrorCode, kerr.InvalidRequest.Code)
	equal(t, "both", answers[3].ErrorCode, kerr.InvalidRequest.Code)
}

func TestDeleteTopicsWhereForbidden(t *testing.T) {
	h := newHarness(t, map[string]string{"delete.topic.enable": "false"}, 0)
	h.topic("kept", 1, 1)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{"kept"}
	equal(t, "v1", ask[*kmsg.DeleteTopicsResponse](h, 1, req).Topics[0].ErrorCode, kerr.InvalidRequest.Code)
	equal(t, "v3", ask[*kmsg.DeleteTopicsResponse](h, 3, req).Topics[0].ErrorCode, kerr.TopicDeletionDisabled.Code)
}

func TestDeletedTopicTakesItsOffsetsAlong(t *testing.T) {
	h := newHarness(t, nil, 0)
	topic := h.topic("doomed", 1, 1)
	claim, err := h.store.ClaimGroup(t.Context(), "g", 0)
	must(t, err)
	must(t, h.store.CommitOffsets(t.Context(), "g", claim.Epoch, []metastore.CommittedOffset{{
		TopicPartition: metastore.TopicPartition{Topic: topic.ID}, TopicName: "doomed", Offset: 5,
	}}))
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: topic.ID}}
	equal(t, "error", ask[*kmsg.DeleteTopicsResponse](h, 6, req).Topics[0].ErrorCode, 0)
	left, err := h.store.FetchOffsets(t.Context(), "g", nil)
	must(t, err)
	equal(t, "offsets left", len(left), 0)
}

func TestCreatePartitions(t *testing.T) {
	h := newHarness(t, nil, 0)
	grow := func(name string, count int32) kmsg.CreatePartitionsRequestTopic {
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = name, count
		return topic
	}
	request := func(topics ...kmsg.CreatePartitionsRequestTopic) *kmsg.CreatePartitionsRequest {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis = 10_000
		req.Topics = topics
		return req
	}
	h.versions(37, func(t *testing.T, v int16) {
		name := fmt.Sprintf("topic-%d", v)
		h.topic(name, 2, 1)
		only := request(grow(name, 5))
		only.ValidateOnly = true
		equal(t, "validated", ask[*kmsg.CreatePartitionsResponse](h, v, only).Topics[0].ErrorCode, 0)
		topic, _ := h.replica.Topic(name)
		equal(t, "partitions after validation", topic.Partitions, 2)
		equal(t, "grown", ask[*kmsg.CreatePartitionsResponse](h, v, request(grow(name, 5))).Topics[0].ErrorCode, 0)
		topic, _ = h.replica.Topic(name)
		equal(t, "partitions", topic.Partitions, 5)
		wrong := grow(name, 7)
		wrong.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: []int32{0}}}
		equal(t, "assignment", ask[*kmsg.CreatePartitionsResponse](h, v, request(wrong)).Topics[0].ErrorCode, kerr.InvalidReplicaAssignment.Code)
		for _, c := range []kmsg.CreatePartitionsRequestTopic{grow(name, 5), grow(name, 4), grow(name, 1<<30), grow(name, -1)} {
			equal(t, "count", ask[*kmsg.CreatePartitionsResponse](h, v, request(c)).Topics[0].ErrorCode, kerr.InvalidPartitions.Code)
		}
		equal(t, "missing", ask[*kmsg.CreatePartitionsResponse](h, v, request(grow("missing", 5))).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
	})
}

func TestDescribeTopicPartitionsInPages(t *testing.T) {
	h := newHarness(t, nil, 1)
	for _, name := range []string{"b", "a", "c"} {
		h.topic(name, 3, 2)
	}
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 4
	var seen []string
	for range 3 {
		resp := ask[*kmsg.DescribeTopicPartitionsResponse](h, 0, req)
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				seen = append(seen, fmt.Sprintf("%s-%d", *topic.Topic, p.Partition))
				equal(t, "replicas", len(p.Replicas), 2)
				equal(t, "leader", p.LeaderID, p.Replicas[0])
				if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
					t.Error("null lists of eligible leaders, which the Java client does not take")
				}
			}
		}
		if resp.NextCursor == nil {
			break
		}
		req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
	}
	want := []string{"a-0", "a-1", "a-2", "b-0", "b-1", "b-2", "c-0", "c-1", "c-2"}
	if !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
	req.Cursor = nil
	req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "missing"}, {Topic: "bad name"}}
	missing := ask[*kmsg.DescribeTopicPartitionsResponse](h, 0, req).Topics
	equal(t, "invalid", missing[0].ErrorCode, kerr.InvalidTopicException.Code)
	equal(t, "missing", missing[1].ErrorCode, kerr.UnknownTopicOrPartition.Code)
}

func TestDescribeCluster(t *testing.T) {
	h := newHarness(t, nil, 2)
	h.versions(60, func(t *testing.T, v int16) {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations = true
		resp := ask[*kmsg.DescribeClusterResponse](h, v, req)
		equal(t, "brokers", len(resp.Brokers), 3)
		equal(t, "controller", resp.ControllerID, 0)
		equal(t, "length of the cluster id", len(resp.ClusterID), 22)
		equal(t, "operations", resp.ClusterAuthorizedOperations, clusterOperations)
		if v >= 1 {
			req.EndpointType = 2
			equal(t, "controllers", ask[*kmsg.DescribeClusterResponse](h, v, req).ErrorCode, kerr.MismatchedEndpointType.Code)
		}
	})
}

func TestInitProducerIDRefusesHalfAnIdentity(t *testing.T) {
	h := newHarness(t, nil, 0)
	for _, half := range []struct {
		id    int64
		epoch int16
	}{{5, -1}, {-1, 5}} {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.ProducerID, req.ProducerEpoch = half.id, half.epoch
		resp := ask[*kmsg.InitProducerIDResponse](h, 3, req)
		equal(t, "error", resp.ErrorCode, kerr.InvalidRequest.Code)
		equal(t, "producer id", resp.ProducerID, -1)
	}
}

func TestInitProducerID(t *testing.T) {
	h := newHarness(t, nil, 0)
	seen := map[int64]bool{-1: true}
	h.versions(22, func(t *testing.T, v int16) {
		req := kmsg.NewPtrInitProducerIDRequest()
		resp := ask[*kmsg.InitProducerIDResponse](h, v, req)
		equal(t, "error", resp.ErrorCode, 0)
		equal(t, "epoch", resp.ProducerEpoch, 0)
		equal(t, "id given before", seen[resp.ProducerID], false)
		seen[resp.ProducerID] = true
	})
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	h.versions(23, func(t *testing.T, v int16) {
		request := func(topic string, partition, current, epoch int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			p := kmsg.OffsetForLeaderEpochRequestTopicPartition{Partition: partition, CurrentLeaderEpoch: current, LeaderEpoch: epoch}
			req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
			return ask[*kmsg.OffsetForLeaderEpochResponse](h, v, req).Topics[0].Partitions[0]
		}
		type answer struct {
			code  int16
			epoch int32
			end   int64
		}
		for _, c := range []struct {
			got  kmsg.OffsetForLeaderEpochResponseTopicPartition
			want answer
		}{
			{request("events", 0, 0, 0), answer{0, 0, 0}},
			{request("events", 0, -1, 0), answer{0, 0, 0}},
			{request("events", 0, -1, 3), answer{0, -1, -1}},
			{request("events", 0, 1, 0), answer{kerr.UnknownLeaderEpoch.Code, -1, -1}},
			{request("events", 1, 0, 0), answer{kerr.UnknownTopicOrPartition.Code, -1, -1}},
			{request("missing", 0, 0, 0), answer{kerr.UnknownTopicOrPartition.Code, -1, -1}},
		} {
			equal(t, "answer", answer{c.got.ErrorCode, c.got.LeaderEpoch, c.got.EndOffset}, c.want)
		}
	})
}

func TestErrorsOfTheMetastoreAreRetriable(t *testing.T) {
	for _, err := range []error{errors.New("connection refused"), context.DeadlineExceeded, fmt.Errorf("append: %w", context.Canceled)} {
		equal(t, err.Error(), code(err), kerr.RequestTimedOut.Code)
		equal(t, err.Error(), groupCode(err), kerr.CoordinatorNotAvailable.Code)
		if !kerr.IsRetriable(kafkaError(err)) {
			t.Errorf("%v is not retriable", err)
		}
	}
	equal(t, "a metastore that went back", code(fmt.Errorf("append: %w", metastore.ErrRegressed)), kerr.UnknownServerError.Code)
	equal(t, "nil", code(nil), 0)
}
