package broker

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/metastore"
)

func TestWhoMayNotDeleteATopicIsToldItsNameOnlyIfTheyMayDescribeIt(t *testing.T) {
	g := newGuarded(t)
	remove := func(name *string, id [16]byte) kmsg.DeleteTopicsResponseTopic {
		req := deleteRequest("")
		req.Topics[0].Topic, req.Topics[0].TopicID = name, id
		return ask[*kmsg.DeleteTopicsResponse](g.harness, 6, req).Topics[0]
	}
	deletes, describes := denial{acl.Delete, acl.Topic, ""}, denial{acl.Describe, acl.Topic, ""}
	onCluster := denial{acl.Delete, acl.Cluster, ""}
	for _, c := range []struct {
		name  string
		deny  []denial
		byID  bool
		named bool
	}{
		{"by id, describable", []denial{deletes, onCluster}, true, true},
		{"by id", []denial{deletes, describes, onCluster}, true, false},
		{"by name, describable", []denial{deletes, onCluster}, false, true},
		{"by name", []denial{deletes, describes, onCluster}, false, true},
		{"by name, only not describable", []denial{describes, onCluster}, false, true},
	} {
		g.rules.deny(c.deny...)
		var answer kmsg.DeleteTopicsResponseTopic
		if c.byID {
			answer = remove(nil, g.orders.ID)
			equal(t, c.name+": id", answer.TopicID, [16]byte(g.orders.ID))
		} else {
			answer = remove(&present.topic, [16]byte{})
			equal(t, c.name+": id", answer.TopicID, [16]byte{})
		}
		equal(t, c.name, answer.ErrorCode, kerr.TopicAuthorizationFailed.Code)
		equal(t, c.name+": named", answer.Topic != nil, c.named)
	}
	g.rules.deny(denial{})
	equal(t, "an id that no topic has", remove(nil, [16]byte{1}).ErrorCode, kerr.UnknownTopicID.Code)
	_, there := g.replica.Topic(present.topic)
	equal(t, "it is there", there, true)
}

func TestWhoMayNotDescribeSettingsCreatesTopicsWithoutSeeingThem(t *testing.T) {
	g := newGuarded(t)
	g.rules.deny(denial{acl.DescribeConfigs, acl.Topic, "hidden"})
	resp := ask[*kmsg.CreateTopicsResponse](g.harness, 7, createRequest(newTopic("hidden", 2, 1), newTopic("shown", 2, 1)))
	for _, topic := range resp.Topics {
		equal(t, topic.Topic, topic.ErrorCode, 0)
		if topic.Topic == "shown" {
			equal(t, "partitions", topic.NumPartitions, 2)
			equal(t, "settings", len(topic.Configs) > 0, true)
			continue
		}
		equal(t, "code of the settings", topic.ConfigErrorCode, kerr.TopicAuthorizationFailed.Code)
		equal(t, "partitions", topic.NumPartitions, -1)
		equal(t, "replication factor", topic.ReplicationFactor, -1)
		equal(t, "settings", len(topic.Configs), 0)
	}
}

func TestMetadataByIDTellsOfATopicThatMayNotBeDescribedOnlyThatThereIsOne(t *testing.T) {
	g := newGuarded(t)
	req := metadataRequest(true)
	req.IncludeTopicAuthorizedOperations = true
	req.Topics = []kmsg.MetadataRequestTopic{{TopicID: g.orders.ID}, {TopicID: [16]byte{1}}}
	g.rules.deny(denial{acl.Describe, acl.Topic, ""})
	topics := ask[*kmsg.MetadataResponse](g.harness, 12, req).Topics
	for i, want := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.UnknownTopicID} {
		equal(t, "error", topics[i].ErrorCode, want.Code)
		equal(t, "id", topics[i].TopicID, req.Topics[i].TopicID)
		equal(t, "named", topics[i].Topic != nil, false)
		equal(t, "partitions", len(topics[i].Partitions), 0)
		equal(t, "operations", topics[i].AuthorizedOperations, -1<<31)
	}
}

