package broker

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func metadataRequest(create bool, names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
	}
	return req
}

func TestApiVersions(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.versions(18, func(t *testing.T, v int16) {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "apache-kafka-java", "4.2.0"
		resp := ask[*kmsg.ApiVersionsResponse](h, v, req)
		equal(t, "error", resp.ErrorCode, 0)
		equal(t, "keys", len(resp.ApiKeys), len(h.broker.apis()))
		for i, a := range h.broker.apis() {
			got := resp.ApiKeys[i]
			equal(t, a.name, [3]int16{got.ApiKey, got.MinVersion, got.MaxVersion}, [3]int16{a.key, a.min - a.claimed, a.max})
		}
		finalized, supported := map[string]int16{}, map[string]int16{}
		for _, f := range resp.FinalizedFeatures {
			finalized[f.Name] = f.MaxVersionLevel
		}
		for _, f := range resp.SupportedFeatures {
			supported[f.Name] = f.MaxVersion
			equal(t, "minimum of "+f.Name+" is not for this version", f.MinVersion == 0 && v < 4, false) // KAFKA-17492
		}
		want := 0
		if v >= 3 {
			want = 3
			equal(t, "transaction.version", finalized["transaction.version"], 2)
			equal(t, "group.version", finalized["group.version"], 1)
			equal(t, "epoch", resp.FinalizedFeaturesEpoch, 1)
		}
		equal(t, "finalized features", len(finalized), want)
		if v >= 4 {
			equal(t, "supported transaction.version", supported["transaction.version"], 2)
		}
	})
	for _, name := range []string{"", "-x", "a b", "x."} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = name, "1"
		equal(t, "software "+name, ask[*kmsg.ApiVersionsResponse](h, 3, req).ErrorCode, kerr.InvalidRequest.Code)
	}
}

func TestMetadataOfTopics(t *testing.T) {
	h := newHarness(t, map[string]string{"auto.create.topics.enable": "false"}, 1)
	events := h.topic("events", 3, 2)
	h.topic("wide", 1, 5)
	h.versions(3, func(t *testing.T, v int16) {
		all := metadataRequest(false)
		if v > 0 {
			all.Topics = nil
		}
		resp := ask[*kmsg.MetadataResponse](h, v, all)
		equal(t, "brokers", len(resp.Brokers), 2)
		equal(t, "topics", len(resp.Topics), 2)
		topic := resp.Topics[0]
		equal(t, "name", *topic.Topic, "events")
		equal(t, "authorized operations", topic.AuthorizedOperations, -2147483648)
		equal(t, "partitions", len(topic.Partitions), 3)
		for i, p := range topic.Partitions {
			equal(t, "partition", p.Partition, int32(i))
			equal(t, "leader", p.Leader, p.Replicas[0])
			sorted := slices.Sorted(slices.Values(p.Replicas))
			if !slices.Equal(sorted, []int32{0, 1}) || !slices.Equal(p.ISR, p.Replicas) {
				t.Errorf("replicas %v, in sync %v", p.Replicas, p.ISR)
			}
			if v >= 7 {
				equal(t, "leader epoch", p.LeaderEpoch, 0)
			}
		}
		equal(t, "replicas above the number of brokers", len(resp.Topics[1].Partitions[0].Replicas), 5)
		if v >= 1 {
			equal(t, "controller", resp.ControllerID, 0)
			equal(t, "rack", *resp.Brokers[0].Rack, "a")
			equal(t, "rack of a broker without zone", resp.Brokers[1].Rack, nil)
			none := ask[*kmsg.MetadataResponse](h, v, metadataRequest(true))
			equal(t, "topics for an empty list", len(none.Topics), 0)
		}
		if v >= 2 {
			equal(t, "length of cluster id", len(*resp.ClusterID), 22)
		}
		if v >= 10 {
			equal(t, "id", topic.TopicID, [16]byte(events.ID))
		}
		missing := ask[*kmsg.MetadataResponse](h, v, metadataRequest(true, "missing", "bad name")).Topics
		equal(t, "missing", missing[0].ErrorCode, kerr.UnknownTopicOrPartition.Code)
		equal(t, "invalid", missing[1].ErrorCode, kerr.InvalidTopicException.Code)
	})
}

func TestMetadataByTopicID(t *testing.T) {
	h := newHarness(t, nil, 0)
	events := h.topic("events", 1, 1)
	byID := func(id [16]byte) *kmsg.MetadataRequest {
		req := metadataRequest(true)
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID = id
		req.Topics = append(req.Topics, topic)
		return req
	}
	found := ask[*kmsg.MetadataResponse](h, 12, byID(events.ID)).Topics[0]
	equal(t, "error", found.ErrorCode, 0)
	equal(t, "name", *found.Topic, "events")
	missing := ask[*kmsg.MetadataResponse](h, 12, byID([16]byte{1})).Topics[0]
	equal(t, "unknown id", missing.ErrorCode, kerr.UnknownTopicID.Code)
	equal(t, "name of unknown id", missing.Topic, nil)
}

func TestMetadataCreatesTopicsIfBothSidesAllow(t *testing.T) {
	cases := map[string]struct {
		broker  string
		version int16
		client  bool
		want    int16
	}{
		"both":                      {"true", 13, true, 0},
		"client of before v4":       {"true", 3, false, 0},
		"not the client":            {"true", 4, false, kerr.UnknownTopicOrPartition.Code},
		"not the broker":            {"false", 13, true, kerr.UnknownTopicOrPartition.Code},
		"not the broker, before v4": {"false", 0, true, kerr.UnknownTopicOrPartition.Code},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, map[string]string{"auto.create.topics.enable": c.broker, "num.partitions": "4"}, 0)
			got := ask[*kmsg.MetadataResponse](h, c.version, metadataRequest(c.client, "new")).Topics[0]
			equal(t, "error", got.ErrorCode, c.want)
			created, ok := h.replica.Topic("new")
			equal(t, "created", ok, c.want == 0)
			if ok {
				equal(t, "partitions in the answer", len(got.Partitions), 4)
				equal(t, "partitions", created.Partitions, 4)
			}
		})
	}
	h := newHarness(t, nil, 0)
	h.topic("a.b", 1, 1)
	bad := ask[*kmsg.MetadataResponse](h, 13, metadataRequest(true, "a_b", strings.Repeat("x", 250))).Topics
	equal(t, "collision", bad[0].ErrorCode, kerr.InvalidTopicException.Code)
	equal(t, "too long", bad[1].ErrorCode, kerr.InvalidTopicException.Code)
}

func TestMetadataAuthorizedOperations(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("events", 1, 1)
	req := metadataRequest(false, "events", "missing")
	req.IncludeTopicAuthorizedOperations, req.IncludeClusterAuthorizedOperations = true, true
	resp := ask[*kmsg.MetadataResponse](h, 10, req)
	equal(t, "cluster", resp.AuthorizedOperations, clusterOperations)
	equal(t, "topic", resp.Topics[0].AuthorizedOperations, topicOperations)
	equal(t, "topic that is not there", resp.Topics[1].AuthorizedOperations, topicOperations)
}
