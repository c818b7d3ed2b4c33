package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// api is a row of the protocol table, from which dispatch, ApiVersions and docs/protocol.md are made.
type api struct {
	key      int16
	name     string
	min, max int16 // versions that are served
	claimed  int16 // how many versions below min ApiVersions names all the same (KAFKA-18659)
	handle   wire.Handler
	order    wire.Order
	budgeted bool
	borrows  bool
	open     bool // to clients that have not authenticated
	waits    bool // the answer waits for stores, other brokers or other clients: not counted as the client's time of processors
	prompt   bool // the answer hardly ever waits: see wire.Route
	needs    []requirement
	notes    string // for docs/protocol.md: what is different from Kafka
}

// A minimum is Kafka 4.2's own: clients (librdkafka 2.0 for one) look for exact old versions in the advertised range.
func (b *Broker) apis() []api {
	return []api{
		{key: 0, name: "Produce", min: 3, max: 13, claimed: 3, handle: b.produce, waits: true, order: wire.Overlapping, budgeted: true, borrows: true, needs: needs(need(acl.Write, acl.TransactionalID).only("with transactional records"), need(acl.Write, acl.Topic)),
			notes: "acks=1 waits as acks=all does. Compressed batches are not decompressed, except for compacted topics and those whose compression.type is another codec; to be compressed anew, they may hold 32 MiB of records. So what Kafka refuses because its records cannot be read may be stored, and is then for consumers to refuse. Bytes after the batch are refused. A partition that is named twice gets both batches. A broker that stops takes what comes with acks=0 and half closes the connection."},
		{key: 1, name: "Fetch", min: 4, max: 18, handle: b.fetchFrom, needs: needs(need(acl.Read, acl.Topic), need(acl.ClusterAction, acl.Cluster).only("instead, for followers").refusedWith(kerr.TopicAuthorizationFailed)),
			notes: "Followers are answered as consumers. A consumer is sent to a broker of its rack if that is in the replica list of every client. A broker cut off from the metastore answers OFFSET_NOT_AVAILABLE beyond its high watermark, and later NOT_LEADER_OR_FOLLOWER to those that wait. The leader epoch is 0 for ever. Batches are never cut. Old records that are not loaded yet do not hold up those of other partitions and follow in a later answer. Waits of 32 ms and more may end a thirty-second part, at most 67 ms, early. Negative sizes count as 0, unknown isolation levels as read_uncommitted."},
		{key: 2, name: "ListOffsets", min: 1, max: 11, handle: blocking(b.listOffsets), waits: true, needs: needs(need(acl.Describe, acl.Topic)),
			notes: "A compressed batch whose records cannot be read, which Kafka would not have taken from its producer, makes searches by time that have to look into it CORRUPT_MESSAGE. Nothing is tiered: -4 is the log start, -5 and -6 find nothing. A broker cut off from the metastore answers OFFSET_NOT_AVAILABLE, but the log start as it knows it."},
		{key: 3, name: "Metadata", min: 0, max: 13, handle: blocking(b.metadata), needs: needs(
			need(acl.Describe, acl.Topic).only("of topics that are named"), need(acl.Describe, acl.Topic).only("of all topics").leavesOut(),
			need(acl.Create, acl.Topic).or(acl.Create, acl.Cluster).only("to auto-create"),
			need(acl.Describe, acl.Cluster).only("for its authorized operations").leavesOut()),
			notes: "The leader of a partition is a live broker of the client's zone. Replica lists have the length of the topic's replication factor; ids repeat if there are fewer brokers. Topics that are auto-created are in the first answer."},
		{key: 8, name: "OffsetCommit", min: 2, max: 10, handle: blocking(b.offsetCommit), waits: true, needs: needs(need(acl.Read, acl.Group), need(acl.Read, acl.Topic)),
			notes: "The retention time of versions 2 to 4 is ignored: offsets.retention.minutes applies."},
		{key: 9, name: "OffsetFetch", min: 1, max: 10, handle: blocking(b.offsetFetch), needs: needs(need(acl.Describe, acl.Group), need(acl.Describe, acl.Topic), need(acl.Describe, acl.Topic).only("of all of a group").leavesOut()),
			notes: "A partition that is named twice is answered once."},
		{key: 10, name: "FindCoordinator", min: 0, max: 6, handle: blocking(b.findCoordinator), needs: needs(need(acl.Describe, acl.Group).only("of groups"), need(acl.Describe, acl.TransactionalID).only("of transactional ids")),
			notes: "Share groups: UNSUPPORTED_VERSION, with a text."},
		{key: 11, name: "JoinGroup", min: 0, max: 9, handle: blocking(b.joinGroup), waits: true, needs: needs(need(acl.Read, acl.Group)),
			notes: "An empty instance id is none."},
		{key: 12, name: "Heartbeat", min: 0, max: 4, handle: blocking(b.heartbeat), prompt: true, needs: needs(need(acl.Read, acl.Group))},
		{key: 13, name: "LeaveGroup", min: 0, max: 5, handle: blocking(b.leaveGroup), waits: true, needs: needs(need(acl.Read, acl.Group))},
		{key: 14, name: "SyncGroup", min: 0, max: 5, handle: blocking(b.syncGroup), waits: true, needs: needs(need(acl.Read, acl.Group))},
		{key: 15, name: "DescribeGroups", min: 0, max: 6, handle: blocking(b.describeGroups), needs: needs(need(acl.Describe, acl.Group)),
			notes: "Assignments of earlier generations are not shown in a rebalance."},
		{key: 16, name: "ListGroups", min: 0, max: 5, handle: blocking(b.listGroups), needs: needs(need(acl.Describe, acl.Group).or(acl.Describe, acl.Cluster).leavesOut())},
		{key: 17, name: "SaslHandshake", min: 0, max: 1, handle: b.saslHandshake, needs: needs(), open: true,
			notes: "ApiVersions may be asked for any number of times before. Requests between the handshake and the end of a re-authentication are those of the session that still lasts."},
		{key: 18, name: "ApiVersions", min: 0, max: 4, handle: b.apiVersionsTo, open: true, needs: needs(),
			notes: "The features are those of the software: transaction.version 2 and group.version 1 are finalized, and cannot be lowered."},
		{key: 19, name: "CreateTopics", min: 2, max: 7, handle: blocking(b.createTopics), waits: true, needs: needs(need(acl.Create, acl.Topic).or(acl.Create, acl.Cluster), need(acl.DescribeConfigs, acl.Topic).only("for the settings in the answer")),
			notes: "Any replication factor up to 128 is accepted, if the topic has no more than a million replicas. Replica assignments count as numbers of partitions. With validate only, there is no topic id."},
		{key: 20, name: "DeleteTopics", min: 1, max: 6, handle: blocking(b.deleteTopics), waits: true, needs: needs(need(acl.Describe, acl.Topic).or(acl.Delete, acl.Cluster), need(acl.Delete, acl.Topic).or(acl.Delete, acl.Cluster))},
		{key: 21, name: "DeleteRecords", min: 0, max: 2, handle: blocking(b.deleteRecords), waits: true, needs: needs(need(acl.Delete, acl.Topic)),
			notes: "Any broker takes it. The records are gone for all readers at once; objects that hold nothing else are deleted after a grace (`garbage.grace`)."},
		{key: 22, name: "InitProducerId", min: 0, max: 5, handle: blocking(b.initProducerID), waits: true, needs: needs(
			need(acl.Write, acl.TransactionalID).only("with a transactional id"),
			need(acl.IdempotentWrite, acl.Cluster).or(acl.Write, acl.Topic).only("on any topic; without one")),
			notes: "An open transaction is aborted at once, and never answered with CONCURRENT_TRANSACTIONS."},
		{key: 23, name: "OffsetForLeaderEpoch", min: 2, max: 4, handle: blocking(b.offsetForLeaderEpoch), needs: needs(need(acl.Describe, acl.Topic).or(acl.ClusterAction, acl.Cluster)),
			notes: "The leader epoch is 0 for ever; the answer is the end of the log, or OFFSET_NOT_AVAILABLE from a broker cut off from the metastore."},
		{key: 24, name: "AddPartitionsToTxn", min: 0, max: 5, handle: blocking(b.addPartitionsToTxn), waits: true, needs: needs(
			need(acl.Write, acl.TransactionalID).only("up to version 3"), need(acl.Write, acl.Topic).only("up to version 3"),
			need(acl.ClusterAction, acl.Cluster).only("from version 4 on")),
			notes: "CONCURRENT_TRANSACTIONS is rare: the end of a transaction is one step."},
		{key: 25, name: "AddOffsetsToTxn", min: 0, max: 4, handle: blocking(b.addOffsetsToTxn), waits: true, needs: needs(need(acl.Write, acl.TransactionalID), need(acl.Read, acl.Group))},
		{key: 26, name: "EndTxn", min: 0, max: 5, handle: blocking(b.endTxn), waits: true, needs: needs(need(acl.Write, acl.TransactionalID)),
			notes: "All partitions and offsets at once, before the answer."},
		{key: 27, name: "WriteTxnMarkers", min: 1, max: 2, handle: blocking(b.writeTxnMarkers), waits: true, needs: needs(need(acl.Alter, acl.Cluster).or(acl.ClusterAction, acl.Cluster)),
			notes: "For administrators. Aborts the producer's whole transaction, if it is open in the partition, and fences the producer. Commits: INVALID_REQUEST."},
		{key: 28, name: "TxnOffsetCommit", min: 0, max: 5, handle: blocking(b.txnOffsetCommit), waits: true, needs: needs(need(acl.Write, acl.TransactionalID), need(acl.Read, acl.Group), need(acl.Read, acl.Topic))},
		{key: 29, name: "DescribeAcls", min: 1, max: 3, handle: blocking(b.describeACLs), needs: needs(need(acl.Describe, acl.Cluster)),
			notes: "Codes that are not known are INVALID_REQUEST, where Kafka closes the connection."},
		{key: 30, name: "CreateAcls", min: 1, max: 3, handle: blocking(b.createACLs), waits: true, needs: needs(need(acl.Alter, acl.Cluster)),
			notes: "At most 10,000 rules in a request. Codes that are not known are INVALID_REQUEST, where Kafka closes the connection, and so are hosts with blanks. The rules have a bound of 100,000 resource patterns and 32 MiB: POLICY_VIOLATION beyond. Addresses of IPv6 match however they are written."},
		{key: 31, name: "DeleteAcls", min: 1, max: 3, handle: blocking(b.deleteACLs), waits: true, needs: needs(need(acl.Alter, acl.Cluster)),
			notes: "At most 10,000 filters in a request, which pick 262,144 rules together. Codes that are not known are INVALID_REQUEST, where Kafka closes the connection. A broker cut off from the metastore answers REQUEST_TIMED_OUT."},
		{key: 32, name: "DescribeConfigs", min: 1, max: 4, handle: blocking(b.describeConfigs), needs: needs(
			need(acl.DescribeConfigs, acl.Topic).only("of topics"), need(acl.DescribeConfigs, acl.Group).only("of groups"),
			need(acl.DescribeConfigs, acl.Cluster).only("of brokers, loggers and subscriptions to metrics")),
			notes: "A request may name 10,000 groups and subscriptions to metrics. A broker has one name: 01 is not 1. Brokers have one logger, root. Topics have a setting that Kafka does not know, runnel.linger.max.ms. Brokers tell of their state to who asks by name: runnel.version, runnel.broker.epoch, runnel.lease.remaining.ms, runnel.roles."},
		{key: 33, name: "AlterConfigs", min: 0, max: 2, handle: blocking(b.alterConfigs), waits: true, needs: needs(
			need(acl.AlterConfigs, acl.Topic).only("of topics"), need(acl.AlterConfigs, acl.Group).only("of groups"),
			need(acl.AlterConfigs, acl.Cluster).only("of brokers and subscriptions to metrics")),
			notes: "As IncrementalAlterConfigs."},
		{key: 34, name: "AlterReplicaLogDirs", min: 1, max: 2, handle: blocking(b.alterReplicaLogDirs), needs: needs(need(acl.Alter, acl.Cluster)),
			notes: "There is one directory, and everything is there."},
		{key: 35, name: "DescribeLogDirs", min: 1, max: 5, handle: blocking(b.describeLogDirs), needs: needs(need(acl.Describe, acl.Cluster)),
			notes: "One directory, the object store. A partition is reported by the broker that is named its leader to the client, and by no other, so that sums over all brokers are right. The size of the volume is unknown."},
		{key: 36, name: "SaslAuthenticate", min: 0, max: 2, handle: b.saslAuthenticate, needs: needs(), open: true,
			notes: "PLAIN has no users of its own: the password is checked against the credentials of SCRAM. Delegation tokens are refused. What cannot be decided at present, such as while the keys of an identity provider cannot be had, closes the connection, so that clients try again."},
		{key: 37, name: "CreatePartitions", min: 0, max: 3, handle: blocking(b.createPartitions), waits: true, needs: needs(need(acl.Alter, acl.Topic)),
			notes: "Brokers that are assigned need not exist."},
		{key: 42, name: "DeleteGroups", min: 0, max: 3, handle: blocking(b.deleteGroups), waits: true, needs: needs(need(acl.Delete, acl.Group)),
			notes: "A group whose offsets an ongoing transaction holds is refused with NON_EMPTY_GROUP."},
		{key: 43, name: "ElectLeaders", min: 0, max: 2, handle: blocking(b.electLeaders), needs: needs(need(acl.Alter, acl.Cluster)),
			notes: "No election is ever needed."},
		{key: 44, name: "IncrementalAlterConfigs", min: 0, max: 1, handle: blocking(b.incrementalAlterConfigs), waits: true, needs: needs(
			need(acl.AlterConfigs, acl.Topic).only("of topics"), need(acl.AlterConfigs, acl.Group).only("of groups"),
			need(acl.AlterConfigs, acl.Cluster).only("of brokers, loggers and subscriptions to metrics")),
			notes: "Topics, brokers, broker loggers, groups, client metrics. Every name that docs/config.md does not list is refused; Kafka keeps unknown ones for brokers. Of groups, settings of the consumer protocol only. Regular expressions of client metrics are RE2. All that is set on brokers, groups and client metrics is bounded together: 10,000 resources, 1 MiB."},
		{key: 45, name: "AlterPartitionReassignments", min: 0, max: 1, handle: blocking(b.alterPartitionReassignments), waits: true, needs: needs(need(acl.Alter, acl.Cluster)),
			notes: "Done at once. Where replicas are to be is not kept; how many there are is, as one number for all partitions of a topic, the greatest that the request gives to one of them."},
		{key: 46, name: "ListPartitionReassignments", min: 0, max: 0, handle: blocking(b.listPartitionReassignments), needs: needs(need(acl.Describe, acl.Cluster)),
			notes: "None is ever in progress."},
		{key: 47, name: "OffsetDelete", min: 0, max: 0, handle: blocking(b.offsetDelete), waits: true, needs: needs(need(acl.Delete, acl.Group), need(acl.Read, acl.Topic)),
			notes: "What an ongoing transaction holds stays held, and counts when that is committed."},
		{key: 48, name: "DescribeClientQuotas", min: 0, max: 1, handle: blocking(b.describeClientQuotas), needs: needs(need(acl.DescribeConfigs, acl.Cluster))},
		{key: 49, name: "AlterClientQuotas", min: 0, max: 1, handle: blocking(b.alterClientQuotas), waits: true, needs: needs(need(acl.AlterConfigs, acl.Cluster)),
			notes: "100 of request_percentage are one processor: what counts is the time of handlers without waits, and 20 µs for each request. A throttle lasts for a window at most; what is owed beyond that throttles later requests, so that a client gets one request a window through, however large. Answers to Fetch that a quota has no room for are empty; a batch larger than a window allows is sent when nothing was for a window, and made up for. Entities of type ip are addresses, not names of hosts. An entity that is named twice is not altered at all. All quotas are bounded together: 100,000 entities, 16 MiB."},
		{key: 50, name: "DescribeUserScramCredentials", min: 0, max: 0, handle: blocking(b.describeUserScramCredentials), needs: needs(need(acl.Describe, acl.Cluster))},
		{key: 51, name: "AlterUserScramCredentials", min: 0, max: 0, handle: blocking(b.alterUserScramCredentials), waits: true, needs: needs(need(acl.Alter, acl.Cluster)),
			notes: "Any broker takes it. Names that nobody could log in with, and salts and keys of wrong lengths, are UNACCEPTABLE_CREDENTIAL."},
		{key: 55, name: "DescribeQuorum", min: 0, max: 2, handle: blocking(b.describeQuorum), needs: needs(need(acl.Describe, acl.Cluster)),
			notes: "There is no quorum: the commit log is the metastore's. Every live broker is shown as a voter at the end of the log, the one with the lowest id as the leader, the epoch of its registration as the leader epoch."},
		{key: 57, name: "UpdateFeatures", min: 0, max: 2, handle: blocking(b.updateFeatures), needs: needs(need(acl.Alter, acl.Cluster)),
			notes: "The levels of features are those of the software: what differs from them is refused."},
		{key: 60, name: "DescribeCluster", min: 0, max: 2, handle: blocking(b.describeCluster), needs: needs(need(acl.Describe, acl.Cluster).only("for its authorized operations").leavesOut())},
		{key: 61, name: "DescribeProducers", min: 0, max: 0, handle: blocking(b.describeProducers), needs: needs(need(acl.Read, acl.Topic)),
			notes: "The last timestamp is the time of the commit. Coordinators have no epochs: -1. A partition that is named twice is answered once."},
		{key: 64, name: "UnregisterBroker", min: 0, max: 0, handle: blocking(b.unregisterBroker), needs: needs(need(acl.Alter, acl.Cluster)),
			notes: "Brokers come and go by themselves: those that live are refused with INVALID_REQUEST."},
		{key: 65, name: "DescribeTransactions", min: 0, max: 0, handle: blocking(b.describeTransactions), needs: needs(need(acl.Describe, acl.TransactionalID), need(acl.Describe, acl.Topic).leavesOut()),
			notes: "Any broker knows. A transaction that has ended has no start. There are no partitions of offsets."},
		{key: 66, name: "ListTransactions", min: 0, max: 2, handle: blocking(b.listTransactions), needs: needs(need(acl.Describe, acl.TransactionalID).leavesOut()),
			notes: "Nothing is ever in the states Prepare*."},
		{key: 68, name: "ConsumerGroupHeartbeat", min: 0, max: 1, handle: blocking(b.consumerGroupHeartbeat), waits: true, prompt: true, needs: needs(
			need(acl.Read, acl.Group), need(acl.Describe, acl.Topic).only("of topics that are named"),
			need(acl.Describe, acl.Topic).only("of those that an expression matches").leavesOut()),
			notes: "Regular expressions are RE2 as Go has it, up to 8 KiB; they are resolved in the join, and again by the first heartbeat a second or more after topics changed. A static member whose answer to its join was lost may repeat it. Who missed answers is told its assignment again. A group that changes its type goes on counting epochs. Racks are kept and shown, and not looked at by assignors."},
		{key: 69, name: "ConsumerGroupDescribe", min: 0, max: 1, handle: blocking(b.consumerGroupDescribe), needs: needs(need(acl.Describe, acl.Group), need(acl.Describe, acl.Topic).only("of all that members have")),
			notes: "Topics that are gone are left out."},
		{key: 71, name: "GetTelemetrySubscriptions", min: 0, max: 0, handle: b.telemetrySubscriptions, needs: needs(),
			notes: "Always served; Kafka has it only with a plugin that takes the metrics."},
		{key: 72, name: "PushTelemetry", min: 0, max: 0, handle: b.pushTelemetry, needs: needs(),
			notes: "Gauges and sums are shown among the broker's metrics, see below. Other kinds are dropped, and counted."},
		{key: 74, name: "ListConfigResources", min: 0, max: 1, handle: blocking(b.listConfigResources), needs: needs(need(acl.DescribeConfigs, acl.Cluster))},
		{key: 75, name: "DescribeTopicPartitions", min: 0, max: 0, handle: blocking(b.describeTopicPartitions), needs: needs(need(acl.Describe, acl.Topic).only("of topics that are named"), need(acl.Describe, acl.Topic).only("of all topics").leavesOut()),
			notes: "Leaders and replicas are those of Metadata."},
	}
}

// blocking makes a wire.Handler of a function that does everything while its answer is waited for.
func blocking[Req kmsg.Request, Resp kmsg.Response](answer func(context.Context, *wire.Conn, Req) Resp) wire.Handler {
	return wire.Blocking(func(ctx context.Context, c *wire.Conn, req kmsg.Request) kmsg.Response {
		return answer(ctx, c, req.(Req))
	})
}

// respond makes the answer that belongs to a request, with its version and its defaults.
func respond[Resp kmsg.Response](req kmsg.Request) Resp {
	return req.ResponseKind().(Resp)
}
