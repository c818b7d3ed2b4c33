package workload

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/history"
)

// untimer writes records without times, one at a time, through any broker. The client library gives a record up by its time, so that it
// cannot send such.
type untimer struct{ *worker }

// write runs until load ends.
func (u *untimer) write(ctx, load context.Context) error {
	if !u.variant.untimed && !u.variant.unaged {
		return nil
	}
	byName := byNames()
	byName.SetMaxKeyVersion(int16(kmsg.Produce), 12)
	var probes []*probe
	defer func() { abandonAll(probes) }()
	for i, address := range u.Brokers {
		c, err := u.newClient(ctx, fmt.Sprintf("untimer-%d", i), kgo.SeedBrokers(address), kgo.MaxVersions(byName))
		if err != nil {
			return err
		}
		probes = append(probes, &probe{client: c, address: address})
	}
	u.admin = probes[0].client
	for u.think(load) {
		key := u.keys.used()[u.rand.IntN(len(u.keys.used()))]
		p := partitionOf(key)
		if !u.untimed(p.Topic) || !u.topicExists(ctx, p.Topic) {
			continue
		}
		record := history.Record{Partition: p, Offset: -1, Key: key, Value: u.value(), Timestamp: -1}
		if kindOfTopic(p.Topic).keyed() {
			record.Key, record.Tombstone = u.keyIn(key), u.chance(20)
		}
		limited, cancel := context.WithTimeout(ctx, u.Operation)
		u.worker.write(limited, "untimer", probes[u.rand.IntN(len(probes))], record)
		cancel()
	}
	return nil
}
