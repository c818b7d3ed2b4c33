package main

import "github.com/twmb/franz-go/pkg/kgo"

// choosePartition takes the partition that a record names and else chooses as Kafka's own producer does, by key.
func choosePartition() kgo.Partitioner {
	byKey := kgo.StickyKeyPartitioner(nil)
	return &partitioner{byKey}
}

type partitioner struct{ byKey kgo.Partitioner }

func (p *partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return &topicPartitioner{p.byKey.ForTopic(topic)}
}

// topicPartitioner takes Record.Partition if it is not negative.
type topicPartitioner struct{ byKey kgo.TopicPartitioner }

func (t *topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || t.byKey.RequiresConsistency(r)
}

func (t *topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition) // one that does not exist fails the record
	}
	return t.byKey.Partition(r, n)
}

func (t *topicPartitioner) OnNewBatch() {
	if o, ok := t.byKey.(kgo.TopicPartitionerOnNewBatch); ok {
		o.OnNewBatch()
	}
}
