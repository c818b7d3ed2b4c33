package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/metastore"
)

// BenchmarkMetadataTopic makes the answer for a topic of 1,000 partitions.
func BenchmarkMetadataTopic(b *testing.B) {
	for _, brokers := range []int{1, 3, 12} {
		b.Run(fmt.Sprintf("%d_brokers", brokers), func(b *testing.B) {
			live := make([]metastore.Broker, brokers)
			for i := range live {
				live[i].NodeID = metastore.NodeID(i)
			}
			topic := &metastore.Topic{Name: "t", Partitions: 1000, ReplicationFactor: 3}
			var answer kmsg.MetadataResponseTopic
			b.ReportAllocs()
			for range b.N {
				answer = metadataTopic(topic, cluster.Place(live, ""))
			}
			if len(answer.Partitions) != 1000 {
				b.Fatal("partitions are missing")
			}
		})
	}
}
