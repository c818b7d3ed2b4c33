package broker

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/zone"
	"github.com/runnel-io/runnel/metastore"
)

// newZonedHarness is a broker 0 in zone a, beside 1 and 2 in b and 3 in c.
func newZonedHarness(t *testing.T, zones *zone.Clients) *recordHarness {
	h := newRecordBroker(t, nil)
	h.place("a", "b", "b", "c")
	if zones != nil {
		h.broker.Zones = zones
	}
	h.serve()
	return h
}

// leaders are the brokers that Metadata names, of partitions and at all, after the lists of replicas were checked.
func leaders(t *testing.T, h *harness, topic *metastore.Topic) (led []int32, each []int32) {
	t.Helper()
	answer := ask[*kmsg.MetadataResponse](h, 13, metadataRequest(false, topic.Name))
	racks := map[int32]string{}
	for _, b := range answer.Brokers {
		racks[b.NodeID] = *b.Rack
	}
	described := ask[*kmsg.DescribeTopicPartitionsResponse](h, 0, &kmsg.DescribeTopicPartitionsRequest{
		Topics: []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: topic.Name}}, ResponsePartitionLimit: 2000,
	}).Topics[0].Partitions
	for i, p := range answer.Topics[0].Partitions {
		equal(t, "first replica", p.Replicas[0], p.Leader)
		seen := map[string]bool{}
		for _, id := range p.Replicas {
			seen[racks[id]] = true
		}
		equal(t, "zones of the replicas", len(seen), min(len(p.Replicas), 3))
		if d := described[i]; d.LeaderID != p.Leader || !slices.Equal(d.Replicas, p.Replicas) || !slices.Equal(d.ISR, p.ISR) {
			t.Errorf("partition %d is %+v in Metadata, %+v in DescribeTopicPartitions", i, p, d)
		}
		each = append(each, p.Leader)
		if !slices.Contains(led, p.Leader) {
			led = append(led, p.Leader)
		}
	}
	slices.Sort(led)
	return led, each
}

func TestLeadersAreOfTheClientsZone(t *testing.T) {
	loopback := func(at string) []zone.Subnet {
		return []zone.Subnet{{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Zone: at}}
	}
	for _, c := range []struct {
		name   string
		client string
		zones  *zone.Clients
		want   []int32
	}{
		{"unknown", "app", nil, []int32{0, 1, 2, 3}},
		{"tag", "app,zone=b", nil, []int32{1, 2}},
		{"another's tag", "app,ws_az=c", nil, []int32{3}},
		{"tag of a zone without brokers", "app,zone=d", nil, []int32{0, 1, 2, 3}},
		{"subnet", "app", zone.New(loopback("c"), "a"), []int32{3}},
		{"tag before subnet", "app,zone=b", zone.New(loopback("c"), "a"), []int32{1, 2}},
		{"listener", "app", zone.New(nil, "a"), []int32{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newZonedHarness(t, c.zones)
			h.client = c.client
			for _, replicas := range []int16{1, 3, 4, 6} {
				topic := h.topic("events-"+string(rune('0'+replicas)), 64, replicas)
				if led, _ := leaders(t, h.harness, topic); !slices.Equal(led, c.want) {
					t.Errorf("brokers %v lead, want %v", led, c.want)
				}
			}
		})
	}
}

func TestLeaderIsTheOneInMetadata(t *testing.T) {
	h := newZonedHarness(t, nil)
	topic := h.topic("events", 64, 1)
	for _, at := range []string{"", "a", "b", "c", "d"} {
		h.client = "app,zone=" + at
		_, each := leaders(t, h.harness, topic)
		for i, id := range each {
			tp := metastore.TopicPartition{Topic: topic.ID, Partition: int32(i)}
			equal(t, "leader for zone "+at, int32(h.broker.leader(tp, "PLAINTEXT", at).NodeID), id)
		}
	}
}

func TestFetchSendsConsumersToTheirZone(t *testing.T) {
	h := newZonedHarness(t, nil)
	topic, narrow := h.topic("events", 64, 3), h.topic("narrow", 64, 1)
	for i := range int32(64) {
		h.produce(topic, i, testBatch(1))
		h.produce(narrow, i, testBatch(1))
	}
	h.client = "app,zone=b"
	_, ofB := leaders(t, h.harness, topic)
	all := make([]int32, 64)
	for i := range all {
		all[i] = int32(i)
	}
	fetch := func(version int16, rack string, topic *metastore.Topic) []kmsg.FetchResponseTopicPartition {
		req := fetchRequest(topic, all...)
		req.Rack, req.MaxWaitMillis = rack, 10_000
		return ask[*kmsg.FetchResponse](h.harness, version, req).Topics[0].Partitions
	}
	h.versions(1, func(t *testing.T, version int16) {
		for _, rack := range []string{"", "a", "b", "d"} {
			for i, p := range fetch(version, rack, topic) {
				equal(t, "error", p.ErrorCode, 0)
				equal(t, "high watermark", p.HighWatermark, 1)
				want := int32(-1)
				if rack == "b" && version >= 11 {
					want = ofB[i]
				}
				equal(t, "preferred replica for rack "+rack, p.PreferredReadReplica, want)
				equal(t, "records for rack "+rack, len(p.RecordBatches) > 0, want < 0)
			}
		}
	})
	// The Java client takes only brokers of the replica list for replicas, and that is of one broker.
	for _, p := range fetch(18, "b", narrow) {
		equal(t, "preferred replica of a topic with one replica", p.PreferredReadReplica, -1)
		equal(t, "records", len(p.RecordBatches) > 0, true)
	}
}

func TestFetchAnswersErrorsWhereverTheConsumerIs(t *testing.T) {
	h := newZonedHarness(t, nil)
	topic := h.topic("events", 4, 3)
	for name, c := range map[string]struct {
		change func(p *kmsg.FetchRequestTopicPartition)
		want   *kerr.Error
	}{
		"out of range":      {func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 5 }, kerr.OffsetOutOfRange},
		"unknown partition": {func(p *kmsg.FetchRequestTopicPartition) { p.Partition = 9 }, kerr.UnknownTopicOrPartition},
		"unknown epoch":     {func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 3 }, kerr.UnknownLeaderEpoch},
	} {
		req := fetchRequest(topic, 0)
		req.Rack = "b"
		c.change(&req.Topics[0].Partitions[0])
		p := ask[*kmsg.FetchResponse](h.harness, 12, req).Topics[0].Partitions[0]
		equal(t, name, p.ErrorCode, c.want.Code)
		equal(t, name+": preferred replica", p.PreferredReadReplica, -1)
	}
}

func TestSessionRepeatsANearerBroker(t *testing.T) {
	r := newSessionRig(t, 10)
	other := int32(7)
	r.state[1], r.state[2] = fetchedPartition{nearer: &other}, fetchedPartition{}
	id := r.want(sessionRequest{want: []int32{1, 2}}, 1, 2)
	r.want(sessionRequest{id: id, epoch: 1}, 1)
	r.want(sessionRequest{id: id, epoch: 2}, 1)
	r.state[1] = fetchedPartition{}
	r.want(sessionRequest{id: id, epoch: 3})
}
