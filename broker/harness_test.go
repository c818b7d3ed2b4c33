package broker

import (
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/txn"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a broker on a real metastore, asked through a real socket.
type harness struct {
	t       *testing.T
	broker  *Broker
	replica *metastore.Replica
	store   *memory.Store
	conn    net.Conn
	client  string // id of ours, default "test"
	next    int32

	endpoint *wire.Endpoint // by which we come, default that of PLAINTEXT
}

// newHarness starts a broker with cluster settings; more says how many other brokers live.
func newHarness(t *testing.T, overrides map[string]string, more int) *harness {
	t.Helper()
	h := &harness{t: t, store: memory.New(memory.Options{})}
	t.Cleanup(func() { _ = h.store.Close() })
	h.replica = metastore.NewReplica(h.store, metastore.ReplicaOptions{RefreshPause: -1})
	must(t, h.replica.Open(t.Context()))
	defaults, err := settings.NewCluster(overrides)
	must(t, err)
	membership := cluster.New(h.store, metastore.Broker{NodeID: 0, Host: "broker0", Port: 9092, Zone: "a"}, cluster.Options{})
	for i := range more {
		_, err := h.store.RegisterBroker(t.Context(), metastore.Broker{NodeID: metastore.NodeID(i + 1), Host: "other", Port: int32(9093 + i)}, time.Minute)
		must(t, err)
	}
	must(t, membership.Join(t.Context()))
	h.broker = New(h.deps(defaults, membership))
	h.serve()
	return h
}

// place puts the broker into a zone, and beside it other brokers, from node id 1 on, into theirs.
func (h *harness) place(self string, others ...string) {
	h.t.Helper()
	for i, zone := range others {
		_, err := h.store.RegisterBroker(h.t.Context(), metastore.Broker{NodeID: metastore.NodeID(i + 1), Host: "other", Port: int32(9093 + i), Zone: zone}, time.Minute)
		must(h.t, err)
	}
	membership := cluster.New(h.store, metastore.Broker{NodeID: 0, Host: "broker0", Port: 9092, Zone: self}, cluster.Options{})
	must(h.t, membership.Join(h.t.Context()))
	h.broker.Membership = membership
}

func (h *harness) deps(defaults *settings.Cluster, membership *cluster.Membership) Deps {
	live := settings.NewLive(defaults, h.replica)
	live.SetNode(membership.Self().NodeID)
	groups := group.New(h.store, membership.Self().NodeID, group.Options{Owns: membership.Owns, MaxGroups: func() int { return live.Load().MaxGroups }, InitialRebalanceDelay: -1, Topics: h.replica,
		Pending: h.replica.GroupPending, CatchUp: h.replica.Refresh, Supersede: txn.Supersede(h.replica, h.replica)})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = groups.Run(ctx)
	}()
	h.t.Cleanup(func() {
		stop()
		<-done
	})
	return Deps{
		Topics: h.replica, Changes: h.replica, ProducerIDs: h.replica, Membership: membership, Settings: live, Configs: h.replica,
		Quotas: quota.NewLimiter(func() *metastore.ConfigSet { return h.replica.ConfigsOf(metastore.ClientQuotas) }, quota.Options{}),
		States: h.replica, Transactions: h.replica, Groups: groups, TopicOffsets: h.store, Partitions: h.replica,
	}
}

func (h *harness) serve() {
	srv, err := wire.NewServer(h.broker.Routes(), wire.Options{})
	must(h.t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(h.t, err)
	served := make(chan error, 1)
	go func() {
		served <- srv.Serve(context.Background(), ln, cmp.Or(h.endpoint, &wire.Endpoint{Name: "PLAINTEXT"}))
	}()
	h.conn, err = net.Dial("tcp", ln.Addr().String())
	must(h.t, err)
	h.t.Cleanup(func() {
		_ = h.conn.Close()
		must(h.t, srv.Shutdown(context.Background()))
		<-served
	})
}

// ask sends a request at its version and decodes the answer with the same.
func (h *harness) ask(req kmsg.Request) kmsg.Response {
	h.t.Helper()
	h.next++
	_ = h.conn.SetDeadline(time.Now().Add(20 * time.Second))
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(cmp.Or(h.client, "test"))).AppendRequest(nil, req, h.next)
	_, err := h.conn.Write(frame)
	must(h.t, err)
	var head [8]byte
	_, err = io.ReadFull(h.conn, head[:])
	must(h.t, err)
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != h.next {
		h.t.Fatalf("correlation id %d, want %d", got, h.next)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:4])-4)
	_, err = io.ReadFull(h.conn, body)
	must(h.t, err)
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != 18 {
		if body[0] != 0 {
			h.t.Fatalf("tagged fields in the answer header: %d", body[0])
		}
		body = body[1:]
	}
	must(h.t, resp.ReadFrom(body))
	if again := resp.AppendTo(nil); len(again) != len(body) {
		h.t.Fatalf("%s v%d: answer of %d bytes decodes to one of %d", kmsg.NameForKey(req.Key()), req.GetVersion(), len(body), len(again))
	}
	return resp
}

func ask[Resp kmsg.Response](h *harness, version int16, req kmsg.Request) Resp {
	h.t.Helper()
	req.SetVersion(version)
	return h.ask(req).(Resp)
}

// versions runs a test at every version of an API.
func (h *harness) versions(key int16, test func(t *testing.T, version int16)) {
	h.t.Helper()
	for _, a := range h.broker.apis() {
		if a.key != key {
			continue
		}
		for v := a.min; v <= a.max; v++ {
			h.t.Run(versionName(v), func(t *testing.T) {
				outer := h.t
				h.t = t
				defer func() { h.t = outer }()
				test(t, v)
			})
		}
		return
	}
	h.t.Fatalf("key %d is not in the table", key)
}

func versionName(v int16) string { return "v" + string(rune('0'+v/10)) + string(rune('0'+v%10)) }

func (h *harness) topic(name string, partitions int32, replicas int16) *metastore.Topic {
	h.t.Helper()
	created, err := h.replica.CreateTopic(h.t.Context(), metastore.NewTopic{Name: name, Partitions: partitions, ReplicationFactor: replicas})
	must(h.t, err)
	return created
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
