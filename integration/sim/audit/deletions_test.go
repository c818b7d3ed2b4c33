package audit

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/batching/segment"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/memory"
)

const grace = 30 * time.Second

// shop is a log with a bucket whose deletions are judged.
type shop struct {
	*left
	t       *testing.T
	bucket  *Bucket
	replica *metastore.Replica
}

func newShop(t *testing.T) *shop {
	s := &shop{left: run(t, 1), t: t}
	s.bucket = NewBucket(memory.New(), s.archive)
	s.replica = metastore.NewReplica(s.archive, metastore.ReplicaOptions{})
	s.must(s.replica.Open(t.Context()))
	return s
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// named is a segment that a run names.
func (s *shop) named() (id metastore.SegmentID) {
	s.replica.VisitSegments(func(u metastore.SegmentUse) bool {
		id = u.ID
		return false
	})
	return id
}

// garbage is one that no run names any more.
func (s *shop) garbage() metastore.SegmentID {
	s.must(s.replica.DeleteTopic(s.t.Context(), s.topic.ID))
	return s.replica.Garbage(1)[0].ID
}

func (s *shop) delete(id metastore.SegmentID) {
	s.must(s.bucket.Delete(s.t.Context(), []string{"position/x", segment.Key(id)}))
}

func TestDeletions(t *testing.T) {
	wait := func(d time.Duration) { time.Sleep(d) }
	for name, c := range map[string]struct {
		do   func(s *shop)
		want string // "": nothing
	}{
		"garbage that has had its grace": {func(s *shop) {
			id := s.garbage()
			wait(grace)
			s.delete(id)
		}, ""},
		"garbage that has not": {func(s *shop) {
			id := s.garbage()
			wait(grace - time.Second)
			s.delete(id)
		}, "was garbage for 29"},
		"what a run names": {func(s *shop) { s.delete(s.named()) }, "was no garbage"},
		"what a run named then": {func(s *shop) {
			id := s.named()
			s.delete(id)
			s.garbage()
			wait(grace)
			s.delete(id)
		}, "was no garbage"},
		"again what was deleted, and is forgotten": {func(s *shop) {
			id := s.garbage()
			wait(grace)
			s.delete(id)
			s.must(s.replica.Collected(s.t.Context(), s.replica.Garbage(1)[0].Number))
			s.delete(id)
		}, ""},
		"what the log will never know": {func(s *shop) {
			id := metastore.NewSegmentID(time.Now())
			wait(metastore.MaxSegmentAge + time.Second)
			s.must(s.replica.Touch(s.t.Context()))
			s.delete(id)
		}, ""},
		"what is old, in a log that has stood still": {func(s *shop) {
			id := metastore.NewSegmentID(time.Now())
			wait(metastore.MaxSegmentAge + time.Second)
			s.delete(id)
		}, "was unknown"},
		"what the log may come to know": {func(s *shop) {
			id := metastore.NewSegmentID(time.Now())
			wait(metastore.MaxSegmentAge - time.Second)
			s.must(s.replica.Touch(s.t.Context()))
			s.delete(id)
		}, "was unknown"},
		"what may be swapped in": {func(s *shop) {
			id := metastore.NewRewrittenID(time.Now())
			wait(metastore.MaxRewriteAge - time.Second)
			s.must(s.replica.Touch(s.t.Context()))
			s.delete(id)
		}, "was unknown"},
		"what may be swapped in no more": {func(s *shop) {
			id := metastore.NewRewrittenID(time.Now())
			wait(metastore.MaxRewriteAge + time.Second)
			s.must(s.replica.Touch(s.t.Context()))
			s.delete(id)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t)
				c.do(s)
				found, err := Deletions(t.Context(), s.bucket, grace)
				s.must(err)
				if s.bucket.Deleted() != 1 {
					t.Errorf("%d objects were deleted", s.bucket.Deleted())
				}
				if c.want == "" && len(found) > 0 || c.want != "" && (len(found) != 1 || found[0].Name != EarlyDeletion || !strings.Contains(found[0].Text, c.want)) {
					t.Errorf("found %q, want %q", found, c.want)
				}
			})
		})
	}
}
