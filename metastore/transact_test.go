package metastore_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// txnBench is a replica with a topic of some partitions, and what tests of transactions do with it.
type txnBench struct {
	*testing.T
	*metastore.Replica
	store *memory.Store
	topic *metastore.Topic
}

func newTxnBench(t *testing.T, partitions int32) *txnBench {
	store := memory.New(memory.Options{})
	r := open(t, store, metastore.ReplicaOptions{})
	return &txnBench{T: t, Replica: r, store: store, topic: createTopic(t, r, "t", partitions)}
}

func (b *txnBench) tp(partition int32) metastore.TopicPartition {
	return metastore.TopicPartition{Topic: b.topic.ID, Partition: partition}
}

func (b *txnBench) transact(requests ...metastore.TxnRequest) []metastore.TxnResult {
	b.Helper()
	results, err := b.Transact(b.Context(), requests)
	if err != nil {
		b.Fatal(err)
	}
	return results
}

// must makes one request that succeeds.
func (b *txnBench) must(r metastore.TxnRequest) metastore.TxnResult {
	b.Helper()
	x := b.transact(r)[0]
	if x.Err != nil {
		b.Fatalf("%+v: %v", r, x.Err)
	}
	return x
}

// refused makes one request that fails so.
func (b *txnBench) refused(r metastore.TxnRequest, want error) {
	b.Helper()
	x := b.transact(r)[0]
	if !errors.Is(x.Err, want) || x.Producer != metastore.NoProducerID || x.Epoch != -1 {
		b.Errorf("%+v: %+v, want %v", r, x, want)
	}
}

func (b *txnBench) init(id string) metastore.TxnResult {
	b.Helper()
	fresh, err := b.NextProducerID(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return b.must(metastore.InitTxn{ID: id, Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: fresh})
}

func (b *txnBench) number(id string) metastore.TxnNumber {
	x, _ := b.Transaction(id)
	return x.Number
}

// batch is a batch of a producer: implicit as version 2 sends it, or of a transaction that has the partition.
func batch(of metastore.TxnResult, sequence, records int32, implicit bool) metastore.BatchCommit {
	return metastore.BatchCommit{
		Length: 100, Records: records, MaxTimestamp: 5, ProducerID: of.Producer, ProducerEpoch: of.Epoch,
		BaseSequence: sequence, Transactional: true, Implicit: implicit,
	}
}

// write commits one segment with one batch to each of the partitions and returns the first result.
func (b *txnBench) write(x metastore.BatchCommit, partitions ...int32) metastore.BatchResult {
	b.Helper()
	c := metastore.SegmentCommit{ID: metastore.NewSegmentID(time.Now()), Size: 1 << 20}
	for _, p := range partitions {
		c.Runs = append(c.Runs, metastore.RunCommit{TopicPartition: b.tp(p), Position: 16 + 100*uint32(p), Batches: []metastore.BatchCommit{x}})
	}
	res, err := b.Commit(b.Context(), []metastore.SegmentCommit{c})
	if err != nil {
		b.Fatal(err)
	}
	return res[0].Runs[0][0]
}

func (b *txnBench) wantMarks(partition int32, logStart, stable, high metastore.Offset) {
	b.Helper()
	want := metastore.Watermarks{LogStart: logStart, Stable: stable, High: high}
	if w, _ := b.Watermarks(b.tp(partition)); w != want {
		b.Errorf("partition %d: %+v, want %+v", partition, w, want)
	}
}

func (b *txnBench) wantVerdict(r metastore.BatchResult, verdict metastore.Verdict, offset metastore.Offset) {
	b.Helper()
	if r.Verdict != verdict || r.Offset != offset {
		b.Errorf("verdict %d at %d, want %d at %d", r.Verdict, r.Offset, verdict, offset)
	}
}

func (b *txnBench) offsets(group string) map[metastore.TopicPartition]metastore.Offset {
	b.Helper()
	rows, err := b.store.FetchOffsets(b.Context(), group, nil)
	if err != nil {
		b.Fatal(err)
	}
	found := make(map[metastore.TopicPartition]metastore.Offset)
	for _, o := range rows {
		found[o.TopicPartition] = o.Offset
	}
	return found
}

func TestTransactionOfVersion2EndsInAllPartitionsAtOnce(t *testing.T) {
	b := newTxnBench(t, 3)
	p := b.init("app")
	b.wantVerdict(b.write(batch(p, 0, 4, true), 0, 1), metastore.Accepted, 0)
	b.wantMarks(0, 0, 0, 4)
	x, _ := b.Transaction("app")
	if x.State != metastore.TxnOngoing || x.Version != 2 || !reflect.DeepEqual(x.Partitions, []metastore.TopicPartition{b.tp(0), b.tp(1)}) || x.StartedAt.IsZero() {
		t.Errorf("transaction %+v", x)
	}
	if _, runs, aborted, err := b.CommittedRuns(b.tp(0), 0, 1000); err != nil || len(runs) != 0 || len(aborted) != 0 {
		t.Errorf("undecided records can be read: %v, %v (%v)", runs, aborted, err)
	}
	end := metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Commit: true, Version: 2, Number: x.Number, Fresh: metastore.NoProducerID}
	raised := b.must(end)
	if raised != (metastore.TxnResult{Producer: p.Producer, Epoch: p.Epoch + 1}) {
		t.Errorf("producer after the end %+v", raised)
	}
	if again := b.must(end); again != raised {
		t.Errorf("asked again: %+v, want %+v", again, raised)
	}
	end.Commit = false
	b.refused(end, metastore.ErrTxnState)
	for _, partition := range []int32{0, 1} {
		b.wantMarks(partition, 0, 5, 5)
		_, runs, _, err := b.CommittedRuns(b.tp(partition), 0, 1000)
		if err != nil || len(runs) != 2 || runs[1].Marker == nil || *runs[1].Marker != (metastore.Marker{Producer: p.Producer, Epoch: p.Epoch + 1, Commit: true}) ||
			runs[1].Base != 4 || runs[1].Records != 1 || runs[1].Length != metastore.MarkerBytes {
			t.Errorf("partition %d: runs %+v (%v)", partition, runs, err)
		}
	}
	b.wantMarks(2, 0, 0, 0)
	b.wantVerdict(b.write(batch(p, 4, 1, true), 0), metastore.StaleProducerEpoch, metastore.NoOffset)
	b.wantVerdict(b.write(batch(raised, 4, 1, true), 0), metastore.OutOfOrderSequence, metastore.NoOffset)
	b.wantVerdict(b.write(batch(raised, 0, 1, true), 0), metastore.Accepted, 5)
}

