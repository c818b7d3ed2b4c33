package zonecache

import "github.com/runnel-io/runnel/metastore"

// place is a member of the zone.
type place struct {
	id      metastore.NodeID
	address string // of its peer port; "" for this broker
}

// owner chooses the place that an extent of an object belongs to by rendezvous hashing: the highest weight wins, so a
// place that comes takes what is now its own and no more, and one that goes leaves its extents to all others alike. All
// brokers must compute the same. places are in order of their ids; those that are left out do not count. False if there
// are none.
func owner(key string, extent int64, places []place, leftOut func(address string) bool) (best place, ok bool) {
	h := hash(key, extent)
	var most uint64
	for _, p := range places {
		if w := weight(h, p.id); (!ok || w > most) && (p.address == "" || !leftOut(p.address)) {
			best, most, ok = p, w, true
		}
	}
	return best, ok
}

// hash is FNV-1a (Fowler, Noll, Vo) of the key and the number, without the allocations of hash/fnv.
func hash(key string, extent int64) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 0x100000001b3
	}
	for range 8 {
		h = (h ^ uint64(extent&0xff)) * 0x100000001b3
		extent >>= 8
	}
	return h
}

// weight mixes a hash with a place by the finaliser of SplitMix64 (Steele, Lea, Flood 2014): FNV alone hardly spreads its
// last bytes.
func weight(h uint64, id metastore.NodeID) uint64 {
	h ^= uint64(uint32(id)) * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
