package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// FindCoordinator (10), versions 0 to 6: which broker coordinates a group or (v1) a transactional id: the first of the live
// ones by rendezvous hashing of the id. Any broker would do for a transactional id; the one that is named knows first what
// the producer did last. v4 (KIP-699) asks for several. Share groups (v6, KIP-932) are answered with UNSUPPORTED_VERSION and
// a text. A broker is named by its address on the listener
// by which the client came; if the group's has none of that name, it is COORDINATOR_NOT_AVAILABLE, as in Kafka.

const (
	groupCoordinator       = 0
	transactionCoordinator = 1
	shareCoordinator       = 2
)

func (b *Broker) findCoordinator(_ context.Context, c *wire.Conn, req *kmsg.FindCoordinatorRequest) *kmsg.FindCoordinatorResponse {
	resp := respond[*kmsg.FindCoordinatorResponse](req)
	if req.Version < 4 {
		found := b.coordinator(c, req.CoordinatorType, req.CoordinatorKey)
		resp.ErrorCode, resp.ErrorMessage = found.ErrorCode, found.ErrorMessage
		resp.NodeID, resp.Host, resp.Port = found.NodeID, found.Host, found.Port
		if found.ErrorCode == 0 {
			resp.ErrorMessage = kmsg.StringPtr("NONE") // so Kafka says in these versions, and "" in later ones
		}
		return resp
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, b.coordinator(c, req.CoordinatorType, key))
	}
	return resp
}

func (b *Broker) coordinator(c *wire.Conn, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	found := kmsg.NewFindCoordinatorResponseCoordinator()
	found.Key = key
	found.NodeID, found.Port = -1, -1
	var err error
	listener := c.Endpoint().Name
	switch {
	case kind == groupCoordinator && !b.may(c, acl.Describe, acl.Group, key):
		err = errGroupDenied
	case kind == transactionCoordinator && !b.may(c, acl.Describe, acl.TransactionalID, key):
		err = errTxnDenied
	case kind == groupCoordinator:
		// All live ones, whatever their listeners: it is they who share out the groups.
		owner, ok := cluster.Owner(key, b.Membership.Live())
		if !ok {
			owner = b.Membership.Self()
		}
		if owners := at(listener, []metastore.Broker{owner}); len(owners) > 0 {
			found.NodeID, found.Host, found.Port = int32(owner.NodeID), owners[0].Host, owners[0].Port
			break
		}
		err = refuse(kerr.CoordinatorNotAvailable, fmt.Sprintf("broker %d, which coordinates it, has no listener %s", owner.NodeID, listener))
	case kind == transactionCoordinator:
		owner, _ := cluster.Owner(key, b.brokers(listener))
		found.NodeID, found.Host, found.Port = int32(owner.NodeID), owner.Host, owner.Port
	case kind == shareCoordinator:
		err = refuse(kerr.UnsupportedVersion, "this broker does not support share groups")
	default:
		err = refuse(kerr.InvalidRequest, "unknown type of coordinator")
	}
	if err == nil {
		found.ErrorMessage = new(string)
		return found
	}
	found.ErrorCode, found.ErrorMessage = failure(err)
	return found
}
