package cluster

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/metastore"
)

func broker(id int, zone string) metastore.Broker {
	return metastore.Broker{NodeID: metastore.NodeID(id), Zone: zone}
}

func partition(topic byte, number int) metastore.TopicPartition {
	return metastore.TopicPartition{Topic: metastore.TopicID{15: topic}, Partition: int32(number)}
}

func TestLeaderIsOfTheClientsZone(t *testing.T) {
	live := []metastore.Broker{broker(0, "a"), broker(1, "b"), broker(2, "b"), broker(3, ""), broker(4, "c")}
	for _, c := range []struct {
		name, zone string
		lead       []metastore.NodeID
		local      bool
	}{
		{"a zone of one broker", "a", []metastore.NodeID{0}, true},
		{"a zone of two", "b", []metastore.NodeID{1, 2}, true},
		{"unknown", "", []metastore.NodeID{0, 1, 2, 3, 4}, false},
		{"a zone without brokers", "d", []metastore.NodeID{0, 1, 2, 3, 4}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, leaders := Place(live, c.zone), map[metastore.NodeID]bool{}
			for i := range 1000 {
				leaders[p.Leader(partition(1, i)).NodeID] = true
			}
			if got := slices.Sorted(maps.Keys(leaders)); !slices.Equal(got, c.lead) {
				t.Errorf("brokers %v lead, want %v", got, c.lead)
			}
			if p.Local() != c.local {
				t.Errorf("local: %v", p.Local())
			}
		})
	}
}

// cluster draws brokers in up to four zones, one of which is none.
func drawCluster(t *rapid.T) []metastore.Broker {
	live := make([]metastore.Broker, rapid.IntRange(1, 9).Draw(t, "brokers"))
	for i := range live {
		live[i] = broker(3*i, rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "zone"))
	}
	return live
}

var zonesOfClients = []string{"", "a", "b", "c", "elsewhere"}

func TestReplicasSpreadOverZones(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		live := drawCluster(t)
		zoneOf, zones := map[int32]string{}, map[string]int{}
		for _, b := range live {
			zoneOf[int32(b.NodeID)] = b.Zone
			zones[b.Zone]++
		}
		tp := partition(rapid.Byte().Draw(t, "topic"), rapid.IntRange(0, 1000).Draw(t, "partition"))
		ids := make([]int32, rapid.IntRange(1, 12).Draw(t, "replicas"))
		for _, zone := range zonesOfClients {
			p := Place(live, zone)
			p.Replicas(tp, ids)
			if leader := p.Leader(tp); ids[0] != int32(leader.NodeID) || (zone != "" && zones[zone] > 0 && leader.Zone != zone) {
				t.Fatalf("zone %q: leader %+v, replicas %v", zone, leader, ids)
			}
			taken := map[string]int{}
			for i, id := range ids[:min(len(ids), len(live))] {
				if slices.Contains(ids[:i], id) {
					t.Fatalf("%d is there twice before all were: %v", id, ids)
				}
				taken[zoneOf[id]]++
				for other, n := range zones { // no other zone had a broker to spare and fewer of them taken
					if taken[other] < n && taken[other] < taken[zoneOf[id]]-1 {
						t.Fatalf("%v: %q has %d, %q has %d", ids[:i+1], zoneOf[id], taken[zoneOf[id]], other, taken[other])
					}
				}
			}
			for i := len(live); i < len(ids); i++ {
				if ids[i] != ids[i-len(live)] {
					t.Fatalf("%v do not repeat", ids)
				}
			}
			backwards := slices.Clone(live)
			slices.Reverse(backwards)
			again := make([]int32, len(ids))
			if Place(backwards, zone).Replicas(tp, again); !slices.Equal(again, ids) {
				t.Fatalf("%v, and %v by a list in another order", ids, again)
			}
		}
	})
}

