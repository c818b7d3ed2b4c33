package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// ListConfigResources (74), versions 0 and 1: what DescribeConfigs can be asked about. v0 (KIP-714, then called
// ListClientMetricsResources) lists subscriptions to clients' metrics alone, v1 (KIP-1142) resources of the types asked
// for: all topics and brokers, and groups and subscriptions that have settings of their own. No type is all types.

// listedKinds are in Kafka's order.
var listedKinds = []kmsg.ConfigResourceType{
	kmsg.ConfigResourceTypeGroupConfig, kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeBrokerLogger,
	kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeTopic,
}

func (b *Broker) listConfigResources(_ context.Context, c *wire.Conn, req *kmsg.ListConfigResourcesRequest) *kmsg.ListConfigResourcesResponse {
	resp := respond[*kmsg.ListConfigResourcesResponse](req)
	if !b.mayOnCluster(c, acl.DescribeConfigs) {
		resp.ErrorCode = code(errClusterDenied)
		return resp
	}
	asked := []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeClientMetrics}
	if req.Version >= 1 {
		asked = nil
		for _, kind := range req.ResourceTypes {
			asked = append(asked, kmsg.ConfigResourceType(kind))
		}
		if len(asked) == 0 {
			asked = listedKinds
		}
	}
	for _, kind := range asked {
		if !slices.Contains(listedKinds, kind) {
			resp.ErrorCode = kerr.UnsupportedVersion.Code
			b.Logger.Debug("list config resources", "error", fmt.Sprintf("resources of type %d cannot be listed", kind))
			return resp
		}
	}
	for _, kind := range listedKinds {
		if !slices.Contains(asked, kind) {
			continue
		}
		for _, name := range b.resourceNames(kind) {
			r := kmsg.NewListConfigResourcesResponseConfigResource()
			r.Type, r.Name = int8(kind), name
			resp.ConfigResources = append(resp.ConfigResources, r)
		}
	}
	return resp
}

func (b *Broker) resourceNames(kind kmsg.ConfigResourceType) (names []string) {
	switch kind {
	case kmsg.ConfigResourceTypeGroupConfig:
		return b.Configs.ConfigResources(metastore.GroupConfig)
	case kmsg.ConfigResourceTypeClientMetrics:
		return b.Configs.ConfigResources(metastore.ClientMetricsConfig)
	case kmsg.ConfigResourceTypeTopic:
		for _, t := range b.Topics.Topics() {
			names = append(names, t.Name)
		}
	default: // brokers, and their loggers
		for _, other := range b.Membership.Live() {
			names = append(names, strconv.Itoa(int(other.NodeID)))
		}
	}
	return names
}
