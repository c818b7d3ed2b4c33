package secure

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestClientsStayWithTheirListener: whatever a client asks, it is told of brokers where its listener has them, and nowhere else.
func TestClientsStayWithTheirListener(t *testing.T) {
	c := openCluster(t, clusterOptions{})
	c.user("root", password)
	c.letAll("of-alice", aliceByCertificate)
	c.rules(allow(kmsg.ACLResourceTypeCluster, "kafka-cluster", kmsg.ACLResourcePatternTypeLiteral, aliceByCertificate, kmsg.ACLOperationDescribe))
	c.topic("of-alice", 4)
	java := javaClient{speakerOf(t, javaSpeaker)}
	for listener, l := range map[string]login{
		open:      {protocol: "PLAINTEXT"},
		sasl:      {protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-256", user: "root", password: password},
		encrypted: {protocol: "SASL_SSL", mechanism: "SCRAM-SHA-256", user: "root", password: password, authority: c.trusted.Certificate},
		mutual:    {protocol: "SSL", authority: c.trusted.Certificate, pair: c.issue(c.trusted, alice, time.Now().Add(time.Hour))},
	} {
		t.Run(listener, func(t *testing.T) {
			own := strings.Split(c.at(listener), ",")
			slices.Sort(own)
			for _, b := range c.brokers { // each tells of both
				l.bootstrap = b.Listeners[listener]
				a, err := java.ask(within(t, clientTimeout), request{"op": "nodes", "config": java.config(l, nil)})
				if err != nil {
					t.Fatal(err)
				}
				if told := slices.Sorted(slices.Values(a.Nodes)); !slices.Equal(told, own) {
					t.Errorf("Java's administrator is told of %v, want %v", told, own)
				}
				for what, told := range c.told(t, l) {
					for _, address := range told {
						if !slices.Contains(own, address) {
							t.Errorf("%s tells of %s, which is not of %v", what, address, own)
						}
					}
					if len(told) == 0 {
						t.Errorf("%s tells of no broker", what)
					}
				}
			}
		})
	}
}

// told are the addresses in all answers that have some.
func (c *cluster) told(t *testing.T, l login) map[string][]string {
	t.Helper()
	client := c.client(l)
	broker := client.SeedBrokers()[0]
	told := make(map[string][]string)
	note := func(what, host string, port int32) {
		told[what] = append(told[what], fmt.Sprintf("%s:%d", host, port))
	}
	metadata := kmsg.NewPtrMetadataRequest()
	cluster := kmsg.NewPtrDescribeClusterRequest()
	coordinator := kmsg.NewPtrFindCoordinatorRequest()
	coordinator.CoordinatorKeys = []string{"a", "b", "c", "d", "e", "f"}
	for _, req := range []kmsg.Request{metadata, cluster, coordinator} {
		resp, err := broker.RetriableRequest(within(t, 20*time.Second), req)
		if err != nil {
			t.Fatal(err)
		}
		switch resp := resp.(type) {
		case *kmsg.MetadataResponse:
			for _, b := range resp.Brokers {
				note("Metadata", b.Host, b.Port)
			}
		case *kmsg.DescribeClusterResponse:
			for _, b := range resp.Brokers {
				note("DescribeCluster", b.Host, b.Port)
			}
		case *kmsg.FindCoordinatorResponse:
			for _, b := range resp.Coordinators {
				note("FindCoordinator", b.Host, b.Port)
			}
		}
	}
	return told
}