// TestListedIsWhatClientsOfEveryZoneSee: a broker that is Listed is in the replica list of whatever client.
func TestListedIsWhatClientsOfEveryZoneSee(t *testing.T) {
	listed := 0
	rapid.Check(t, func(t *rapid.T) {
		live := drawCluster(t)
		tp := partition(rapid.Byte().Draw(t, "topic"), rapid.IntRange(0, 1000).Draw(t, "partition"))
		ids := make([]int32, rapid.IntRange(1, 6).Draw(t, "replicas"))
		target := Place(live, rapid.SampledFrom(zonesOfClients).Draw(t, "rack"))
		everywhere := true
		for _, zone := range zonesOfClients {
			Place(live, zone).Replicas(tp, ids)
			everywhere = everywhere && slices.Contains(ids, int32(target.Leader(tp).NodeID))
		}
		if target.Listed(tp, len(ids)) {
			listed++
			if !everywhere {
				t.Fatalf("%+v is not in every list of %d", target.Leader(tp), len(ids))
			}
		}
		zones := map[string]bool{}
		for _, b := range live {
			zones[b.Zone] = true
		}
		if len(ids) >= len(zones) && !target.Listed(tp, len(ids)) {
			t.Fatalf("not listed among %d replicas of %d zones", len(ids), len(zones))
		}
	})
	if listed == 0 {
		t.Error("nothing was listed")
	}
}

// TestOnlyALostBrokersPartitionsMove, and a new broker takes its share and no more.
func TestOnlyALostBrokersPartitionsMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawCluster(t)
		gone := rapid.IntRange(0, len(all)-1).Draw(t, "gone")
		rest := slices.Delete(slices.Clone(all), gone, gone+1)
		if len(rest) == 0 {
			return
		}
		for _, zone := range zonesOfClients {
			with, without := Place(all, zone), Place(rest, zone)
			if with.Local() != without.Local() {
				continue // the last broker of the zone, or the first: everything moves
			}
			for i := range 50 {
				tp := partition(7, i)
				was, is := with.Leader(tp), without.Leader(tp)
				if was.NodeID != all[gone].NodeID && was.NodeID != is.NodeID {
					t.Fatalf("zone %q, partition %d moved from %d to %d when %d went", zone, i, was.NodeID, is.NodeID, all[gone].NodeID)
				}
			}
		}
	})
}

func TestPartitionsSpreadEvenly(t *testing.T) {
	const partitions = 10_000
	for name, of := range map[string]func(i int) metastore.TopicPartition{
		"of one topic": func(i int) metastore.TopicPartition { return partition(1, i) },
		"0 of many topics": func(i int) metastore.TopicPartition {
			return metastore.TopicPartition{Topic: metastore.TopicID{byte(i), byte(i >> 8)}}
		},
		"0 of topics near by name": func(i int) metastore.TopicPartition {
			return metastore.TopicPartition{Topic: metastore.TopicID{14: byte(i >> 8), 15: byte(i)}}
		},
	} {
		for _, n := range []int{2, 3, 5, 12} {
			t.Run(fmt.Sprintf("%s, %d brokers", name, n), func(t *testing.T) {
				p, led := Place(brokers(n), ""), map[metastore.NodeID]int{}
				followed := map[int32]int{}
				ids := make([]int32, 2)
				for i := range partitions {
					p.Replicas(of(i), ids)
					led[metastore.NodeID(ids[0])]++
					followed[ids[1]]++
				}
				for id := range metastore.NodeID(n) {
					if got, fair := led[id], partitions/n; got < fair*9/10 || got > fair*11/10 {
						t.Errorf("broker %d leads %d, its share is %d", id, got, fair)
					}
					if got, fair := followed[int32(id)], partitions/n; got < fair*9/10 || got > fair*11/10 {
						t.Errorf("broker %d follows %d, its share is %d", id, got, fair)
					}
				}
			})
		}
	}
}

func TestRankingCostsNoAllocation(t *testing.T) {
	p, ids := Place(brokers(12), ""), make([]int32, 3)
	if n := testing.AllocsPerRun(100, func() {
		p.Replicas(partition(1, 2), ids)
		p.Leader(partition(1, 3))
		p.Listed(partition(1, 4), 2)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