func TestAuthorizedOperationsAreThoseOfTheRules(t *testing.T) {
	g := newGuarded(t)
	var denied []denial
	for _, on := range []acl.ResourceType{acl.Topic, acl.Group, acl.Cluster} {
		denied = append(denied, denial{acl.Delete, on, ""}, denial{acl.AlterConfigs, on, ""})
	}
	g.rules.deny(denied...)
	without := func(on acl.ResourceType) int32 { return everything(on) &^ (1<<acl.Delete | 1<<acl.AlterConfigs) }
	metadata := metadataRequest(false, present.topic)
	metadata.IncludeTopicAuthorizedOperations, metadata.IncludeClusterAuthorizedOperations = true, true
	told := ask[*kmsg.MetadataResponse](g.harness, 9, metadata)
	equal(t, "Metadata, topic", told.Topics[0].AuthorizedOperations, without(acl.Topic))
	equal(t, "Metadata, cluster", told.AuthorizedOperations, without(acl.Cluster))
	pages := kmsg.NewPtrDescribeTopicPartitionsRequest()
	pages.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: present.topic}, {Topic: absent.topic}}
	for _, topic := range ask[*kmsg.DescribeTopicPartitionsResponse](g.harness, 0, pages).Topics {
		equal(t, "DescribeTopicPartitions", topic.AuthorizedOperations, without(acl.Topic))
	}
	groups := kmsg.NewPtrDescribeGroupsRequest()
	groups.Groups, groups.IncludeAuthorizedOperations = []string{present.group}, true
	equal(t, "DescribeGroups", ask[*kmsg.DescribeGroupsResponse](g.harness, 5, groups).Groups[0].AuthorizedOperations, without(acl.Group))
	equal(t, "ConsumerGroupDescribe", g.describeConsumer(1, "eaters").AuthorizedOperations, without(acl.Group))
	cluster := kmsg.NewPtrDescribeClusterRequest()
	cluster.EndpointType, cluster.IncludeClusterAuthorizedOperations = brokerEndpoints, true
	equal(t, "DescribeCluster", ask[*kmsg.DescribeClusterResponse](g.harness, 1, cluster).ClusterAuthorizedOperations, without(acl.Cluster))
}

func TestATransactionGetsNoPartitionIfOneTopicIsDenied(t *testing.T) {
	g := newGuarded(t)
	g.topic("secret", 1, 1)
	req := g.till.addRequest(present.topic, 0)
	req.Topics = append(req.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: "secret", Partitions: []int32{0}}, kmsg.AddPartitionsToTxnRequestTopic{Topic: "nowhere", Partitions: []int32{0}})
	g.rules.deny(denial{acl.Write, acl.Topic, "secret"})
	topics := ask[*kmsg.AddPartitionsToTxnResponse](g.harness, 3, req).Topics
	for i, want := range []*kerr.Error{kerr.OperationNotAttempted, kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition} {
		equal(t, topics[i].Topic, topics[i].Partitions[0].ErrorCode, want.Code)
	}
}

func TestRequestsAreServedButForTheTopicsThatAreDenied(t *testing.T) {
	g := newGuarded(t)
	secret := g.topic("secret", 2, 1)
	g.rules.deny(denial{acl.Write, acl.Topic, "secret"}, denial{acl.Read, acl.Topic, "secret"}, denial{acl.Describe, acl.Topic, "secret"})
	produce := produceRequest(secret, 0, testBatch(1))
	produce.Topics = append(produce.Topics, produceRequest(g.orders, 0, testBatch(1)).Topics...)
	for _, version := range []int16{12, 13} {
		rows := ask[*kmsg.ProduceResponse](g.harness, version, produce).Topics
		equal(t, "denied", rows[0].Partitions[0].ErrorCode, kerr.TopicAuthorizationFailed.Code)
		equal(t, "offset", rows[0].Partitions[0].BaseOffset, -1)
		equal(t, "allowed", rows[1].Partitions[0].ErrorCode, 0)
	}
	// A session keeps what is denied, and serves it once it no longer is.
	fetch := fetchRequest(secret, 0)
	fetch.SessionEpoch, fetch.Topics = 0, append(fetch.Topics, fetchRequest(g.orders, 0).Topics...)
	first := ask[*kmsg.FetchResponse](g.harness, 12, fetch)
	equal(t, "denied", first.Topics[0].Partitions[0].ErrorCode, kerr.TopicAuthorizationFailed.Code)
	equal(t, "allowed", first.Topics[1].Partitions[0].ErrorCode, 0)
	g.rules.deny()
	next := fetchRequest(secret)
	next.Topics, next.SessionID, next.SessionEpoch = nil, first.SessionID, 1
	second := ask[*kmsg.FetchResponse](g.harness, 12, next)
	equal(t, "topics", second.Topics[0].Topic, "secret")
	equal(t, "no longer denied", second.Topics[0].Partitions[0].ErrorCode, 0)
}

