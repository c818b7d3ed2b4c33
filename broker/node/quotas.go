package node

import (
	"math"

	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/metastore"
)

// assembleQuotas makes what measures clients against the quotas that the commit log has.
func (n *Node) assembleQuotas() *quota.Limiter {
	c := n.opts.Config.Cluster
	return quota.NewLimiter(func() *metastore.ConfigSet { return n.replica.ConfigsOf(metastore.ClientQuotas) }, quota.Options{
		Window: quota.Window(c.QuotaWindow), Mutations: quota.Window(c.MutationQuotaWindow), Registerer: n.registry,
		Shared: n.opts.Config.Quota.Scope == "cluster",
	})
}

// connections decides on new connections, by the settings and quotas in force.
func (n *Node) connections() *quota.Connections {
	return quota.NewConnections(n.quotas, func(endpoint string) quota.ConnectionLimits {
		now := n.settings.Load()
		return quota.ConnectionLimits{
			PerIP: now.MaxConnectionsPerIP, Overrides: now.PerIPOverrides,
			Rate: connectionRate(now.MaxConnectionRate), Listener: connectionRate(now.ListenerConnectionRate(endpoint)),
		}
	}, n.members.Now)
}

// connectionRate is 0 for what settings call no limit.
func connectionRate(setting int) float64 {
	if setting >= math.MaxInt32 {
		return 0
	}
	return float64(setting)
}
