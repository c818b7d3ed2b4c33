package node

import (
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/metastore"
)

// assembleQuotas makes what measures clients against the quotas that the commit log has.
func (n *Node) assembleQuotas() *quota.Limiter {
	c := n.opts.Config.Cluster
	return quota.NewLimiter(func() *metastore.ConfigSet { return n.replica.ConfigsOf(metastore.ClientQuotas) }, quota.Options{
		Window: quota.Window(c.QuotaWindow), Mutations: quota.Window(c.MutationQuotaWindow), Registerer: n.registry,
	})
}
