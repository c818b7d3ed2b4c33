package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTallyNoticesBrokersThatDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tally := newTally("t")
		stalled := make(chan time.Time, 1)
		go tally.watch(ctx, func() { stalled <- time.Now() })

		time.Sleep(10 * patience) // nothing waits: a silent terminal is no stall
		tally.sent()
		tally.sent()
		time.Sleep(patience - time.Second)
		tally.add(&kgo.Record{}, nil) // slow, but it goes on
		last := time.Now()
		time.Sleep(patience - time.Second)
		synctest.Wait()
		if len(stalled) > 0 {
			t.Fatal("gave up although records were answered")
		}
		if waited := (<-stalled).Sub(last); waited < patience || waited > patience+2*time.Second {
			t.Errorf("gave up after %v, patience is %v", waited, patience)
		}
	})
}

func TestTallyCounts(t *testing.T) {
	tally := newTally("t")
	for i := range 3 {
		tally.sent()
		tally.add(&kgo.Record{Partition: int32(i % 2), Offset: int64(10 + i), Key: []byte("k"), Value: []byte("vv")}, nil)
	}
	tally.sent()
	if !tally.add(&kgo.Record{}, context.DeadlineExceeded) || tally.add(&kgo.Record{}, context.DeadlineExceeded) {
		t.Error("the first failure, and it alone, ends the command")
	}
	j := tally.json()
	if j.Records != 3 || j.Bytes != 9 || j.Failed != 2 || len(j.Partitions) != 2 || *j.Partitions[0] != (spanJSON{Partition: 0, Records: 2, First: 10, Last: 12}) {
		t.Errorf("%+v %+v", j, j.Partitions[0])
	}
}
