package metastore_test

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// TestOffsetsThatAreLateDoNotReplaceNewerOnesOfTheTransaction: a broker that sequences for others is slow, who asked has it
// decided elsewhere, is answered, and commits more; then the first request is decided once more. The records in between
// would be processed twice by a transaction that is committed.
func TestOffsetsThatAreLateDoNotReplaceNewerOnesOfTheTransaction(t *testing.T) {
	b := newTxnBench(t, 2)
	g, err := b.store.ClaimGroup(t.Context(), "g", 0)
	if err != nil {
		t.Fatal(err)
	}
	p := b.init("app")
	commit := func(offset metastore.Offset) metastore.CommitTxnOffsets {
		x, _ := b.TransactionHead("app")
		return metastore.CommitTxnOffsets{
			ID: "app", Producer: p.Producer, Epoch: p.Epoch, Group: "g", Claim: g.Epoch, Implicit: true, Number: x.Number, AsOf: x.AsOf,
			Offsets: []metastore.CommittedOffset{{TopicPartition: b.tp(0), TopicName: "t", Offset: offset}},
		}
	}
	late := commit(10)
	b.must(late)
	b.must(commit(20))
	b.refused(late, metastore.ErrTxnMoved)
	if err := b.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := open(t, b.store, metastore.ReplicaOptions{}) // knows only that what it loaded is not newer
	if results, err := other.Transact(t.Context(), []metastore.TxnRequest{late}); err != nil || results[0].Err != metastore.ErrTxnMoved {
		t.Errorf("on a broker that began with a snapshot: %+v, %v", results, err)
	}
	both := b.transact(commit(30), commit(25)) // neither has heard of the other
	if both[0].Err != nil || both[1].Err != metastore.ErrTxnMoved {
		t.Errorf("at the same time: %+v", both)
	}
	b.write(batch(p, 0, 1, true), 0) // records are no reason to look again
	b.must(commit(40))
	b.must(metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Commit: true, Version: 2, Number: late.Number, Fresh: metastore.NoProducerID})
	if got := b.offsets("g")[b.tp(0)]; got != 40 {
		t.Errorf("committed %d, want 40", got)
	}
	late.Offsets[0].Offset = 50 // nothing is left of it in the next transaction
	p.Epoch++
	b.must(commit(60))
}

// TestAnInitThatIsLateFencesNobody: its producer was answered by another broker, and works.
func TestAnInitThatIsLateFencesNobody(t *testing.T) {
	b := newTxnBench(t, 1)
	init := func() metastore.InitTxn {
		fresh, err := b.NextProducerID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		x, _ := b.TransactionHead("app")
		return metastore.InitTxn{ID: "app", Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh, AsOf: x.AsOf}
	}
	for _, state := range []string{"unknown", "known", "ongoing"} {
		late := init()
		p := b.must(late)
		if state != "known" {
			b.wantVerdict(b.write(batch(p, 0, 1, true), 0), metastore.Accepted, map[string]metastore.Offset{"unknown": 0, "ongoing": 2}[state])
		}
		b.refused(late, metastore.ErrTxnMoved)
		end := metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Version: 2, Number: b.number("app"), Fresh: metastore.NoProducerID}
		b.must(end)
		b.refused(late, metastore.ErrTxnMoved)
	}
	if again := b.must(init()); again.Epoch != 6 {
		t.Errorf("epoch %d, want 6", again.Epoch)
	}
	both := b.transact(init(), init())
	if both[0].Err != nil || both[1].Err != metastore.ErrTxnMoved {
		t.Errorf("at the same time: %+v", both)
	}
}
