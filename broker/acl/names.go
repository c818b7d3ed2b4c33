package acl

import (
	"fmt"
	"strconv"
	"strings"
)

// Names are as Kafka's tools print them, by code.
var (
	operationNames = []string{
		AnyOperation: "Any", All: "All", Read: "Read", Write: "Write", Create: "Create", Delete: "Delete", Alter: "Alter",
		Describe: "Describe", ClusterAction: "ClusterAction", DescribeConfigs: "DescribeConfigs", AlterConfigs: "AlterConfigs",
		IdempotentWrite: "IdempotentWrite", CreateTokens: "CreateTokens", DescribeTokens: "DescribeTokens", TwoPhaseCommit: "TwoPhaseCommit",
	}
	typeNames = []string{
		AnyType: "Any", Topic: "Topic", Group: "Group", Cluster: "Cluster", TransactionalID: "TransactionalId",
		DelegationToken: "DelegationToken", User: "User",
	}
	patternNames    = []string{AnyPattern: "ANY", Match: "MATCH", Literal: "LITERAL", Prefixed: "PREFIXED"}
	permissionNames = []string{AnyPermission: "ANY", Deny: "DENY", Allow: "ALLOW"}
)

func (o Operation) String() string    { return nameOf(operationNames, o, "Operation") }
func (t ResourceType) String() string { return nameOf(typeNames, t, "ResourceType") }
func (p Pattern) String() string      { return nameOf(patternNames, p, "Pattern") }
func (p Permission) String() string   { return nameOf(permissionNames, p, "Permission") }

func nameOf[T ~int8](names []string, code T, what string) string {
	if known(names, code) {
		return names[code]
	}
	return what + "(" + strconv.Itoa(int(code)) + ")"
}

func known[T ~int8](names []string, code T) bool {
	return code > 0 && int(code) < len(names)
}

var plainWords = strings.NewReplacer("-", "", "_", "")

// ParseOperation reads an operation as tools write it: DescribeConfigs, describe-configs, DESCRIBE_CONFIGS.
func ParseOperation(s string) (Operation, error) {
	return parse[Operation](operationNames, s, "operation")
}

// ParseResourceType is ParseOperation for types: TransactionalId, transactional-id.
func ParseResourceType(s string) (ResourceType, error) {
	return parse[ResourceType](typeNames, s, "resource type")
}

// ParsePattern is ParseOperation for patterns.
func ParsePattern(s string) (Pattern, error) { return parse[Pattern](patternNames, s, "pattern type") }

// ParsePermission is ParseOperation for permissions.
func ParsePermission(s string) (Permission, error) {
	return parse[Permission](permissionNames, s, "permission")
}

func parse[T ~int8](names []string, s, what string) (T, error) {
	plain := s
	if strings.ContainsAny(s, "-_") {
		plain = plainWords.Replace(s)
	}
	for code, name := range names {
		if name != "" && strings.EqualFold(name, plain) {
			return T(code), nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q: it is one of %s", what, s, strings.Join(names[1:], ", "))
}

// Operations are those that exist on resources of the type (org.apache.kafka.security.authorizer.AclEntry).
func (t ResourceType) Operations() []Operation { return operationsOn[t] }

var operationsOn = map[ResourceType][]Operation{
	Topic:           {Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs},
	Group:           {Read, Delete, Describe, DescribeConfigs, AlterConfigs},
	Cluster:         {Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite},
	TransactionalID: {Write, Describe, TwoPhaseCommit},
	DelegationToken: {Describe},
	User:            {CreateTokens, DescribeTokens},
}
