package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// UnregisterBroker (64), version 0 (KIP-631): forgets a broker that will not come back. Brokers that stop unregister
// themselves, and those that die are forgotten with their lease, so that there is never one to be unregistered: those that
// are not there are BROKER_ID_NOT_REGISTERED, and those that live are not unregistered behind their backs.

func (b *Broker) unregisterBroker(_ context.Context, c *wire.Conn, req *kmsg.UnregisterBrokerRequest) *kmsg.UnregisterBrokerResponse {
	resp := respond[*kmsg.UnregisterBrokerResponse](req)
	if !b.mayOnCluster(c, acl.Alter) {
		resp.ErrorCode, resp.ErrorMessage = failure(errClusterDenied)
		return resp
	}
	err := refuse(kerr.BrokerIDNotRegistered, fmt.Sprintf("there is no broker %d", req.BrokerID))
	if slices.ContainsFunc(b.Membership.Listed(), func(l metastore.Broker) bool { return int32(l.NodeID) == req.BrokerID }) {
		err = refuse(kerr.InvalidRequest, fmt.Sprintf("broker %d is alive: it unregisters when it is stopped, or when its lease runs out", req.BrokerID))
	}
	resp.ErrorCode, resp.ErrorMessage = failure(err)
	return resp
}
