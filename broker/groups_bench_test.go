package broker

import (
	"context"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// BenchmarkHeartbeat is a heartbeat of the only member of a group in which nothing happens, through a server.
func BenchmarkHeartbeat(b *testing.B) {
	srv, err := wire.NewServer(groupsBroker(b).Routes(), wire.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ln := newPipes()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), ln, &wire.Endpoint{Name: "PLAINTEXT"}) }()
	client := newBareClient(ln.dial())
	defer func() {
		client.conn.Close()
		if err := srv.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
		<-served
	}()
	b.Run("classic", func(b *testing.B) {
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.ProtocolType = 3, "classic", "consumer"
		join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 45_000, 60_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("subscription")}}
		joined := answered[*kmsg.JoinGroupResponse](b, client, join)
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.MemberID, sync.Generation = 3, "classic", joined.MemberID, joined.Generation
		answered[*kmsg.SyncGroupResponse](b, client, sync)
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Version, beat.Group, beat.MemberID, beat.Generation = 4, "classic", joined.MemberID, joined.Generation
		if resp := answered[*kmsg.HeartbeatResponse](b, client, beat); resp.ErrorCode != 0 {
			b.Fatal(resp.ErrorCode)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := client.send(beat); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("consumer", func(b *testing.B) {
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		beat.Version, beat.Group, beat.MemberID, beat.RebalanceTimeoutMillis = 1, "consumer", "member", 60_000
		beat.SubscribedTopicNames, beat.Topics = []string{"events"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		joined := answered[*kmsg.ConsumerGroupHeartbeatResponse](b, client, beat)
		beat.MemberEpoch, beat.RebalanceTimeoutMillis, beat.SubscribedTopicNames, beat.Topics = joined.MemberEpoch, -1, nil, nil
		if resp := answered[*kmsg.ConsumerGroupHeartbeatResponse](b, client, beat); resp.ErrorCode != 0 || resp.MemberEpoch == 0 {
			b.Fatal(resp.ErrorCode, resp.MemberEpoch)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := client.send(beat); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// answered sends a request and returns the answer.
func answered[Resp kmsg.Response](b *testing.B, c *bareClient, req kmsg.Request) Resp {
	b.Helper()
	resp := req.ResponseKind()
	_, err := c.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1))
	if err == nil {
		_, err = io.ReadFull(c.conn, c.size[:])
	}
	body := make([]byte, binary.BigEndian.Uint32(c.size[:]))
	if err == nil {
		_, err = io.ReadFull(c.conn, body)
	}
	head := 4 // the correlation id, and tags
	if resp.IsFlexible() {
		head++
	}
	if err == nil {
		err = resp.ReadFrom(body[head:])
	}
	if err != nil {
		b.Fatal(err)
	}
	return resp.(Resp)
}

// groupsBroker is a broker that coordinates groups, on stores in memory, with a topic of 100 partitions.
func groupsBroker(b *testing.B) *Broker {
	b.Helper()
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	meta := memory.New(memory.Options{})
	replica := metastore.NewReplica(meta, metastore.ReplicaOptions{})
	check(replica.Open(b.Context()))
	_, err := replica.CreateTopic(b.Context(), metastore.NewTopic{Name: "events", Partitions: 100})
	check(err)
	defaults, err := settings.NewCluster(nil)
	check(err)
	live := settings.NewLive(defaults, replica)
	members := cluster.New(meta, metastore.Broker{Host: "broker0", Port: 9092}, cluster.Options{Lease: time.Hour})
	check(members.Join(b.Context()))
	groups := group.New(meta, members.Self().NodeID, group.Options{Owns: members.Owns, InitialRebalanceDelay: -1, Topics: replica,
		ConsumerTimes: func(id string) group.ConsumerTimes { return group.ConsumerTimes(live.ConsumerTimes(id)) }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = groups.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-done
		check(meta.Close())
	})
	return New(Deps{Topics: replica, Changes: replica, Partitions: replica, Membership: members, Groups: groups, Settings: live})
}
