package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// describeConsumerGroup tells of a group of the consumer protocol (KIP-848), which a broker tells classic groups apart from;
// one that does not know the protocol has no such groups.
func describeConsumerGroup(ctx context.Context, admin *kadm.Client, name string) (groupJSON, error) {
	described, err := admin.DescribeConsumerGroups(ctx, name)
	d, ok := described[name]
	if err != nil || !ok {
		return groupJSON{}, kerr.GroupIDNotFound
	}
	if d.Err != nil {
		return groupJSON{}, d.Err
	}
	committed, err := admin.FetchOffsets(ctx, name)
	if err != nil {
		return groupJSON{}, err
	}
	topics := d.AssignedPartitions()
	committed.Each(func(o kadm.OffsetResponse) { topics.Add(o.Topic, o.Partition) })
	var starts, ends kadm.ListedOffsets
	if names := topics.Topics(); len(names) > 0 {
		if starts, err = admin.ListStartOffsets(ctx, names...); err != nil {
			return groupJSON{}, err
		}
		if ends, err = admin.ListEndOffsets(ctx, names...); err != nil {
			return groupJSON{}, err
		}
	}
	g := groupJSON{Group: name, Type: "consumer", State: d.State, Protocol: d.AssignorName, Coordinator: d.Coordinator.NodeID,
		Members: []memberJSON{}, Partitions: []groupShareJSON{}}
	for _, m := range d.Members {
		g.Members = append(g.Members, memberJSON{m.MemberID, m.InstanceID, m.ClientID, m.ClientHost})
	}
	for _, t := range topics.Sorted() {
		for _, p := range t.Partitions {
			share := consumerShare(t.Topic, p, committed, starts, ends)
			for _, m := range d.Members {
				if m.Assignment.Lookup(t.Topic, p) {
					share.Member, share.Client = m.MemberID, m.ClientID
				}
			}
			g.Lag += max(share.Lag, 0)
			g.Partitions = append(g.Partitions, share)
		}
	}
	return g, nil
}

// consumerShare is a group's place in a partition, of which only offsets are known: without a commit it lags by all records.
func consumerShare(topic string, partition int32, committed kadm.OffsetResponses, starts, ends kadm.ListedOffsets) groupShareJSON {
	share := groupShareJSON{Topic: topic, Partition: partition, Committed: -1, End: -1, Lag: -1}
	if c, ok := committed.Lookup(topic, partition); ok && c.Err == nil {
		share.Committed = c.At
	}
	end, ok := ends.Lookup(topic, partition)
	if !ok {
		return share
	}
	if end.Err != nil {
		share.Error = end.Err.Error()
		return share
	}
	share.End = end.Offset
	if start, ok := starts.Lookup(topic, partition); ok && start.Err == nil {
		share.Lag = max(share.End-max(share.Committed, start.Offset), 0)
	}
	return share
}
