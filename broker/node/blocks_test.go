package node

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestABrokerWithHardlyAnyCacheReads has brokers whose memory.cache has no room for a block, with and without others.
func TestABrokerWithHardlyAnyCacheReads(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]map[string]string{
		"none":                  {"memory.cache": "0"},
		"less than a block":     {"memory.cache": "1MiB"},
		"none, in a zone":       {"memory.cache": "0", "peer.listen": "127.0.0.1:0", "peer.secret": "a secret of the tests alone"},
		"few blocks, in a zone": {"memory.cache": "4MiB", "peer.listen": "127.0.0.1:0", "peer.secret": "a secret of the tests alone"},
	} {
		t.Run(name, func(t *testing.T) {
			n, _ := startWith(t, memoryStores(), keys)
			eventually(t, "the node is ready", func() bool { return n.Ready() == "" })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := kadm.NewClient(client(t, n)).CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
				t.Fatal(err)
			}
			c := client(t, n, kgo.DefaultProduceTopic("t"), kgo.ConsumeTopics("t"))
			if err := c.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
				t.Fatal(err)
			}
			fetches := c.PollFetches(ctx)
			if records := fetches.Records(); fetches.Err() != nil || len(records) != 1 || string(records[0].Value) != "x" {
				t.Errorf("%v: %v", records, fetches.Err())
			}
		})
	}
}