func TestTransactionOfVersion1WantsItsPartitionsFirst(t *testing.T) {
	b := newTxnBench(t, 2)
	p := b.init("app")
	b.wantVerdict(b.write(batch(p, 0, 2, false), 0), metastore.InvalidTxnState, metastore.NoOffset)
	add := metastore.AddToTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Partitions: []metastore.TopicPartition{b.tp(0)}, Number: b.number("app")}
	b.must(add)
	b.must(add)
	b.wantVerdict(b.write(batch(p, 0, 2, false), 1), metastore.InvalidTxnState, metastore.NoOffset)
	b.wantVerdict(b.write(batch(p, 7, 2, false), 0), metastore.Accepted, 0) // KIP-360
	b.wantVerdict(b.write(batch(p, 7, 2, false), 0), metastore.Duplicate, 0)
	plain := batch(p, 9, 1, false)
	plain.Transactional = false
	b.wantVerdict(b.write(plain, 0), metastore.InvalidTxnState, metastore.NoOffset)
	end := metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Version: 1, Number: 0}
	if x := b.must(end); x != p {
		t.Errorf("producer after the end %+v, want %+v", x, p)
	}
	b.must(end)
	b.wantMarks(0, 0, 3, 3)
	b.refused(add, metastore.ErrTxnMoved)
	b.wantVerdict(b.write(batch(p, 7, 2, false), 0), metastore.InvalidTxnState, metastore.NoOffset) // late
	b.wantVerdict(b.write(plain, 0), metastore.Accepted, 3)
	_, runs, aborted, err := b.CommittedRuns(b.tp(0), 0, 1000)
	if want := []metastore.AbortedTxn{{Producer: p.Producer, First: 0, Last: 2}}; err != nil || len(runs) != 3 || !reflect.DeepEqual(aborted, want) {
		t.Errorf("runs %+v, aborted %+v (%v)", runs, aborted, err)
	}
	if _, _, aborted, _ := b.CommittedRuns(b.tp(0), 3, 1000); len(aborted) != 0 {
		t.Errorf("aborted past the marker: %+v", aborted)
	}
	// The next transaction, and a late end of the first.
	add.Number = b.number("app")
	b.must(add)
	b.wantVerdict(b.write(batch(p, 10, 1, false), 0), metastore.Accepted, 4)
	b.refused(end, metastore.ErrTxnMoved) // whoever is told that it is done would believe it of the second
	end.Commit = true
	b.refused(end, metastore.ErrTxnMoved)
	b.wantMarks(0, 0, 4, 5)
	end.Number = 1
	b.must(end)
	b.wantMarks(0, 0, 6, 6)
	end.Number = 0
	b.refused(end, metastore.ErrTxnMoved)
}