type knownTopics = Topics

// counted counts looks at the commit log.
type counted struct {
	knownTopics
	looks atomic.Int64
}

func (c *counted) Refresh(ctx context.Context) error {
	c.looks.Add(1)
	return c.knownTopics.Refresh(ctx)
}

// TestNobodyMakesABrokerLookForTopicsThatAreNotTheirs: the time that it takes would tell which there are.
func TestNobodyMakesABrokerLookForTopicsThatAreNotTheirs(t *testing.T) {
	g := newGuarded(t)
	topics := &counted{knownTopics: g.broker.Topics}
	g.broker.Topics = topics
	produce := produceRequest(&metastore.Topic{Name: "nowhere"}, 0, testBatch(1))
	for _, c := range []struct {
		deny []denial
		want int64
	}{{nil, 1}, {[]denial{{}}, 0}} {
		topics.looks.Store(0)
		g.rules.deny(c.deny...)
		ask[*kmsg.ProduceResponse](g.harness, 12, produce)
		equal(t, "looks", topics.looks.Load(), c.want)
	}
}

// TestATopicIsAskedForOnceInARequest: rules may be many, and what is denied is recorded.
func TestATopicIsAskedForOnceInARequest(t *testing.T) {
	g := newGuarded(t)
	wide := g.topic("wide", 8, 1)
	g.rules.deny(denial{acl.Write, acl.Topic, "wide"})
	produce, fetch, list := kmsg.NewPtrProduceRequest(), fetchRequest(wide), kmsg.NewPtrListOffsetsRequest()
	produce.Acks, produce.TimeoutMillis, fetch.MaxWaitMillis, list.ReplicaID = -1, 1000, 20, -1
	for i := range int32(8) { // a topic for each partition, with another between
		produce.Topics = append(produce.Topics, produceRequest(wide, i, testBatch(1)).Topics[0], produceRequest(g.orders, 0, testBatch(1)).Topics[0])
		fetch.Topics = append(fetch.Topics, fetchRequest(wide, i).Topics[0], fetchRequest(g.orders, i).Topics[0])
		list.Topics = append(list.Topics, listOffsetsRequest("wide", i, -1).Topics[0], listOffsetsRequest(present.topic, i, -1).Topics[0])
	}
	g.trail.take(audit.Denial)
	for _, req := range []kmsg.Request{produce, fetch, list} {
		req.SetVersion(9)
		before := g.rules.asked.Load()
		g.ask(req)
		equal(t, kmsg.NameForKey(req.Key()), g.rules.asked.Load()-before, 2)
	}
	equal(t, "denials", len(g.trail.take(audit.Denial)), 1)
}

// A producer must not be told that it has no rights to a topic that somebody has just created for it through another broker.
func TestMetadataOfATopicThatThisBrokerHasNotHeardOf(t *testing.T) {
	g := newGuarded(t)
	g.rules.deny(denial{acl.Create, acl.Topic, ""}, denial{acl.Create, acl.Cluster, ""})
	_, err := g.elsewhere().CreateTopic(t.Context(), metastore.NewTopic{Name: "new", Partitions: 1, ReplicationFactor: 1})
	must(t, err)
	_, heard := g.replica.Topic("new")
	equal(t, "this broker has heard of it", heard, false)

	topics := g.broker.Topics
	g.broker.Topics = cutOff{g.replica}
	cut := ask[*kmsg.MetadataResponse](g.harness, 12, metadataRequest(true, "new", "none")).Topics
	for i := range cut {
		equal(t, "error of a broker that is cut off", cut[i].ErrorCode, kerr.LeaderNotAvailable.Code)
	}
	g.broker.Topics = topics
	answer := ask[*kmsg.MetadataResponse](g.harness, 12, metadataRequest(true, "new", "none")).Topics
	equal(t, "error", answer[0].ErrorCode, 0)
	equal(t, "partitions", len(answer[0].Partitions), 1)
	equal(t, "error of a topic that is nowhere", answer[1].ErrorCode, kerr.TopicAuthorizationFailed.Code)
}
