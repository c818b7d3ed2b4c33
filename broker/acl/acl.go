// Package acl decides who may do what, as Kafka's authorizer does: rules that allow or deny operations on resources to
// principals from hosts. Nothing here does I/O. All but Live is pure.
package acl

// ResourceType is what an operation is on, by Kafka's codes (org.apache.kafka.common.resource.ResourceType).
type ResourceType int8

// The resource types that requests name.
const (
	AnyType         ResourceType = 1 // in filters
	Topic           ResourceType = 2
	Group           ResourceType = 3
	Cluster         ResourceType = 4
	TransactionalID ResourceType = 5
	DelegationToken ResourceType = 6
	User            ResourceType = 7
)

// ClusterName is the name of the one resource of type Cluster.
const ClusterName = "kafka-cluster"

// Operation is by Kafka's codes (org.apache.kafka.common.acl.AclOperation).
type Operation int8

// The operations.
const (
	AnyOperation    Operation = 1 // in filters
	All             Operation = 2 // in rules: every one
	Read            Operation = 3
	Write           Operation = 4
	Create          Operation = 5
	Delete          Operation = 6
	Alter           Operation = 7
	Describe        Operation = 8
	ClusterAction   Operation = 9
	DescribeConfigs Operation = 10
	AlterConfigs    Operation = 11
	IdempotentWrite Operation = 12
	CreateTokens    Operation = 13
	DescribeTokens  Operation = 14
	TwoPhaseCommit  Operation = 15 // KIP-939
)

// Pattern is how the name of a rule is meant, by Kafka's codes (org.apache.kafka.common.resource.PatternType).
type Pattern int8

// The patterns. Rules have the last two.
const (
	AnyPattern Pattern = 1 // in filters: every pattern
	Match      Pattern = 2 // in filters: whatever applies to the name
	Literal    Pattern = 3
	Prefixed   Pattern = 4
)

// Permission is what a rule does, by Kafka's codes (org.apache.kafka.common.acl.AclPermissionType).
type Permission int8

// The permissions.
const (
	AnyPermission Permission = 1 // in filters
	Deny          Permission = 2
	Allow         Permission = 3
)

// Wildcard is every host, or as a literal name every resource of a type.
const Wildcard = "*"

// Everybody is the principal of rules that are about all.
const Everybody = "User:*"

// Client is who asks.
type Client struct {
	Principal string // type and name: "User:alice"
	Host      string // address, without port
}

// Resource is what a client asks for.
type Resource struct {
	Type ResourceType
	Name string
}
