package acl

import "strconv"

var operationNames = map[Operation]string{
	AnyOperation: "Any", All: "All", Read: "Read", Write: "Write", Create: "Create", Delete: "Delete", Alter: "Alter",
	Describe: "Describe", ClusterAction: "ClusterAction", DescribeConfigs: "DescribeConfigs", AlterConfigs: "AlterConfigs",
	IdempotentWrite: "IdempotentWrite", CreateTokens: "CreateTokens", DescribeTokens: "DescribeTokens",
}

// String is the operation as Kafka's tools print it.
func (o Operation) String() string {
	if name, ok := operationNames[o]; ok {
		return name
	}
	return "Operation(" + strconv.Itoa(int(o)) + ")"
}

var typeNames = map[ResourceType]string{
	AnyType: "Any", Topic: "Topic", Group: "Group", Cluster: "Cluster", TransactionalID: "TransactionalId",
	DelegationToken: "DelegationToken", User: "User",
}

// String is the type as Kafka's tools print it.
func (t ResourceType) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return "ResourceType(" + strconv.Itoa(int(t)) + ")"
}

// Operations are those that exist on resources of the type (org.apache.kafka.security.authorizer.AclEntry).
func (t ResourceType) Operations() []Operation { return operationsOn[t] }

var operationsOn = map[ResourceType][]Operation{
	Topic:           {Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs},
	Group:           {Read, Delete, Describe, DescribeConfigs, AlterConfigs},
	Cluster:         {Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite},
	TransactionalID: {Write, Describe},
	DelegationToken: {Describe},
	User:            {CreateTokens, DescribeTokens},
}
