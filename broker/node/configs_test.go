package node

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// brokerConfigs are those that a node tells of a broker, or of all if there is no id, by name, with their sources.
func brokerConfigs(ctx context.Context, t *testing.T, n *Node, ids ...int32) map[string]string {
	t.Helper()
	described, err := kadm.NewClient(client(t, n)).DescribeBrokerConfigs(ctx, ids...)
	if err != nil || len(described) != 1 || described[0].Err != nil {
		t.Fatal(described, err)
	}
	values := make(map[string]string)
	for _, c := range described[0].Configs {
		values[c.Key] = c.MaybeValue() + "@" + strconv.Itoa(int(c.Source))
	}
	return values
}

func setOnBrokers(ctx context.Context, t *testing.T, n *Node, name, value string, ids ...int32) {
	t.Helper()
	answers, err := kadm.NewClient(client(t, n)).AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, ids...)
	if err != nil || answers[0].Err != nil {
		t.Fatal(answers, err)
	}
}

func TestConfigsAlteredThroughOneNodeActOnAllAndOutliveThem(t *testing.T) {
	t.Parallel()
	stores := memoryStores()
	a, stopA := startWith(t, stores, nil)
	b, stopB := startWith(t, stores, nil)
	eventually(t, "both are in view", func() bool { return len(a.members.Live()) == 2 && len(b.members.Live()) == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := kadm.NewClient(client(t, a)).CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	setOnBrokers(ctx, t, a, "message.max.bytes", "500")
	self := int32(b.members.Self().NodeID)
	if got := brokerConfigs(ctx, t, b, self)["message.max.bytes"]; got != "500@3" {
		t.Errorf("asked at once, the other node tells %q", got)
	}
	for name, n := range map[string]*Node{"the node that was asked": a, "the other": b} {
		producer := client(t, n, kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()))
		err := producer.ProduceSync(ctx, &kgo.Record{Value: []byte(strings.Repeat("x", 1000))}).FirstErr()
		if !errors.Is(err, kerr.MessageTooLarge) {
			t.Errorf("a large record through %s: %v", name, err)
		}
	}
	setOnBrokers(ctx, t, b, "message.max.bytes", "5000", self)
	if all, own := brokerConfigs(ctx, t, b)["message.max.bytes"], brokerConfigs(ctx, t, b, self)["message.max.bytes"]; all != "500@3" || own != "5000@2" {
		t.Errorf("all have %q, the other node has %q", all, own)
	}
	if got := brokerConfigs(ctx, t, a, int32(a.members.Self().NodeID))["message.max.bytes"]; got != "500@3" {
		t.Errorf("the first node has %q", got)
	}
	stopA()
	stopB()
	c, _ := startWith(t, stores, nil)
	eventually(t, "a node from later is ready", func() bool { return c.Ready() == "" })
	if got := brokerConfigs(ctx, t, c)["message.max.bytes"]; got != "500@3" {
		t.Errorf("a node from later tells %q", got)
	}
}

func TestMostConnectionsCanBeChangedLive(t *testing.T) {
	for _, setting := range []string{"max.connections", "max.connections.per.ip"} {
		t.Run(setting, func(t *testing.T) {
			n, _ := startWith(t, memoryStores(), nil)
			eventually(t, "ready", func() bool { return n.Ready() == "" })
			setOnBrokers(t.Context(), t, n, setting, "1") // its own connections stay
			conn, err := net.Dial("tcp", n.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("one connection too many: %v", err)
			}
		})
	}
}
