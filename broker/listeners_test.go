package broker

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// newListenerHarness starts broker 0 with listeners A and B, and comes by one of them. Beside it are 1 with A alone, 2 with both, whose
// first is B, and 3 of a version from before there were listeners.
func newListenerHarness(t *testing.T, by *wire.Endpoint) *harness {
	t.Helper()
	h := &harness{t: t, store: memory.New(memory.Options{}), endpoint: by}
	t.Cleanup(func() { _ = h.store.Close() })
	h.replica = metastore.NewReplica(h.store, metastore.ReplicaOptions{RefreshPause: -1})
	must(t, h.replica.Open(t.Context()))
	defaults, err := settings.NewCluster(nil)
	must(t, err)
	at := func(id metastore.NodeID, zone string, names ...string) metastore.Broker {
		b := metastore.Broker{NodeID: id, Zone: zone}
		for _, name := range names {
			b.Listeners = append(b.Listeners, metastore.Listener{Name: name, Host: fmt.Sprintf("%s%d", name, id), Port: 9092, Protocol: "PLAINTEXT"})
		}
		b.Host, b.Port = b.Listeners[0].Host, b.Listeners[0].Port
		return b
	}
	old := at(3, "a", "PLAINTEXT")
	old.Listeners = nil
	for _, other := range []metastore.Broker{at(1, "a", "A"), at(2, "b", "B", "A"), old} {
		_, err := h.store.RegisterBroker(t.Context(), other, time.Minute)
		must(t, err)
	}
	self := at(0, "a", "A", "B")
	self.Listeners[1].Protocol = "SASL_SSL"
	membership := cluster.New(h.store, self, cluster.Options{})
	must(t, membership.Join(t.Context()))
	h.broker = New(h.deps(defaults, membership))
	h.serve()
	return h
}

func TestClientsAreToldOfBrokersByTheListenerByWhichTheyCame(t *testing.T) {
	for by, want := range map[string][]string{
		"A": {"0 A0:9092", "1 A1:9092", "2 A2:9092"},
		"B": {"0 B0:9092", "2 B2:9092"},
		"C": {"0 A0:9092"}, // nothing that can happen: it is this broker that has the listener
	} {
		t.Run(by, func(t *testing.T) {
			h := newListenerHarness(t, &wire.Endpoint{Name: by})
			node := func(id int32, host string, port int32) string {
				return strconv.Itoa(int(id)) + " " + net.JoinHostPort(host, strconv.Itoa(int(port)))
			}
			var metadata, described, voters, nodes []string
			m := ask[metadataAnswer](h, 12, kmsg.NewPtrMetadataRequest())
			for _, b := range m.Brokers {
				metadata = append(metadata, node(b.NodeID, b.Host, b.Port))
			}
			for _, b := range ask[*kmsg.DescribeClusterResponse](h, 0, kmsg.NewPtrDescribeClusterRequest()).Brokers {
				described = append(described, node(b.NodeID, b.Host, b.Port))
			}
			quorum := kmsg.NewPtrDescribeQuorumRequest()
			quorum.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: metadataLog, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
			q := ask[*kmsg.DescribeQuorumResponse](h, 2, quorum)
			for _, n := range q.Nodes {
				equal(t, "listeners of a node", len(n.Listeners), 1)
				equal(t, "name of a node's listener", n.Listeners[0].Name, by)
				nodes = append(nodes, node(n.NodeID, n.Listeners[0].Host, int32(n.Listeners[0].Port)))
			}
			for _, v := range q.Topics[0].Partitions[0].CurrentVoters {
				for _, n := range want {
					if strconv.Itoa(int(v.ReplicaID)) == n[:1] {
						voters = append(voters, n)
					}
				}
			}
			for what, got := range map[string][]string{"Metadata": metadata, "DescribeCluster": described, "DescribeQuorum": nodes, "voters": voters} {
				if !slices.Equal(got, want) {
					t.Errorf("%s: %v, want %v", what, got, want)
				}
			}
		})
	}
}

// metadataAnswer is what ask decodes.
type metadataAnswer = *kmsg.MetadataResponse

