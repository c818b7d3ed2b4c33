package metastoretest

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// BenchmarkAppend measures one appender alone, with entries the size of a commit of 100 runs.
func BenchmarkAppend(b *testing.B, open Open) {
	BenchmarkAppendAfter(b, open(b), metastore.Position{})
}

// BenchmarkAppendAfter measures one appender on a log that ends at the position.
func BenchmarkAppendAfter(b *testing.B, s metastore.Log, end metastore.Position) {
	payload := make([]byte, 4<<10)
	_, _ = rand.Read(payload) // never fails
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		next := end.Next(payload)
		if err := s.Append(b.Context(), end, next); err != nil {
			b.Fatal(err)
		}
		end = next.Position
	}
}

// BenchmarkAppendWith measures one appender whose entries come with ten offsets of one group, as the end of a transaction
// does.
func BenchmarkAppendWith(b *testing.B, open Open) {
	s := open(b)
	payload := make([]byte, 300)
	_, _ = rand.Read(payload) // never fails
	with := metastore.GroupChanges{Offsets: []metastore.GroupOffsets{{Group: "g", Offsets: offsetsOf(topicA, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)}}}
	end := metastore.Position{}
	b.ReportAllocs()
	for b.Loop() {
		next := end.Next(payload)
		if err := s.AppendWith(b.Context(), end, next, with); err != nil {
			b.Fatal(err)
		}
		end = next.Position
	}
}

// BenchmarkCommitOffsets measures many coordinators that each commit ten offsets at a time.
func BenchmarkCommitOffsets(b *testing.B, open Open) {
	s := open(b)
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		g, err := s.ClaimGroup(b.Context(), b.Name()+metastore.NewSegmentID(time.Now()).String(), 1)
		if err != nil {
			b.Error(err)
			return
		}
		offsets := offsetsOf(topicA, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		for pb.Next() {
			if err := s.CommitOffsets(b.Context(), g.GroupID, g.Epoch, offsets); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