func TestOffsetsOfATransactionBecomeTheGroupsWhenItCommits(t *testing.T) {
	b := newTxnBench(t, 2)
	claim, err := b.store.ClaimGroup(t.Context(), "g", 1)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_760_000_000_000)
	commit := func(p metastore.TxnResult, offset metastore.Offset, number metastore.TxnNumber) metastore.CommitTxnOffsets {
		return metastore.CommitTxnOffsets{
			ID: "app", Producer: p.Producer, Epoch: p.Epoch, Group: "g", Claim: claim.Epoch, Implicit: true, Number: number,
			Offsets: []metastore.CommittedOffset{{TopicPartition: b.tp(0), TopicName: "t", Offset: offset, LeaderEpoch: -1, CommittedAt: at}},
		}
	}
	p := b.init("app")
	b.must(commit(p, 10, 0))
	b.must(commit(p, 20, 0))
	if !b.OffsetsPending("g", b.tp(0)) || b.OffsetsPending("g", b.tp(1)) || !b.GroupPending("g") || b.GroupPending("h") {
		t.Error("pending offsets are not those that the transaction holds")
	}
	p = b.must(metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Version: 2, Fresh: metastore.NoProducerID})
	if got := b.offsets("g"); len(got) != 0 || b.GroupPending("g") {
		t.Errorf("offsets of an aborted transaction: %v", got)
	}
	b.must(commit(p, 30, 1))
	p = b.must(metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Version: 2, Commit: true, Number: 1, Fresh: metastore.NoProducerID})
	if got := b.offsets("g"); got[b.tp(0)] != 30 || b.OffsetsPending("g", b.tp(0)) {
		t.Errorf("offsets of a committed transaction: %v", got)
	}
	// Another coordinator has the group: its offsets are refused, and no other request of the call.
	if _, err := b.store.ClaimGroup(t.Context(), "g", 2); err != nil {
		t.Fatal(err)
	}
	before := b.Position()
	x := b.transact(commit(p, 40, 2), metastore.AddToTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Groups: []string{"h"}, Number: 2})
	if !errors.Is(x[0].Err, metastore.ErrFenced) || x[1].Err != nil || b.Position().Seq != before.Seq+1 || b.GroupPending("g") {
		t.Errorf("under an old claim: %+v", x)
	}
}

func TestInitAbortsWhatIsOpenAndFencesItsProducer(t *testing.T) {
	b := newTxnBench(t, 1)
	p := b.init("app")
	b.write(batch(p, 0, 3, true), 0)
	next := b.init("app")
	if next != (metastore.TxnResult{Producer: p.Producer, Epoch: p.Epoch + 1}) {
		t.Errorf("new instance: %+v after %+v", next, p)
	}
	b.wantMarks(0, 0, 4, 4)
	b.refused(metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Commit: true, Version: 2, Number: 1}, metastore.ErrTxnFenced)
	b.wantVerdict(b.write(batch(p, 3, 1, true), 0), metastore.StaleProducerEpoch, metastore.NoOffset)
	b.wantVerdict(b.write(batch(next, 0, 1, true), 0), metastore.Accepted, 4)
}

func TestTransactionOfADeletedTopicStillEnds(t *testing.T) {
	b := newTxnBench(t, 1)
	gone := createTopic(t, b.Replica, "gone", 2)
	p := b.init("app")
	b.must(metastore.AddToTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Partitions: []metastore.TopicPartition{b.tp(0), {Topic: gone.ID}, {Topic: gone.ID, Partition: 1}}})
	b.wantVerdict(b.write(batch(p, 0, 1, false), 0), metastore.Accepted, 0)
	kept := b.topic
	b.topic = gone
	b.wantVerdict(b.write(batch(p, 0, 1, false), 0), metastore.Accepted, 0)
	b.topic = kept
	if err := b.DeleteTopic(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	if x, _ := b.Transaction("app"); len(x.Partitions) != 1 {
		t.Errorf("partitions of a deleted topic are left: %v", x.Partitions)
	}
	b.must(metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Commit: true, Version: 1})
	b.wantMarks(0, 0, 2, 2)
}

