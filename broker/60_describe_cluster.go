package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/wire"
)

// DescribeCluster (60), versions 0 to 2: the cluster id, the brokers and the one that takes administrative requests,
// which every broker does. v1 asks for an endpoint type (KIP-919): there are no controllers to be listed, so that
// asking for them is MISMATCHED_ENDPOINT_TYPE, as from a broker of Kafka's; other types are unknown. v2 may include fenced brokers (KIP-1073): a
// broker without a live lease is gone, not fenced.

const (
	brokerEndpoints     = 1
	controllerEndpoints = 2
)

func (b *Broker) describeCluster(_ context.Context, c *wire.Conn, req *kmsg.DescribeClusterRequest) *kmsg.DescribeClusterResponse {
	resp := respond[*kmsg.DescribeClusterResponse](req)
	resp.EndpointType = brokerEndpoints
	if req.Version >= 1 && req.EndpointType != brokerEndpoints {
		kafka := kerr.UnsupportedEndpointType
		if req.EndpointType == controllerEndpoints {
			kafka = kerr.MismatchedEndpointType
		}
		resp.ErrorCode, resp.ErrorMessage = failure(refuse(kafka, "this is a broker: the endpoint type must be 1"))
		return resp
	}
	live := b.brokers(c.Endpoint().Name)
	resp.ClusterID, resp.ControllerID = b.Membership.ClusterID(), b.controller(live)
	for _, l := range b.listed(c.Endpoint().Name) {
		broker := kmsg.NewDescribeClusterResponseBroker()
		broker.NodeID, broker.Host, broker.Port, broker.Rack = int32(l.NodeID), l.Host, l.Port, orNil(l.Zone)
		resp.Brokers = append(resp.Brokers, broker)
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = b.clusterOperations(c)
	}
	return resp
}
