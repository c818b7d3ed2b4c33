package mover

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is the n-th record of what is to be moved; they go round the partitions.
func Record(topic string, n, partitions int) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: int32(n % partitions), Value: []byte(strconv.Itoa(n))}
}

// Check compares what a reader of committed records found with the first n records: each there once, and in their order.
func Check(moved []*kgo.Record, n, partitions int) error {
	next := make([]int, partitions)
	for i := range next {
		next[i] = i
	}
	for _, r := range moved {
		if int(r.Partition) >= partitions {
			return fmt.Errorf("a record in partition %d of %d", r.Partition, partitions)
		}
		want := next[r.Partition]
		if string(r.Value) != strconv.Itoa(want) {
			return fmt.Errorf("partition %d, offset %d: record %.20q where %d is due: lost, moved twice or out of order", r.Partition, r.Offset, r.Value, want)
		}
		next[r.Partition] += partitions
	}
	if len(moved) != n {
		return fmt.Errorf("%d records are moved, there were %d", len(moved), n)
	}
	return nil
}
