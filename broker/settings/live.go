package settings

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/runnel-io/runnel/metastore"
)

// Overrides is what clients have set while brokers run, as of the last change that this broker knows of.
type Overrides interface {
	Configs(of metastore.ConfigResource) map[string]string // not to be modified
	ConfigsVersion() uint64                                // another number after every change
}

// Live is the settings in force: those of the configuration, under what clients have set for all brokers and, above
// that, for this one. A change acts with the next Load, whoever made it: nobody has to be told of it, so none is missed,
// and Load costs three atomic loads while nothing changes.
type Live struct {
	static    *Cluster
	overrides Overrides
	node      atomic.Int64 // its id; noNode until it is known

	now     atomic.Pointer[resolved]
	resolve sync.Mutex // held by whoever makes the next value
}

const noNode = -1

// resolved is what follows from the overrides of some version.
type resolved struct {
	version uint64
	node    int64
	cluster *Cluster
}

// NewLive makes the settings of a broker that does not know its node id yet. nil overrides are none, for ever.
func NewLive(static *Cluster, overrides Overrides) *Live {
	l := &Live{static: static, overrides: overrides}
	l.node.Store(noNode)
	if overrides == nil {
		l.now.Store(&resolved{node: noNode, cluster: static})
	}
	return l
}

// SetNode says whose overrides are this broker's.
func (l *Live) SetNode(id metastore.NodeID) { l.node.Store(int64(id)) }

// Load returns the settings as of now. They do not change; whoever works on one request asks once.
func (l *Live) Load() *Cluster {
	now := l.now.Load()
	if l.overrides == nil || now != nil && now.version == l.overrides.ConfigsVersion() && now.node == l.node.Load() {
		return now.cluster
	}
	l.resolve.Lock()
	defer l.resolve.Unlock()
	// The version is read before the overrides: if they change in between, the next Load looks again.
	next := &resolved{version: l.overrides.ConfigsVersion(), node: l.node.Load()}
	if now = l.now.Load(); now != nil && now.version == next.version && now.node == next.node {
		return now.cluster
	}
	brokers, own := l.overrides.Configs(metastore.ConfigResource{Kind: metastore.BrokerConfig}), map[string]string(nil)
	if next.node != noNode {
		own = l.overrides.Configs(brokerResource(next.node))
	}
	next.cluster = l.static.with(brokers, own)
	l.now.Store(next)
	return next.cluster
}

func brokerResource(node int64) metastore.ConfigResource {
	return metastore.ConfigResource{Kind: metastore.BrokerConfig, Name: strconv.FormatInt(node, 10)}
}
