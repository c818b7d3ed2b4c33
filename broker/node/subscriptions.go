package node

import (
	"github.com/runnel-io/runnel/broker/telemetry"
	"github.com/runnel-io/runnel/metastore"
)

// subscriptions are those to clients' metrics that the commit log has, as of what this broker has heard of.
func subscriptions(r *metastore.Replica) telemetry.Source {
	return telemetry.Source{Version: r.ConfigsVersion, Resources: func() map[string]map[string]string {
		configs := make(map[string]map[string]string)
		for _, name := range r.ConfigResources(metastore.ClientMetricsConfig) {
			configs[name] = r.Configs(metastore.ConfigResource{Kind: metastore.ClientMetricsConfig, Name: name})
		}
		return configs
	}}
}
