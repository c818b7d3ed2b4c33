package batching

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
)

func TestLossesAreForgottenInTime(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	var l losses
	lost := func(id int64) []part {
		return []part{{batches: []segment.Batch{{ProducerID: id, BaseSequence: 0}}}}
	}
	l.add(lost(1), start)
	l.add(lost(2), start.Add(lossMemory/2))
	refused := [][]metastore.BatchResult{{{Verdict: metastore.OutOfOrderSequence}}}
	remembered := func(id metastore.ProducerID) bool {
		_, ok := l.of[lostFrom{producer: id}]
		return ok
	}
	l.settled(lost(3), refused, start.Add(lossMemory/2))
	if !remembered(1) || !remembered(2) {
		t.Error("a loss is forgotten before its time")
	}
	l.settled(lost(3), refused, start.Add(lossMemory+lossPrune))
	if remembered(1) || !remembered(2) {
		t.Errorf("what is too old is remembered (%v), or what is not is forgotten (%v)", remembered(1), !remembered(2))
	}
	c := metastore.SegmentCommit{Runs: []metastore.RunCommit{{Batches: []metastore.BatchCommit{{ProducerID: 2, BaseSequence: 5}}}}}
	l.mark(&c, start.Add(lossMemory*2))
	if c.Runs[0].Batches[0].AfterLoss {
		t.Error("a loss counts that is too old and not yet forgotten")
	}
	l.settled(lost(2), [][]metastore.BatchResult{{{Verdict: metastore.Accepted}}}, start.Add(lossMemory+lossPrune))
	if remembered(2) {
		t.Error("a producer that the log knows now is remembered")
	}
}

// With transactions a producer raises its epoch often; uploads fail in any order.
func TestALateLossOfAnEarlierEpochDoesNotHideALaterOne(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	lost := func(epoch int16, sequence int32) []part {
		return []part{{batches: []segment.Batch{{ProducerID: 1, ProducerEpoch: epoch, BaseSequence: sequence}}}}
	}
	var l losses
	l.add(lost(6, 0), now)
	l.add(lost(5, 30), now)
	marked := func(epoch metastore.ProducerEpoch, sequence int32, at time.Time) bool {
		c := metastore.SegmentCommit{Runs: []metastore.RunCommit{{Batches: []metastore.BatchCommit{{ProducerID: 1, ProducerEpoch: epoch, BaseSequence: sequence}}}}}
		l.mark(&c, at)
		return c.Runs[0].Batches[0].AfterLoss
	}
	if !marked(6, 10, now) {
		t.Error("the batch after a lost one may take its place")
	}
	later := now.Add(lossMemory)
	l.add(lost(5, 40), later)
	if marked(6, 10, later) || !marked(5, 50, later) {
		t.Error("what is too old counts before what is not")
	}
}
