package differential

import "strings"

// difference is where the broker may answer other than Kafka. * in a pattern is any text.
type difference struct {
	answer, path  string // which answers (script/version/label) and which of their fields
	kafka, runnel string // the values; empty is any
	reason        string
}

// known is every difference that stays. What users can notice also stands in docs/protocol.md.
var known = []difference{
	{"*", "*ErrorMessage", "", "a text", "a text says what is wrong where Kafka has none"},

	// ApiVersions and frames.
	{"protocol/*", "ApiKeys", "77", "", notServed},
	{"protocol/*", "ApiKeys[*]", "there", "absent", notServed},
	{"protocol/*", "ApiKeys[42].MaxVersion", "2", "3", "DeleteGroups v3 is that of Kafka 4.4; the reference is 4.3"},
	{"protocol/v4/*", "FinalizedFeatures*", "", "", otherFeatures},
	{"protocol/v4/*", "SupportedFeatures*", "", "", otherFeatures},
	{"protocol/*garbage after the body", "body", "", "absent", "bytes after a request close the connection, Kafka ignores them"},
	{"protocol/*garbage after the body", "connection", "absent", "closed", "bytes after a request close the connection, Kafka ignores them"},

	// Metadata, topics, partitions.
	{"metadata/v0/*", "Topics[*unknown*].ErrorCode", "UNKNOWN_TOPIC_OR_PARTITION", "NONE", "an auto-created topic is in the first answer already"},
	{"metadata/v0/*", "Topics[*unknown*].Partitions", "null", "3", "an auto-created topic is in the first answer already"},
	{"metadata/*/by id and name", "*", "", "", badAsAWhole},
	{"metadata/*/neither id nor name", "*", "", "", badAsAWhole},
	{"cluster/v0/bad names", "Topics[*].ErrorCode", "UNKNOWN_SERVER_ERROR", "INVALID_TOPIC_EXCEPTION", badAsAWhole},
	{"cluster/v0/bad names", "Topics[*].AuthorizedOperations", "", "", badAsAWhole},
	{"log-dirs/*", "Dirs[*].Dir", "", "", "the log directory is the object store"},
	{"log-dirs/v*/*", "Dirs[*].TotalBytes", "", "-1", "the size of an object store is unknown"},
	{"log-dirs/v*/*", "Dirs[*].UsableBytes", "", "-1", "the size of an object store is unknown"},
	{"create-topics/v7/*", "Topics[*].TopicID", "id of *", "no id", "a topic that was only validated has no id; Kafka makes one up"},
	{"create-topics/*/three replicas", "Topics*", "", "", anyReplicas},
	{"create-topics/*/assignment of one twice", "Topics*", "", "", anyReplicas},
	{"create-topics/*/assignment of a stranger", "Topics*", "", "", anyReplicas},
	{"create-partitions/*/a stranger assigned", "Topics*", "INVALID_REPLICA_ASSIGNMENT", "NONE", anyReplicas},
	{"create-partitions/*/a stranger assigned", "Topics*", "a text", "null", anyReplicas},
	{"delete-topics/v6/name and id apart", "Topics[*]", "", "", "what is named twice is answered as it was named first; Kafka answers by name"},

	{"quorum/*", "*LeaderID", "0", "itself", "where there is no leader, both say 0, which is the id of the broker here"},
	{"quorum/*", "*.HighWatermark", "", "", otherLog},
	{"quorum/*", "*.LogEndOffset", "", "", otherLog},
	{"quorum/*", "*.Last*Timestamp", "", "", "the time of day"},
	{"quorum/v2/*", "Nodes[*].Listeners[*]", "", "", "there are no controllers: brokers are listed, with the listener that clients use"},

	{"telemetry/*/not OTLP", "ErrorCode", "NONE", "INVALID_RECORD", "what cannot be decoded is refused; Kafka leaves it to its plugin"},

	// Settings.
	{"create-topics/v7/*", "Topics[*].Configs", "33", "36", newSettings},
	{"describe-configs/*", "Resources[*].Configs", "33", "36", newSettings},
	{"*", "*.Configs[\"remote.copy.lag.*\"]", "absent", "there", newSettings},
	{"*", "*.Configs[\"runnel.linger.max.ms\"]", "absent", "there", "a setting of Runnel's own"},
	{"create-topics/v7/*", "*Configs[\"min.insync.replicas\"].Source", "3", "5", dynamicISR},
	{"describe-configs/*", "*Configs[\"min.insync.replicas\"]*", "", "", dynamicISR},
	{"broker-configs/all brokers at first", "Resources[\"\"].Configs", "1", "null", dynamicISR},
	{"broker-configs/*/unknown", "Resources[itself].ErrorCode", "NONE", "INVALID_CONFIG", "settings of brokers that are not known are refused; Kafka keeps them for its plug-ins"},
	{"group-configs/*/all of it", "Resources[*].Configs", "17", "3", fewerGroups},
	{"group-configs/*/all of it", "Resources[*].Configs[\"share.*\"]", "there", "absent", fewerGroups},
	{"group-configs/*/all of it", "Resources[*].Configs[\"streams.*\"]", "there", "absent", fewerGroups},
	{"alter-configs/*/unknown op", "Resources[*].ErrorCode", "UNKNOWN_SERVER_ERROR", "INVALID_REQUEST", badAsAWhole},

	// Named twice in one request.
	{"group-admin/*/twice", "Groups*", "", "", answeredOnce},
	{"offsets/*/same group twice", "Groups*", "", "", answeredOnce},
	{"offsets/*/same partition twice", "Topics[*].Partitions*", "", "", answeredOnce},
	{"offsets/*/same partition twice", "Groups[*].Topics[*].Partitions*", "", "", answeredOnce},
	{"describe-configs/*/twice", "Resources*", "", "", answeredOnce},

	// Produce.
	{"*", "Topics[*].Partitions[*].LogStartOffset", "0", "-1", "an error of Produce tells no log start"},
	{"produce/*/odd: same partition twice", "Topics[*].Partitions*", "", "", "both batches are appended and answered; Kafka drops the first unsaid"},
	{"produce/*/odd: trailing zeros", "Topics[*].Partitions[2].*", "", "", "bytes after the batch are refused; Kafka drops them"},
	{"produce/*/odd: log append time claimed", "Topics[*].Partitions[2].*", "", "", claimedTime},
	{"timestamps/*/CreateTime log append time claimed", "Topics[*].Partitions[0].*", "", "", claimedTime},
	{"timestamps/*/LogAppendTime log append time claimed", "Topics[*].Partitions[0].ErrorRecords", "3", "null", claimedTime},
	{"timestamps/*/CreateTime compressed, too *", "Topics[*].Partitions[0].ErrorRecords", "3", "null", notInflated},
	{"compression-type/*too old", "Topics[*].Partitions[0].ErrorRecords", "3", "null", headerFirst},
	{"compression-type/*one record too new", "Topics[*].Partitions[0].ErrorRecords", "1", "null", headerFirst},
	{"compression-type/*broken", "Topics[*].Partitions[0].ErrorCode", "UNKNOWN_SERVER_ERROR", "INVALID_RECORD", "records that cannot be decompressed are the client's mistake, which a retry does not mend"},
	{"produce/*/odd: codec claimed *", "Topics[*].Partitions[2].*", "", "", notInflated},
	{"produce/*/odd: offset deltas *", "Topics[*].Partitions[2].*", "", "", "records of a batch are numbered 0, 1, 2, ... whether compressed or not; Kafka checks compressed ones only"},
	{"idempotence/*/duplicate*", "Topics[*].Partitions[0].LogAppendTime", "", "-1", "a duplicate is answered like the batch was; Kafka puts its largest timestamp there"},
	{"idempotence/*/no epoch", "Topics[*].Partitions[0].ErrorCode", "INVALID_PRODUCER_EPOCH", "INVALID_RECORD", "no producer has a negative epoch"},
	{"idempotence/*/negative epoch", "Topics[*].Partitions[0].ErrorCode", "INVALID_PRODUCER_EPOCH", "INVALID_RECORD", "no producer has a negative epoch"},
	{"idempotence/*/producer -2", "Topics[*].Partitions[0].*", "", "", "no producer has a negative id; Kafka takes it for none"},
	{"*/no partitions*", "Topics", "null", "1", "a topic asked for without partitions is answered without any"},

	// Fetch.
	{"fetch/*/same partition twice", "Topics[*].Partitions*", "", "", "both are answered; Kafka answers the last"},
	{"fetch/*/unknown isolation level", "*", "", "", "an unknown isolation level is read_uncommitted"},
	{"fetch/*max bytes -1", "Topics*", "", "", "negative sizes count as 0; Kafka fails with UNKNOWN_SERVER_ERROR"},
	{"fetch/*", "Topics[*].Partitions[0].RecordBatches", "*0 bytes", "*5 bytes", wholeBatches},
	{"fetch/*", "Topics[*].Partitions[0].RecordBatches", "250 bytes", "210 bytes", wholeBatches},
	{"fetch/*", "Topics[*].Partitions[0].RecordBatches[*]", "cut off", "absent", wholeBatches},

	// Groups.
	{"join-group/*/leader joined again", "Groups[*].Members[*].MemberAssignment", "\"assignment\"", "\"\"", oldAssignment},
	{"static-members/*/came back with other protocols", "Groups[*].Members[*].MemberAssignment", "\"assignment\"", "\"\"", oldAssignment},
	{"group/*/completing", "Groups[*].Members[*].MemberAssignment", "\"assignment\"", "\"\"", oldAssignment},
	{"offset-metadata/10 MiB", "*", "", "", longText},
	{"consumer-migration/upgrades", "Assignment.Topics[*].Partitions", "", "", whichPartitions},
	{"consumer-migration/classic syncs", "MemberAssignment", "", "", whichPartitions},
	{"consumer-migration/another assignor", "MemberID", "\"\"", "", "a member that is refused is told its id"},
	{"wrong-consumer-groups/a classic member says *", "MemberID", "\"\"", "\"x\"", "a member that is refused is told its id"},
	{"wrong-consumer-groups/a group that cannot be read is not upgraded", "ErrorCode", "UNKNOWN_SERVER_ERROR", "GROUP_ID_NOT_FOUND", "as Kafka answers if the first two bytes are missing; if others are it fails"},
	{"consumer-migration/an empty group", "MemberEpoch", "2", "5", epochsGrow},
	{"consumer-migration/an empty group, of another type", "Generation", "1", "7", epochsGrow},
	{"consumer-reconcile/the answer was lost", "Assignment*", "", "", "who missed an answer is told its assignment again"},
	{"consumer-static-hostile/the answer was lost", "*", "", "", "a static member whose answer to its join was lost may repeat it; Kafka tells it that its instance is in use"},
	{"group-types/classic joins what was one", "Generation", "1", "4", epochsGrow},
	{"consumer-regex/nobody, as a classic group", "Groups[*].State", "\"Dead\"", "\"Empty\"", "a group that somebody tried to join is there, and empty"},
	{"consumer-regex/join", "Assignment.Topics*", "", "", "expressions are resolved at once; Kafka does it beside the heartbeats"},
	{"consumer-regex/join", "MemberEpoch", "1", "2", "expressions are resolved at once; Kafka does it beside the heartbeats"},
	{"join-group/v9/*instance*", "Generation", "", "", emptyInstance},
	{"join-group/v9/empty instance", "*", "", "", emptyInstance},

	// Transactions.
	{"transactions-list/twice", "TransactionStates*", "", "", answeredOnce},
	{"transactions-2/begun", "TransactionStates[*].Topics", "1", "null", "offsets are not in partitions, so a transaction with offsets alone has none"},
	{"transactions*/*", "TransactionStates[*].StartTimestamp", "now", "-1", "a transaction that has ended has no start"},
	{"transactions-timed-out/version 2, aborts/in the end", "TransactionStates[*].Topics", "1", "null", "offsets are not in partitions, so a transaction with offsets alone has none"},
	{"transactions-produce/*, no id", "Topics[*].Partitions[3].*", "", "", unverified},
	{"transactions-produce/*, producer -1", "Topics[*].Partitions[3].*", "", "", unverified},
	{"transactions-produce/*, an old epoch", "Topics[*].Partitions[3].ErrorCode", "INVALID_PRODUCER_EPOCH", "INVALID_RECORD", "no producer has a negative epoch"},
	{"transactions-produce/*, epoch -1", "Topics[*].Partitions[3].ErrorCode", "INVALID_PRODUCER_EPOCH", "INVALID_RECORD", "no producer has a negative epoch"},
	{"transactions-produce/*", "Topics[*].Partitions[0].LogAppendTime", "", "-1", "a duplicate is answered like the batch was; Kafka puts its largest timestamp there"},
	{"transactions-and-plain-commits/position of what was forgotten beside it", "Topics[*].Partitions[0].*", "", "", heldOffsets},
	{"transactions-and-plain-commits/delete the group", "Groups[*].ErrorCode", "NONE", "NON_EMPTY_GROUP", heldOffsets},
	{"transactions-and-plain-commits/position of the deleted group", "Topics[*].Partitions*", "", "", heldOffsets},
	{"transactions/*/init with a transaction open", "ProducerEpoch", "2", "1", "the transaction is aborted and the epoch raised at once; Kafka raises it once for each"},
}

