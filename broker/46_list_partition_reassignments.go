package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// ListPartitionReassignments (46), version 0 (KIP-455): reassignments in progress. There are none: they are done as soon as
// they are asked for. Topics and partitions that do not exist are no error, as in Kafka.

func (b *Broker) listPartitionReassignments(_ context.Context, c *wire.Conn, req *kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse {
	resp := respond[*kmsg.ListPartitionReassignmentsResponse](req)
	if !b.mayOnCluster(c, acl.Describe) {
		resp.ErrorCode, resp.ErrorMessage = failure(errClusterDenied)
	}
	return resp
}