func TestBrokerThatIsBehindLooksBeforeItRefuses(t *testing.T) {
	b := newTxnBench(t, 1)
	behind := open(t, b.store, metastore.ReplicaOptions{})
	p := b.init("app")
	x, err := behind.Transact(t.Context(), []metastore.TxnRequest{
		metastore.AddToTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Partitions: []metastore.TopicPartition{b.tp(0)}},
	})
	if err != nil || x[0].Err != nil {
		t.Errorf("%+v (%v)", x, err)
	}
}

// counted counts calls that cost the metastore a statement each.
type counted struct {
	metastore.Log
	appends, others int
	loseAnswers     int // of so many appends
}

func (l *counted) lose(err error) error {
	l.appends++
	if l.loseAnswers > 0 {
		l.loseAnswers--
		return errLost
	}
	return err
}

func (l *counted) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	return l.lose(l.Log.Append(ctx, expected, next))
}

func (l *counted) AppendWith(ctx context.Context, expected metastore.Position, next metastore.Entry, with metastore.GroupChanges) error {
	return l.lose(l.Log.AppendWith(ctx, expected, next, with))
}

func (l *counted) Read(ctx context.Context, after metastore.Position, maxBytes int) ([]metastore.Entry, error) {
	l.others++
	return l.Log.Read(ctx, after, maxBytes)
}

func (l *counted) End(ctx context.Context) (metastore.Seq, error) {
	l.others++
	return l.Log.End(ctx)
}

func TestEndOfATransactionIsOneStatement(t *testing.T) {
	for _, partitions := range []int32{1, 10, 300} {
		b := newTxnBench(t, partitions)
		log := &counted{Log: b.store}
		b.Replica = open(t, log, metastore.ReplicaOptions{})
		claim, err := b.store.ClaimGroup(t.Context(), "g", 1)
		if err != nil {
			t.Fatal(err)
		}
		p := b.init("app")
		var all []int32
		var offsets []metastore.CommittedOffset
		for i := range partitions {
			all = append(all, i)
			offsets = append(offsets, metastore.CommittedOffset{TopicPartition: b.tp(i), Offset: metastore.Offset(i)})
		}
		b.write(batch(p, 0, 1, true), all...)
		b.must(metastore.CommitTxnOffsets{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Group: "g", Claim: claim.Epoch, Offsets: offsets, Implicit: true})
		log.appends, log.others = 0, 0
		b.must(metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Commit: true, Version: 2, Fresh: metastore.NoProducerID})
		if log.appends != 1 || log.others != 0 {
			t.Errorf("%d partitions: %d appends and %d other statements, want one append", partitions, log.appends, log.others)
		}
		if got := b.offsets("g"); len(got) != int(partitions) {
			t.Errorf("%d partitions: %d offsets", partitions, len(got))
		}
	}
}

func TestEndWhoseAnswerWasLostIsSettledByTheLog(t *testing.T) {
	b := newTxnBench(t, 1)
	log := &counted{Log: b.store}
	b.Replica = open(t, log, metastore.ReplicaOptions{})
	claim, err := b.store.ClaimGroup(t.Context(), "g", 1)
	if err != nil {
		t.Fatal(err)
	}
	p := b.init("app")
	b.write(batch(p, 0, 1, true), 0)
	log.appends, log.loseAnswers = 0, 1
	b.must(metastore.CommitTxnOffsets{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Group: "g", Claim: claim.Epoch, Implicit: true,
		Offsets: []metastore.CommittedOffset{{TopicPartition: b.tp(0), Offset: 5}}})
	log.loseAnswers = 1
	if x := b.must(metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Commit: true, Version: 2, Fresh: metastore.NoProducerID}); x.Epoch != p.Epoch+1 {
		t.Errorf("epoch %d after %d", x.Epoch, p.Epoch)
	}
	b.wantMarks(0, 0, 2, 2)
	if got := b.offsets("g"); got[b.tp(0)] != 5 || log.appends != 2 {
		t.Errorf("offsets %v after %d appends", got, log.appends)
	}
}

func TestEndOfATransactionWakesWhoWaitsForItsPartitions(t *testing.T) {
	b := newTxnBench(t, 2)
	p := b.init("app")
	b.write(batch(p, 0, 1, true), 0)
	wrote, other := b.Watch([]metastore.TopicPartition{b.tp(0)}), b.Watch([]metastore.TopicPartition{b.tp(1)})
	defer wrote.Close()
	defer other.Close()
	b.must(metastore.AbortTxn{ID: "app"})
	select {
	case <-wrote.C:
	default:
		t.Error("nobody heard of the marker")
	}
	select {
	case <-other.C:
		t.Error("woken for a partition that did not move")
	default:
	}
}