func TestLeadersAreAmongTheBrokersOfTheListener(t *testing.T) {
	for by, want := range map[string][]int32{"A": {0, 1, 2}, "B": {0, 2}} {
		h := newListenerHarness(t, &wire.Endpoint{Name: by})
		topic := h.topic("t", 64, 3)
		led := map[int32]bool{}
		req := kmsg.NewPtrMetadataRequest()
		for _, p := range ask[metadataAnswer](h, 12, req).Topics[0].Partitions {
			led[p.Leader] = true
			for _, r := range p.Replicas {
				if !slices.Contains(want, r) {
					t.Errorf("%s: replica %d", by, r)
				}
			}
		}
		equal(t, "brokers that lead by "+by, len(led), len(want))
		paged := kmsg.NewPtrDescribeTopicPartitionsRequest()
		paged.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: topic.Name}}
		paged.ResponsePartitionLimit = 100
		for _, p := range ask[*kmsg.DescribeTopicPartitionsResponse](h, 0, paged).Topics[0].Partitions {
			if !slices.Contains(want, p.LeaderID) {
				t.Errorf("%s: leader %d in DescribeTopicPartitions", by, p.LeaderID)
			}
		}
	}
}

func TestZoneOfTheListenerIsThatOfItsClients(t *testing.T) {
	h := newListenerHarness(t, &wire.Endpoint{Name: "A", Zone: "b"})
	h.topic("t", 16, 1)
	for _, p := range ask[metadataAnswer](h, 12, kmsg.NewPtrMetadataRequest()).Topics[0].Partitions {
		equal(t, "leader for a client of a listener of zone b", p.Leader, 2)
	}
}

func TestCoordinatorsAreNamedByTheListener(t *testing.T) {
	found := func(h *harness, kind int8, key string) *kmsg.FindCoordinatorResponse {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorType, req.CoordinatorKey = kind, key
		return ask[*kmsg.FindCoordinatorResponse](h, 3, req)
	}
	a, b := newListenerHarness(t, &wire.Endpoint{Name: "A"}), newListenerHarness(t, &wire.Endpoint{Name: "B"})
	away := 0
	for i := range 40 {
		key := fmt.Sprint("key-", i)
		owner, _ := cluster.Owner(key, a.broker.Membership.Live())
		for by, h := range map[string]*harness{"A": a, "B": b} {
			group := found(h, groupCoordinator, key)
			if _, ok := owner.Listener(by); !ok {
				away++
				equal(t, "error for a group whose coordinator has no such listener", group.ErrorCode, kerr.CoordinatorNotAvailable.Code)
				equal(t, "node", group.NodeID, -1)
			} else {
				equal(t, "coordinator of the group", group.NodeID, int32(owner.NodeID))
				equal(t, "its host", group.Host, fmt.Sprintf("%s%d", by, owner.NodeID))
			}
			// Any broker does for a transactional id, so it is one that can be reached.
			txn := found(h, transactionCoordinator, key)
			equal(t, "error for a transactional id", txn.ErrorCode, 0)
			equal(t, "host of its coordinator", txn.Host, fmt.Sprintf("%s%d", by, txn.NodeID))
		}
	}
	if away == 0 || away == 80 {
		t.Errorf("%d groups of 80 were coordinated elsewhere: the test shows nothing", away)
	}
}

func TestSettingsTellOfAllListeners(t *testing.T) {
	h := newListenerHarness(t, &wire.Endpoint{Name: "A"})
	req := describeRequest(kmsg.ConfigResourceTypeBroker, "0", "advertised.listeners", "listener.security.protocol.map")
	values := map[string]string{}
	for _, c := range ask[*kmsg.DescribeConfigsResponse](h, 4, req).Resources[0].Configs {
		values[c.Name] = *c.Value
	}
	equal(t, "advertised.listeners", values["advertised.listeners"], "A://A0:9092,B://B0:9092")
	equal(t, "listener.security.protocol.map", values["listener.security.protocol.map"], "A:PLAINTEXT,B:SASL_SSL")
}
