package broker

import "github.com/runnel-io/runnel/broker/acl"

// anyTopic is for requests that are not those of a client.
var anyTopic = &readable{permits: &permits{open: true}}

// everything is all operations on resources of a type, as bits.
func everything(on acl.ResourceType) (bits int32) {
	for _, op := range on.Operations() {
		bits |= 1 << op
	}
	return bits
}

// What everybody may do while there are no rules.
var (
	topicOperations   = everything(acl.Topic)
	groupOperations   = everything(acl.Group)
	clusterOperations = everything(acl.Cluster)
)
