package main

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestAbortedBatch(t *testing.T) {
	batch := func(first, producer int64, attributes int16) []byte {
		records := make([]byte, 20)
		return (&kmsg.RecordBatch{FirstOffset: first, Length: int32(49 + len(records)), Magic: 2, Attributes: attributes, ProducerID: producer, NumRecords: 1, Records: records}).AppendTo(nil)
	}
	aborted := []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: 40}, {ProducerID: 8, FirstOffset: 60}}
	for _, tc := range []struct {
		name    string
		records []byte
		first   int64
		aborted bool
	}{
		{"aborted", batch(50, 7, 0x10), 50, true},
		{"aborted, more follows", append(batch(40, 7, 0x10), batch(41, 9, 0)...), 40, true},
		{"committed", batch(50, 9, 0x10), 0, false},
		{"committed, before another that is aborted", batch(50, 8, 0x10), 0, false},
		{"in no transaction", batch(50, 7, 0), 0, false},
		{"marker", batch(50, 7, 0x30), 0, false},
		{"nothing", nil, 0, false},
		{"cut short", batch(50, 7, 0x10)[:70], 0, false},
	} {
		first, is := abortedBatch(&kmsg.FetchResponseTopicPartition{RecordBatches: tc.records, AbortedTransactions: aborted})
		if first != tc.first || is != tc.aborted {
			t.Errorf("%s: first offset %d, %v", tc.name, first, is)
		}
	}
}
