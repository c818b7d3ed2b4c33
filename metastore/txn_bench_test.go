package metastore

import (
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"
)

// BenchmarkEndTxn is what a broker does for one transaction that wrote to ten partitions, but for the appends: its commit
// is made ready, its end is decided, encoded and folded.
func BenchmarkEndTxn(b *testing.B) {
	const partitions = 10
	var s *State
	fold := func(c change) int {
		rec := record{time: time.Now().UnixMilli(), nonce: 7, change: c}
		next := s.at.Next(rec.encode())
		s.apply(next.Position, rec, func(TopicPartition) {})
		return len(next.Payload)
	}
	commit := func(epoch ProducerEpoch) {
		in := &SegmentCommit{ID: NewSegmentID(time.Now()), Size: 1 << 20}
		for p := range int32(partitions) {
			in.Runs = append(in.Runs, RunCommit{TopicPartition: TopicPartition{TopicID{1}, p}, Position: uint32(100 * p), Batches: []BatchCommit{
				{Length: 100, Records: 1, ProducerID: 4, ProducerEpoch: epoch, Transactional: true, Implicit: true},
			}})
		}
		c, d := s.decideCommit([]*SegmentCommit{in}, nil)
		d.release()
		fold(c)
	}
	size := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		epoch := ProducerEpoch(i % 10_000)
		if epoch == 0 {
			s = NewState()
			fold(createTopic{id: TopicID{1}, name: "t", partitions: partitions, replicationFactor: 1})
			fold(transact{changes: []txnChange{{id: "app", becomes: &txn{producer: 4}}}})
		}
		commit(epoch)
		b.StartTimer()
		c := s.decideTxns([]TxnRequest{EndTxn{ID: "app", Producer: 4, Epoch: epoch, Commit: i%2 == 0, Version: 2, Number: TxnNumber(epoch), Fresh: NoProducerID}}, nil)
		if c.results[0].Err != nil {
			b.Fatal(c.results[0].Err)
		}
		size += fold(c)
	}
	b.ReportMetric(float64(size)/float64(b.N), "entry-bytes")
}

// BenchmarkTransactionalIDs is what transactional ids take: of memory, and of the lock when a snapshot is made.
func BenchmarkTransactionalIDs(b *testing.B) {
	const ids = 200_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := NewState()
	for n := range ids {
		c := transact{changes: []txnChange{{id: fmt.Sprintf("application-%08d-%d", n, n%32), becomes: &txn{producer: ProducerID(n), lastProducer: NoProducerID, lastEpoch: -1}}}}
		s.apply(Position{Seq: Seq(n + 1)}, record{time: 1, change: c}, func(TopicPartition) {})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Run("clone", func(b *testing.B) {
		for b.Loop() {
			s.clone()
			s.thaw()
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/ids, "memory-B/id")
	})
	b.Run("snapshot", func(b *testing.B) {
		size := 0
		for b.Loop() {
			size = len(s.clone().encode())
			s.thaw()
		}
		b.ReportMetric(float64(size)/ids, "B/id")
	})
}

// BenchmarkTransactionHead is what every request of a transactional producer asks, the transaction having many partitions.
func BenchmarkTransactionHead(b *testing.B) {
	for _, partitions := range []int32{10, 10_000} {
		r := manyPartitions(b, partitions)
		b.Run(fmt.Sprint(partitions), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if x, ok := r.TransactionHead("app"); !ok || x.State != TxnOngoing {
					b.Fatal(x)
				}
			}
		})
	}
}

// TestTheHeadOfATransactionIsTheTransactionWithoutLists: and it allocates nothing, however many partitions there are.
func TestTheHeadOfATransactionIsTheTransactionWithoutLists(t *testing.T) {
	r := manyPartitions(t, 1000)
	head, ok := r.TransactionHead("app")
	whole, _ := r.Transaction("app")
	if len(whole.Partitions) != 1000 {
		t.Fatalf("%d partitions", len(whole.Partitions))
	}
	whole.Partitions, whole.Groups = nil, nil
	if !ok || !reflect.DeepEqual(head, whole) {
		t.Errorf("head %+v of %+v", head, whole)
	}
	if n := testing.AllocsPerRun(100, func() { r.TransactionHead("app") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if _, ok := r.TransactionHead("other"); ok {
		t.Error("a transactional id that is not there")
	}
}

// manyPartitions is a replica with one ongoing transaction.
func manyPartitions(t testing.TB, partitions int32) *Replica {
	t.Helper()
	s := NewState()
	fold := func(c change) {
		rec := record{time: 1_000_000, nonce: 7, change: c}
		s.apply(s.at.Next(rec.encode()).Position, rec, func(TopicPartition) {})
	}
	fold(createTopic{id: TopicID{1}, name: "t", partitions: partitions, replicationFactor: 1})
	fold(transact{changes: []txnChange{{id: "app", becomes: &txn{producer: 4}}}})
	add := AddToTxn{ID: "app", Producer: 4, Groups: []string{"g"}}
	for p := range partitions {
		add.Partitions = append(add.Partitions, TopicPartition{TopicID{1}, p})
	}
	c := s.decideTxns([]TxnRequest{add}, nil)
	if c.results[0].Err != nil {
		t.Fatal(c.results[0].Err)
	}
	fold(c)
	return &Replica{state: s}
}
