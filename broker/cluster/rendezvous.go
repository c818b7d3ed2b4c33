package cluster

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/runnel-io/runnel/metastore"
)

// Owner is the live broker that a key belongs to by rendezvous hashing (highest random weight); false if nobody lives.
// Every broker with the same view computes the same one, and when a broker goes only its keys move.
func Owner(key string, live []metastore.Broker) (metastore.Broker, bool) {
	if len(live) == 0 {
		return metastore.Broker{}, false
	}
	return slices.MaxFunc(live, func(a, b metastore.Broker) int {
		return cmp.Or(cmp.Compare(score(key, a.NodeID), score(key, b.NodeID)), cmp.Compare(b.NodeID, a.NodeID))
	}), true
}

// score mixes what FNV alone mixes badly.
func score(key string, id metastore.NodeID) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return mix(h.Sum64() ^ (uint64(uint32(id)) * golden))
}
