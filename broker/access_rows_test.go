package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
)

// accessRow is a request that has one of the requirements of its API, and what it is for who has all of them.
type accessRow struct {
	key     int16
	need    int   // index in needs
	version int16 // 0: the greatest
	ask     func(g *guarded, n names) kmsg.Request
	shows   string                   // where the requirement filters: what only the answer to who may has
	shown   func(kmsg.Response) bool // the same, where it is no text
	partial bool                     // the request is done all the same, but for what the answer leaves out
}

// accessRows has each requirement of each API, from Kafka's table "Operations and Resources on Protocols" and its KafkaApis and
// ControllerApis.
func accessRows() []accessRow {
	return slices.Concat(recordRows(), groupRows(), adminRows(), securityRows())
}

func recordRows() []accessRow {
	produce := func(g *guarded, n names, batch []byte) *kmsg.ProduceRequest {
		named := *g.orders
		named.Name = n.topic
		return produceRequest(&named, 0, batch)
	}
	fetch := func(g *guarded, n names) *kmsg.FetchRequest {
		named := *g.orders
		named.Name = n.topic
		return fetchRequest(&named, 0)
	}
	return []accessRow{
		{key: 0, need: 0, version: 12, ask: func(g *guarded, n names) kmsg.Request {
			req := produce(g, n, recordbatchtest.Encode(testRecords(1, 1_000_000), recordbatchtest.Options{ProducerID: g.till.pid, ProducerEpoch: g.till.epoch, Transactional: true}))
			req.TransactionID = &n.txn
			return req
		}},
		{key: 0, need: 1, version: 12, ask: func(g *guarded, n names) kmsg.Request { return produce(g, n, testBatch(1)) }},
		{key: 1, need: 0, version: 12, ask: func(g *guarded, n names) kmsg.Request { return fetch(g, n) }},
		{key: 1, need: 1, version: 12, ask: func(g *guarded, n names) kmsg.Request {
			req := fetch(g, n)
			req.ReplicaID = 5
			return req
		}},
		{key: 2, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return listOffsetsRequest(n.topic, 0, -1) }},
		{key: 3, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return metadataRequest(false, n.topic) }},
		{key: 3, need: 1, shows: present.topic, ask: func(*guarded, names) kmsg.Request {
			req := metadataRequest(false)
			req.Topics = nil
			return req
		}},
		{key: 3, need: 2, ask: func(g *guarded, _ names) kmsg.Request { return metadataRequest(true, g.fresh("auto")) }},
		{key: 3, need: 3, version: 9, shown: func(r kmsg.Response) bool { return r.(*kmsg.MetadataResponse).AuthorizedOperations != 0 },
			ask: func(*guarded, names) kmsg.Request {
				req := metadataRequest(false)
				req.IncludeClusterAuthorizedOperations = true
				return req
			}},
		{key: 21, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return deleteRecordsRequest(n.topic, 1) }},
		{key: 22, need: 0, ask: func(g *guarded, _ names) kmsg.Request { return initRequest(g.fresh("producer"), 60_000) }},
		{key: 22, need: 1, ask: func(*guarded, names) kmsg.Request {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.ProducerID, req.ProducerEpoch = -1, -1
			return req
		}},
		{key: 23, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return endOfEpochRequest(n.topic) }},
		{key: 24, need: 0, version: 3, ask: func(g *guarded, n names) kmsg.Request { return g.producer(n.txn).addRequest(n.topic, 0) }},
		{key: 24, need: 1, version: 3, ask: func(g *guarded, n names) kmsg.Request { return g.producer(n.txn).addRequest(n.topic, 0) }},
		{key: 24, need: 2, ask: func(g *guarded, n names) kmsg.Request { return g.producer(n.txn).addRequest(n.topic, 0) }},
		{key: 25, need: 0, ask: addOffsets}, {key: 25, need: 1, ask: addOffsets},
		{key: 61, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return describeProducersRequest(n.topic, 0) }},
		{key: 65, need: 0, ask: describeTransactions}, {key: 65, need: 1, shows: present.topic, ask: describeTransactions},
		{key: 66, need: 0, shows: present.txn, ask: func(*guarded, names) kmsg.Request { return kmsg.NewPtrListTransactionsRequest() }},
		{key: 75, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: n.topic}}
			return req
		}},
		{key: 75, need: 1, shows: present.topic, ask: func(*guarded, names) kmsg.Request { return kmsg.NewPtrDescribeTopicPartitionsRequest() }},
		// These end the transaction.
		{key: 28, need: 0, ask: commitInTxn}, {key: 28, need: 1, ask: commitInTxn}, {key: 28, need: 2, ask: commitInTxn},
		{key: 27, need: 0, ask: func(g *guarded, n names) kmsg.Request { return markerRequest(g.till, n.topic) }},
		{key: 26, need: 0, ask: func(g *guarded, n names) kmsg.Request { return g.producer(n.txn).endRequest(true) }},
	}
}

