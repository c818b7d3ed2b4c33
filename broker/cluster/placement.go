package cluster

import (
	"encoding/binary"

	"github.com/runnel-io/runnel/metastore"
)

// Placement says which brokers clients of one zone are told to ask for partitions: by rendezvous hashing, so that every
// broker with the same view says the same, a lost broker's partitions move and no others, and a new broker takes its share
// alone. It is made for one request and is not safe for concurrent use.
type Placement struct {
	live  []metastore.Broker
	seeds []uint64 // of each broker
	zones []int    // of each broker; brokers without a zone are one zone
	count int      // of zones
	home  int      // the zone whose brokers lead; -1: all do

	scores []uint64 // of each broker, for the partition at hand
	taken  []int    // by zone
	chosen []bool   // by broker
}

// Place makes the placement for clients of a zone. If it is unknown ("") or has no live broker, all brokers lead. There
// must be a live broker.
func Place(live []metastore.Broker, zone string) *Placement {
	n := len(live)
	words, numbers := make([]uint64, 2*n), make([]int, 2*n)
	p := &Placement{
		live: live, seeds: words[:n], scores: words[n:], zones: numbers[:n], taken: numbers[n:], chosen: make([]bool, n), home: -1,
	}
	for i := range live {
		p.seeds[i] = mix(uint64(uint32(live[i].NodeID)) + golden)
		p.zones[i] = p.count
		for j := range i {
			if live[j].Zone == live[i].Zone {
				p.zones[i] = p.zones[j]
				break
			}
		}
		if p.zones[i] == p.count {
			p.count++
		}
		if zone != "" && live[i].Zone == zone {
			p.home = p.zones[i]
		}
	}
	p.taken = p.taken[:p.count]
	return p
}

// Local tells whether brokers of the clients' own zone lead.
func (p *Placement) Local() bool { return p.home >= 0 }

// Leader is the broker to be asked for a partition.
func (p *Placement) Leader(tp metastore.TopicPartition) *metastore.Broker {
	return &p.live[p.lead(tp)]
}

// lead computes the scores of a partition and returns the leader's index.
func (p *Placement) lead(tp metastore.TopicPartition) int {
	key, best := partitionKey(tp), -1
	for i, seed := range p.seeds {
		p.scores[i] = mix(key ^ seed)
		if (p.home < 0 || p.zones[i] == p.home) && (best < 0 || p.scores[i] > p.scores[best]) {
			best = i
		}
	}
	return best
}

// Replicas fills ids with the replicas of a partition: the leader, then brokers of as many other zones as there are, then
// further ones, still spread over the zones. If there are fewer brokers than ids, they repeat.
func (p *Placement) Replicas(tp metastore.TopicPartition, ids []int32) {
	if len(ids) == 0 {
		return
	}
	next := p.lead(tp)
	clear(p.taken)
	clear(p.chosen)
	n := min(len(ids), len(p.live))
	for k := range n {
		if k > 0 {
			next = p.next()
		}
		p.chosen[next] = true
		p.taken[p.zones[next]]++
		ids[k] = int32(p.live[next].NodeID)
	}
	for k := n; k < len(ids); k++ {
		ids[k] = ids[k-n]
	}
}

// next is the broker of the highest score in the zones from which the fewest were taken.
func (p *Placement) next() int {
	best := -1
	for i, chosen := range p.chosen {
		if chosen {
			continue
		}
		if best < 0 || p.taken[p.zones[i]] < p.taken[p.zones[best]] ||
			p.taken[p.zones[i]] == p.taken[p.zones[best]] && p.scores[i] > p.scores[best] {
			best = i
		}
	}
	return best
}

// Listed tells whether the leader is among the first n replicas that clients are told of, in whatever zone they are. The
// zones by their highest score are in every list of replicas in that order, only that the client's own comes first: so a
// list of n has the first n-1 of them for certain, or all of them.
func (p *Placement) Listed(tp metastore.TopicPartition, n int) bool {
	if n >= p.count {
		return true
	}
	leader := p.lead(tp)
	clear(p.taken)
	before := 0
	for i, zone := range p.zones {
		if zone != p.zones[leader] && p.scores[i] > p.scores[leader] && p.taken[zone] == 0 {
			p.taken[zone] = 1
			before++
		}
	}
	return before < n-1
}

const golden = 0x9e3779b97f4a7c15

// partitionKey is a hash of the topic's id and the number.
func partitionKey(tp metastore.TopicPartition) uint64 {
	topic := mix(binary.BigEndian.Uint64(tp.Topic[:8])+golden) ^ binary.BigEndian.Uint64(tp.Topic[8:])
	return mix(topic) + uint64(uint32(tp.Partition))*golden
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of x decides over every bit of the result.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
