package cluster

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/runnel-io/runnel/metastore"
)

// Rank orders the live brokers for a key by rendezvous hashing (highest random weight): the first one is the owner.
// Every broker with the same view computes the same order, and when a broker goes only its keys move.
func Rank(key string, live []metastore.Broker) []metastore.Broker {
	type scored struct {
		broker metastore.Broker
		score  uint64
	}
	ranked := make([]scored, len(live))
	for i, b := range live {
		ranked[i] = scored{b, score(key, b.NodeID)}
	}
	slices.SortFunc(ranked, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.broker.NodeID, b.broker.NodeID))
	})
	order := make([]metastore.Broker, len(ranked))
	for i, s := range ranked {
		order[i] = s.broker
	}
	return order
}

// Owner is the first of Rank, without the sorting; false if nobody lives.
func Owner(key string, live []metastore.Broker) (metastore.Broker, bool) {
	if len(live) == 0 {
		return metastore.Broker{}, false
	}
	return slices.MaxFunc(live, func(a, b metastore.Broker) int {
		return cmp.Or(cmp.Compare(score(key, a.NodeID), score(key, b.NodeID)), cmp.Compare(b.NodeID, a.NodeID))
	}), true
}

func score(key string, id metastore.NodeID) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	x := h.Sum64() ^ (uint64(uint32(id)) * 0x9e3779b97f4a7c15)
	// FNV alone mixes its last bytes badly; this is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