func addOffsets(g *guarded, n names) kmsg.Request {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = n.txn, g.till.pid, g.till.epoch, n.group
	return req
}

func commitInTxn(g *guarded, n names) kmsg.Request {
	return g.producer(n.txn).commitRequest(n.group, n.topic, 1, 0)
}

func describeTransactions(_ *guarded, n names) kmsg.Request {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{n.txn}
	return req
}

func deleteRecordsRequest(topic string, before int64) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: before}}}}
	return req
}

// markerRequest aborts the transaction of a producer.
func markerRequest(p *txnProducer, topic string) *kmsg.WriteTxnMarkersRequest {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	marker := kmsg.NewWriteTxnMarkersRequestMarker()
	marker.ProducerID, marker.ProducerEpoch = p.pid, p.epoch
	marker.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: []int32{0}}}
	req.Markers = []kmsg.WriteTxnMarkersRequestMarker{marker}
	return req
}

func groupRows() []accessRow {
	describeMembers := func(*guarded, names) kmsg.Request {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups = []string{"eaters"}
		return req
	}
	return []accessRow{
		{key: 8, need: 0, version: 9, ask: func(_ *guarded, n names) kmsg.Request { return commitRequest(n) }},
		{key: 8, need: 1, version: 9, ask: func(_ *guarded, n names) kmsg.Request { return commitRequest(n) }},
		{key: 9, need: 0, version: 9, ask: fetchOffsets}, {key: 9, need: 1, version: 9, ask: fetchOffsets},
		{key: 9, need: 2, version: 9, shows: present.topic, ask: func(_ *guarded, n names) kmsg.Request {
			req := fetchOffsets(nil, n).(*kmsg.OffsetFetchRequest)
			req.Groups[0].Topics = nil
			return req
		}},
		{key: 10, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return coordinatorRequest(groupCoordinator, n.group) }},
		{key: 10, need: 1, ask: func(_ *guarded, n names) kmsg.Request { return coordinatorRequest(transactionCoordinator, n.txn) }},
		{key: 11, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrJoinGroupRequest()
			req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = n.group, "consumer", 10_000, 10_000
			req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{}}}
			return req
		}},
		{key: 12, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrHeartbeatRequest()
			req.Group, req.MemberID = n.group, "member"
			return req
		}},
		{key: 13, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrLeaveGroupRequest()
			req.Group, req.Members = n.group, []kmsg.LeaveGroupRequestMember{{MemberID: "member"}}
			return req
		}},
		{key: 14, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrSyncGroupRequest()
			req.Group, req.MemberID, req.ProtocolType, req.Protocol = n.group, "member", kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
			return req
		}},
		{key: 15, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrDescribeGroupsRequest()
			req.Groups, req.IncludeAuthorizedOperations = []string{n.group}, true
			return req
		}},
		{key: 16, need: 0, shows: present.group, ask: func(*guarded, names) kmsg.Request { return kmsg.NewPtrListGroupsRequest() }},
		{key: 47, need: 0, ask: deleteOffsets}, {key: 47, need: 1, ask: deleteOffsets},
		{key: 42, need: 0, ask: func(_ *guarded, n names) kmsg.Request {
			req := kmsg.NewPtrDeleteGroupsRequest()
			req.Groups = []string{n.group}
			return req
		}},
		{key: 68, need: 0, ask: func(_ *guarded, n names) kmsg.Request { return beatRequest("eaters", "another", n.topic) }},
		{key: 68, need: 1, ask: func(_ *guarded, n names) kmsg.Request { return beatRequest("eaters", "another", n.topic) }},
		{key: 68, need: 2, shown: func(r kmsg.Response) bool { return len(r.(*kmsg.ConsumerGroupHeartbeatResponse).Assignment.Topics) > 0 },
			ask: func(g *guarded, _ names) kmsg.Request {
				req := beatRequest(g.fresh("matchers"), "member")
				req.SubscribedTopicRegex = kmsg.StringPtr("ord.*")
				return req
			}},
		{key: 69, need: 0, ask: describeMembers}, {key: 69, need: 1, ask: describeMembers},
	}
}

func coordinatorRequest(kind int8, key string) *kmsg.FindCoordinatorRequest {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType, req.CoordinatorKeys, req.CoordinatorKey = kind, []string{key}, key
	return req
}

func fetchOffsets(_ *guarded, n names) kmsg.Request {
	req := kmsg.NewPtrOffsetFetchRequest()
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group, asked.Topics = n.group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: n.topic, TopicID: n.id, Partitions: []int32{0}}}
	req.Groups = append(req.Groups, asked)
	req.Group, req.Topics = n.group, []kmsg.OffsetFetchRequestTopic{{Topic: n.topic, Partitions: []int32{0}}} // before v8
	return req
}

func deleteOffsets(_ *guarded, n names) kmsg.Request {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = n.group
	req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: n.topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
	return req
}