const (
	notServed       = "APIs that are not served are not advertised"
	badAsAWhole     = "the answer to what is bad in parts is good in the others; Kafka fails as a whole"
	otherLog        = "another log has another length"
	answeredOnce    = "what a request names twice is answered once, so that small requests have no huge answers"
	otherFeatures   = "the features are those that mean something here"
	anyReplicas     = "any replication factor is accepted, and where replicas are to be is not kept"
	newSettings     = "the settings remote.copy.lag.* are newer than the reference, and one is Runnel's own"
	dynamicISR      = "Kafka 4 sets min.insync.replicas dynamically for its eligible leader replicas"
	fewerGroups     = "groups have the settings of what is served: no share groups, no streams groups"
	claimedTime     = "the timestamp type is the broker's to set; Kafka corrects it in some batches and refuses it in others"
	headerFirst     = "a compressed batch whose header tells a timestamp out of bounds is refused before it is decompressed"
	notInflated     = "compressed batches are not decompressed: their codec is checked by its first bytes, their timestamps by the header"
	wholeBatches    = "batches are never cut"
	oldAssignment   = "what an earlier generation was assigned is not shown in a rebalance"
	longText        = "a text of more than 32767 bytes is refused for what it says; Kafka closes the connection"
	emptyInstance   = "an empty instance id is none; Kafka takes it for a name"
	whichPartitions = "assignors are our own: who gets which partition is not the same, how many is"
	heldOffsets     = "what an ongoing transaction holds is not forgotten with what is committed, and keeps its group"
	unverified      = "the transactional id of a request must have its producer; Kafka asks only where the transaction is not known to be open"
	epochsGrow      = "a group that changes its type goes on counting; Kafka makes another group"
)

func (d difference) covers(answer, path, kafka, runnel string) bool {
	return glob(d.answer, answer) && glob(d.path, path) &&
		(d.kafka == "" || glob(d.kafka, kafka)) && (d.runnel == "" || glob(d.runnel, runnel))
}

func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, ok := strings.Cut(s, part)
		if !ok {
			return false
		}
		s = after
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}
