package node

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/config"
)

// twoListeners are the keys of a node with two of them.
func twoListeners() map[string]string {
	return map[string]string{
		"listeners.inner.listen": "127.0.0.1:0", "listeners.inner.protocol": "PLAINTEXT",
		"listeners.outer.listen": "127.0.0.1:0", "listeners.outer.protocol": "PLAINTEXT",
	}
}

// clientBy is a client that knows the address of one listener of a node. Every address that it dials goes to dialed.
func clientBy(t *testing.T, n *Node, listener string, dialed chan<- string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	var dialer net.Dialer
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(n.AddrOf(listener).String()), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			select {
			case dialed <- address:
			default: // enough were seen
			}
			return dialer.DialContext(ctx, network, address)
		}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestClientsOfOneListenerNeverSeeAnother produces and consumes through one listener of two nodes.
func TestClientsOfOneListenerNeverSeeAnother(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	a, _ := startWith(t, stores, twoListeners())
	b, _ := startWith(t, stores, twoListeners())
	eventually(t, "both are in view", func() bool {
		return len(a.members.Live()) == 2 && len(b.members.Live()) == 2 && a.Ready()+b.Ready() == ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for _, by := range []string{"INNER", "OUTER"} {
		t.Run(by, func(t *testing.T) {
			own := []string{a.AddrOf(by).String(), b.AddrOf(by).String()}
			slices.Sort(own)
			dialed := make(chan string, 1000)
			c := clientBy(t, a, by, dialed, kgo.DefaultProduceTopic(by), kgo.ConsumeTopics(by), kgo.ConsumerGroup(by),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			admin := kadm.NewClient(c)
			if _, err := admin.CreateTopic(ctx, 16, 2, nil, by); err != nil {
				t.Fatal(err)
			}
			for i := range 32 {
				if err := c.ProduceSync(ctx, &kgo.Record{Partition: int32(i % 16), Value: []byte("v")}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			for n := 0; n < 32; {
				fetches := c.PollFetches(ctx)
				if err := fetches.Err(); err != nil {
					t.Fatal(err)
				}
				n += fetches.NumRecords()
			}
			if err := c.CommitUncommittedOffsets(ctx); err != nil {
				t.Fatal(err)
			}
			metadata, err := admin.BrokerMetadata(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, broker := range metadata.Brokers {
				told = append(told, net.JoinHostPort(broker.Host, strconv.Itoa(int(broker.Port))))
			}
			slices.Sort(told)
			if !slices.Equal(told, own) {
				t.Errorf("told of %v, want %v", told, own)
			}
			c.Close()
			seen := map[string]bool{}
			for len(dialed) > 0 {
				address := <-dialed
				seen[address] = true
				if !slices.Contains(own, address) {
					t.Errorf("dialed %s, which is not of listener %s: %v", address, by, own)
				}
			}
			if len(seen) != 2 {
				t.Errorf("dialed %v, want both nodes", seen)
			}
		})
	}
	values := brokerConfigs(ctx, t, a, int32(a.members.Self().NodeID))
	if got, want := values["listeners"], "INNER://"+a.AddrOf("INNER").String()+",OUTER://"+a.AddrOf("OUTER").String(); !strings.HasPrefix(got, want+"@") {
		t.Errorf("listeners is %q, want %q", got, want)
	}
	if got := values["listener.security.protocol.map"]; !strings.HasPrefix(got, "INNER:PLAINTEXT,OUTER:PLAINTEXT@") {
		t.Errorf("listener.security.protocol.map is %q", got)
	}
	if a.Addr().String() != a.AddrOf("INNER").String() || a.AddrOf("NONE") != nil {
		t.Errorf("addresses: %v, %v", a.Addr(), a.AddrOf("NONE"))
	}
}

// TestEveryListenerEndsWithItsNode stops a node while idle connections of each listener are open.
func TestEveryListenerEndsWithItsNode(t *testing.T) {
	n, stop := startWith(t, memoryStores(), twoListeners())
	eventually(t, "ready", func() bool { return n.Ready() == "" })
	var open []net.Conn
	for _, by := range []string{"INNER", "OUTER"} {
		conn, err := net.Dial("tcp", n.AddrOf(by).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		frame := kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		length := make([]byte, 4)
		if _, err := io.ReadFull(conn, length); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(length))); err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	stop()
	for i, conn := range open {
		if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("connection %d: %d bytes, %v", i, n, err)
		}
	}
	for _, by := range []string{"INNER", "OUTER"} {
		if conn, err := net.Dial("tcp", n.AddrOf(by).String()); err == nil {
			_ = conn.Close()
			t.Errorf("%s still listens", by)
		}
	}
}

func TestNodeThatCannotBindOneListenerBindsNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	keys := twoListeners()
	keys["listeners.inner.listen"], keys["listeners.outer.listen"] = address, taken.Addr().String()
	if n, err := Open(t.Context(), Options{Config: testConfig(t, keys), Stores: memoryStores()}); err == nil {
		n.close()
		t.Fatal("opened")
	}
	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the first listener was left bound: %v", err)
	}
	_ = again.Close()
}

func TestALimitOfAListenerActs(t *testing.T) {
	n, _ := startWith(t, memoryStores(), map[string]string{"cluster.listener.name.plaintext.max.connections": "1"})
	eventually(t, "the broker is ready", func() bool { return n.Ready() == "" })
	first, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	eventually(t, "another one is closed", func() bool {
		c, err := net.Dial("tcp", n.Addr().String())
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = c.Read(make([]byte, 1))
		return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	})
}

// TestTheLimitOfAListenerMayBeSet: listener.name.NAME.max.connections, while the broker runs, beside what it was started with.
func TestTheLimitOfAListenerMayBeSet(t *testing.T) {
	set := 0
	e := endpoint(&config.Listener{Name: "PUBLIC", MaxConnections: 7}, nil, nil, func(listener string) int {
		if listener != "PUBLIC" {
			t.Errorf("asked for %s", listener)
		}
		return set
	})
	if got := e.MaxConnections(); got != 7 {
		t.Errorf("%d connections", got)
	}
	if set = 3; e.MaxConnections() != 3 {
		t.Errorf("%d connections", e.MaxConnections())
	}
}