func TestTransactionalIDIsForgottenUnlessItChanged(t *testing.T) {
	b := newTxnBench(t, 1)
	p := b.init("app")
	forget := metastore.ForgetTxn{ID: "app", Epoch: p.Epoch}
	b.write(batch(p, 0, 1, true), 0)
	b.refused(forget, metastore.ErrTxnState)
	b.must(metastore.AbortTxn{ID: "app"})
	b.refused(forget, metastore.ErrTxnMoved)
	forget.Epoch, forget.Number = p.Epoch+1, 1
	b.must(forget)
	b.must(forget)
	if _, ok := b.Transaction("app"); ok {
		t.Error("not forgotten")
	}
	if again := b.init("app"); again.Producer == p.Producer || again.Epoch != 0 {
		t.Errorf("made again as %+v", again)
	}
	b.wantVerdict(b.write(batch(p, 0, 1, true), 0), metastore.UnknownTxnProducer, metastore.NoOffset)
}

func TestProducersOfAPartitionAreListedWithTheirTransactions(t *testing.T) {
	b := newTxnBench(t, 2)
	a, c := b.init("a"), b.init("c")
	b.write(batch(a, 0, 3, true), 0)
	b.write(batch(c, 0, 2, true), 0)
	b.must(metastore.AbortTxn{ID: "a"})
	got, ok := b.PartitionProducers(b.tp(0))
	for i := range got {
		if got[i].LastSeen.IsZero() {
			t.Error("never seen")
		}
		got[i].LastSeen = time.Time{}
	}
	want := []metastore.PartitionProducer{
		{Producer: a.Producer, Epoch: a.Epoch + 1, LastSequence: -1, TxnStart: -1},
		{Producer: c.Producer, Epoch: c.Epoch, LastSequence: 1, TxnStart: 3},
	}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("producers %+v, want %+v", got, want)
	}
	if none, ok := b.PartitionProducers(b.tp(1)); !ok || len(none) != 0 {
		t.Errorf("producers of a partition that nobody wrote to: %v", none)
	}
	if _, ok := b.PartitionProducers(b.tp(2)); ok {
		t.Error("producers of no partition")
	}
	seen := make(map[string]metastore.TxnState)
	b.Transactions(func(x *metastore.Transaction) bool {
		seen[x.ID] = x.State
		return true
	})
	if want := map[string]metastore.TxnState{"a": metastore.TxnCompleteAbort, "c": metastore.TxnOngoing}; !reflect.DeepEqual(seen, want) {
		t.Errorf("transactional ids %v, want %v", seen, want)
	}
}

// TestWhatChangesNothingIsDecidedOnTheNewestState: a broker that is behind would say that a transaction is committed, and
// mean the one before.
func TestWhatChangesNothingIsDecidedOnTheNewestState(t *testing.T) {
	b := newTxnBench(t, 1)
	p := b.init("app")
	add := metastore.AddToTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Partitions: []metastore.TopicPartition{b.tp(0)}}
	end := metastore.EndTxn{ID: "app", Producer: p.Producer, Epoch: p.Epoch, Commit: true, Version: 1}
	b.must(add)
	b.must(end)
	other := open(t, b.store, metastore.ReplicaOptions{})
	add.Number, end.Number = 1, 1
	if results, err := other.Transact(t.Context(), []metastore.TxnRequest{add}); err != nil || results[0].Err != nil {
		t.Fatal(results, err)
	}
	b.must(end) // here the first is the last that is known, and it is committed
	if err := other.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if x, _ := other.Transaction("app"); x.State != metastore.TxnCompleteCommit || x.Number != 2 {
		t.Errorf("the second: %+v", x)
	}
	// A refusal, too: the producer that asks is the newest.
	now := b.must(metastore.InitTxn{ID: "app", Timeout: time.Minute, Producer: metastore.NoProducerID, Epoch: -1, Fresh: 99})
	begin := metastore.AddToTxn{ID: "app", Producer: now.Producer, Epoch: now.Epoch, Groups: []string{"g"}, Number: b.number("app")}
	if results, err := other.Transact(t.Context(), []metastore.TxnRequest{begin}); err != nil || results[0].Err != nil {
		t.Errorf("%+v, %v", results, err)
	}
}
