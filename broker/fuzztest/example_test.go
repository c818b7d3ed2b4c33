package fuzztest

import (
	"fmt"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// empty are the lists in which a right request has nothing; those of null it leaves out.
var (
	empty = map[string]bool{"Fetch.ForgottenTopics": true, "CreateTopics.ReplicaAssignment": true, "ConsumerGroupHeartbeat.Topics": true}
	null  = map[string]bool{"CreatePartitions.Assignment": true}
)

// example is a right request, with every field that has no default of its own filled in.
func (w *world) example(key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	e := example{api: kmsg.NameForKey(key), values: w.values(key, version)}
	e.structure(reflect.ValueOf(req).Elem())
	req.SetVersion(version)
	return req
}

type example struct {
	api    string
	values map[string]any // by name of a field, which that of the API and a dot may precede
}

func (e *example) structure(v reflect.Value) {
	if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
		d.Default()
	}
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Name, v.Field(i)
		full := e.api + "." + name
		list := field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct
		switch {
		case name == "Version", name == "UnknownTags", null[full]:
		case empty[full]:
			field.Set(reflect.MakeSlice(field.Type(), 0, 0))
		case list:
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
			e.structure(field.Index(0))
		case field.Kind() == reflect.Struct:
			e.structure(field)
		default:
			if value, ok := e.value(name); ok {
				assign(field, value)
			}
		}
	}
}

func (e *example) value(name string) (any, bool) {
	if v, ok := e.values[e.api+"."+name]; ok {
		return v, true
	}
	v, ok := e.values[name]
	return v, ok
}

// assign sets a field, or what it points to, or its only element. Fields of the same name have several types.
func assign(field reflect.Value, value any) {
	v := reflect.ValueOf(value)
	switch {
	case value == nil:
		field.SetZero()
	case v.Type().ConvertibleTo(field.Type()) && (field.Kind() != reflect.String || v.Kind() == reflect.String):
		field.Set(v.Convert(field.Type()))
	case field.Kind() == reflect.Pointer:
		field.Set(reflect.New(field.Type().Elem()))
		assign(field.Elem(), value)
	case field.Kind() == reflect.Slice:
		field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		assign(field.Index(0), value)
	default:
		panic(fmt.Sprintf("%s cannot be %v", field.Type(), value))
	}
}

// values are those of right requests.
func (w *world) values(key, version int16) map[string]any {
	fresh := fmt.Sprintf("%s-%d", freshTopic, version)
	v := map[string]any{
		"Topic": w.topics[0].name, "TopicID": w.topics[0].id, "Metadata.TopicID": [16]byte{}, "Partition": 0, "Records": w.batch(new(script)),
		"Partitions": []int32{0, 1}, "Produce.Acks": -1, "Produce.TimeoutMillis": 1000, "TimeoutMillis": 1000,
		"MaxBytes": 1 << 20, "PartitionMaxBytes": 1 << 16, "FetchOffset": 0, "SessionEpoch": -1, "ReplicaID": -1, "ListOffsets.Timestamp": -1,

		"Group": w.group, "Groups": w.group, "CoordinatorKey": w.group, "CoordinatorKeys": w.group,
		"MemberID": w.member, "Generation": w.generation, "OffsetFetch.MemberID": nil, "OffsetDelete.Group": idleGroup, "DeleteGroups.Groups": "absent",
		"JoinGroup.Group": fmt.Sprintf("joined-%d", version), "JoinGroup.MemberID": "", "SessionTimeoutMillis": 20, "RebalanceTimeoutMillis": 20, "ProtocolType": "consumer",
		"JoinGroup.Name": "range", "JoinGroup.Metadata": subscription(w.topics[0].name), "SyncGroup.Protocol": "range", "MemberAssignment": assignment(w.topics[0].name),
		"JoinGroup.Reason": "why not", "LeaveGroup.MemberID": "absent", "Metadata": "of an offset", "Offset": 0, "DeleteRecords.Partition": 2,
		"ConsumerGroupHeartbeat.Group": consumerGroupName, "ConsumerGroupHeartbeat.MemberID": consumerMember, "MemberEpoch": 0, "SubscribedTopicNames": w.topics[0].name,
		"ConsumerGroupHeartbeat.RebalanceTimeoutMillis": 60_000, "RackID": "a", "ConsumerGroupDescribe.Groups": consumerGroupName,

		"CreateTopics.Topic": fresh, "NumPartitions": 2, "ReplicationFactor": 1, "CreatePartitions.Topic": w.topics[4].name, "Count": 5 + version,
		"TopicNames": fresh, "DeleteTopics.Topic": fresh, "DeleteTopics.TopicID": [16]byte{},
		"CreateTopics.Name": "retention.ms", "Value": "86400000", "AlterConfigs.Name": "retention.ms", "IncrementalAlterConfigs.Name": "retention.ms",
		"ResourceType": 2, "ResourceName": w.topics[0].name, "ResourceTypes": []int8{}, "Dir": "memory://", "Replicas": w.node,
		"Feature": "transaction.version", "MaxVersionLevel": 2, "UpgradeType": 1, "BrokerID": 77, "ElectionType": 0,
		"DescribeQuorum.Topic": "__cluster_metadata", "ResponsePartitionLimit": 2000, "StatesFilter": []string{}, "EndpointType": 1,

		"TransactionalID": transactionalID, "TransactionalIDs": transactionalID, "ProducerID": w.producer, "ProducerEpoch": w.epoch, "Commit": true,
		"InitProducerID.ProducerID": -1, "InitProducerID.ProducerEpoch": -1, "TransactionTimeoutMillis": 60_000, "WriteTxnMarkers.ProducerID": 987654,
		"AddOffsetsToTxn.Group": idleGroup, "TxnOffsetCommit.Group": idleGroup, "TxnOffsetCommit.MemberID": "", "TxnOffsetCommit.Generation": -1,

		"DescribeClientQuotas.EntityType": "client-id", "MatchType": 2, "Match": nil,
		"AlterClientQuotas.Type": "client-id", "AlterClientQuotas.Name": nil, "AlterClientQuotas.Key": "producer_byte_rate", "AlterClientQuotas.Value": 1e15,
		"ResourcePatternType": 3, "Principal": "User:fuzz", "Host": "*", "Operation": 3, "PermissionType": 3,

		"ClientSoftwareName": "fuzz", "ClientSoftwareVersion": "1.0", "ClientInstanceID": w.instance, "SubscriptionID": w.subscription, "Metrics": w.metrics,
	}
	switch {
	case key == 68 && version == 0:
		v["ConsumerGroupHeartbeat.MemberID"] = ""
	case key == 11 && version >= 5:
		v["InstanceID"] = "static"
	}
	return v
}

func subscription(topic string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics = 3, []string{topic}
	m.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: topic, Partitions: []int32{0}}}
	return m.AppendTo(nil)
}

func assignment(topic string) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	a.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: topic, Partitions: []int32{0, 1}}}
	return a.AppendTo(nil)
}
