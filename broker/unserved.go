package broker

// unserved is a key of the protocol that the table does not have.
type unserved struct {
	key  int16
	name string
	why  string
}

// Why keys are not served. Clients may come to count on what is advertised, so that nothing is that does not work.
const (
	gone          = "Removed in Kafka 4.0, with ZooKeeper."
	internal      = "Between Kafka's brokers and controllers; there are none here."
	shareLater    = "Share groups: later."
	shareInternal = "Between Kafka's brokers, for share groups."
	streamsLater  = "Streams groups: later. Kafka Streams uses classic groups."
	tokensNever   = "Delegation tokens: not intended."
)

// unservedKeys are all other keys up to the newest that Kafka 4.4 has.
var unservedKeys = []unserved{
	{4, "LeaderAndIsr", gone},
	{5, "StopReplica", gone},
	{6, "UpdateMetadata", gone},
	{7, "ControlledShutdown", gone},
	{38, "CreateDelegationToken", tokensNever},
	{39, "RenewDelegationToken", tokensNever},
	{40, "ExpireDelegationToken", tokensNever},
	{41, "DescribeDelegationToken", tokensNever},
	{52, "Vote", internal},
	{53, "BeginQuorumEpoch", internal},
	{54, "EndQuorumEpoch", internal},
	{56, "AlterPartition", internal},
	{58, "Envelope", internal},
	{59, "FetchSnapshot", internal},
	{62, "BrokerRegistration", internal},
	{63, "BrokerHeartbeat", internal},
	{67, "AllocateProducerIds", internal},
	{70, "ControllerRegistration", internal},
	{73, "AssignReplicasToDirs", internal},
	{76, "ShareGroupHeartbeat", shareLater},
	{77, "ShareGroupDescribe", shareLater},
	{78, "ShareFetch", shareLater},
	{79, "ShareAcknowledge", shareLater},
	{80, "AddRaftVoter", internal},
	{81, "RemoveRaftVoter", internal},
	{82, "UpdateRaftVoter", internal},
	{83, "InitializeShareGroupState", shareInternal},
	{84, "ReadShareGroupState", shareInternal},
	{85, "WriteShareGroupState", shareInternal},
	{86, "DeleteShareGroupState", shareInternal},
	{87, "ReadShareGroupStateSummary", shareInternal},
	{88, "StreamsGroupHeartbeat", streamsLater},
	{89, "StreamsGroupDescribe", streamsLater},
	{90, "DescribeShareGroupOffsets", shareLater},
	{91, "AlterShareGroupOffsets", shareLater},
	{92, "DeleteShareGroupOffsets", shareLater},
	{93, "StreamsGroupTopologyDescriptionUpdate", streamsLater},
	{94, "UnregisterController", internal},
}
