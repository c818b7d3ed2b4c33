package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// largeCluster is a broker that knows 200 topics of 100 partitions each, with three replicas, and three brokers.
func largeCluster(b *testing.B) *Broker {
	store := memory.New(memory.Options{})
	b.Cleanup(func() { _ = store.Close() })
	replica := metastore.NewReplica(store, metastore.ReplicaOptions{})
	if err := replica.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	for i := range 200 {
		_, err := replica.CreateTopic(b.Context(), metastore.NewTopic{Name: fmt.Sprintf("topic-%03d", i), Partitions: 100, ReplicationFactor: 3})
		if err != nil {
			b.Fatal(err)
		}
	}
	var members *cluster.Membership
	for i, zone := range []string{"b", "c", "a"} { // the last one is ours
		members = cluster.New(store, metastore.Broker{NodeID: metastore.NodeID(i), Host: "broker.example.com", Port: 9092, Zone: zone}, cluster.Options{Lease: time.Hour})
		if err := members.Join(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	defaults, err := settings.NewCluster(nil)
	if err != nil {
		b.Fatal(err)
	}
	return New(Deps{Topics: replica, Membership: members, Settings: settings.NewLive(defaults, replica)})
}

func allTopics() *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 13
	return req
}

// BenchmarkMetadata answers for all topics of a cluster of 20,000 partitions.
func BenchmarkMetadata(b *testing.B) {
	b.Run("encoded", func(b *testing.B) {
		large := largeCluster(b)
		size := 0
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			size = len(metadataResponse{large.metadataFor(b.Context(), new(wire.Conn), "b", allTopics())}.AppendTo(nil))
		}
		b.ReportMetric(float64(size), "bytes/answer")
	})
	for _, clients := range []int{1, 8} {
		b.Run(fmt.Sprintf("over_TCP_%d_clients", clients), func(b *testing.B) { benchmarkMetadataOverTCP(b, clients) })
	}
}

func benchmarkMetadataOverTCP(b *testing.B, clients int) {
	srv, err := wire.NewServer(largeCluster(b).Routes(), wire.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), ln, &wire.Endpoint{Name: "PLAINTEXT"}) }()
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench,zone=b")).AppendRequest(nil, allTopics(), 1)
	times := make([][]time.Duration, clients)
	var group sync.WaitGroup
	b.ResetTimer()
	for c := range clients {
		group.Go(func() {
			for range (b.N + clients - 1) / clients {
				times[c] = append(times[c], askOnce(b, ln.Addr().String(), frame))
			}
		})
	}
	group.Wait()
	b.StopTimer()
	all := slices.Concat(times...)
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[(len(all)-1)*99/100].Microseconds())/1000, "p99-ms")
	if err := srv.Shutdown(context.Background()); err != nil {
		b.Error(err)
	}
	<-served
}

// askOnce sends a request on a connection of its own, and takes the time until the last byte of the answer.
func askOnce(b *testing.B, address string, frame []byte) time.Duration {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return 0
	}
	defer conn.Close()
	begun := time.Now()
	var size [4]byte
	if _, err = conn.Write(frame); err == nil {
		_, err = io.ReadFull(conn, size[:])
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:])))
	}
	if err != nil {
		b.Error(err)
	}
	return time.Since(begun)
}
