package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
)

// ListPartitionReassignments (46), version 0 (KIP-455): reassignments in progress. There are none: they are done as soon as
// they are asked for. Topics and partitions that do not exist are no error, as in Kafka.

func (b *Broker) listPartitionReassignments(_ context.Context, _ *wire.Conn, req *kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse {
	return respond[*kmsg.ListPartitionReassignmentsResponse](req)
}
