package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/runnel-io/runnel/metastore"
)

// deadlocks counts what the store makes again, and nobody would notice.
type deadlocks struct{ atomic.Int64 }

func (d *deadlocks) saw(err error) {
	if rolledBack(err) {
		d.Add(1)
	}
}

func (d *deadlocks) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (d *deadlocks) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	d.saw(data.Err)
}

func (d *deadlocks) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (d *deadlocks) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	d.saw(data.Err)
}

func (d *deadlocks) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// countDeadlocks counts the calls of a store that has not connected yet that are rolled back.
func countDeadlocks(t testing.TB, s *Store) *deadlocks {
	d := &deadlocks{}
	connectAnew(t, s, func(config *pgxpool.Config) { config.ConnConfig.Tracer = d })
	return d
}

// reportDeadlocks fails a test at its end if a statement of the store met with a deadlock.
func reportDeadlocks(t testing.TB, s *Store) {
	d := countDeadlocks(t, s)
	t.Cleanup(func() {
		if n := d.Load(); n > 0 {
			t.Errorf("%d deadlocks", n)
		}
	})
}

func offsetOf(topic byte, partition int32) metastore.CommittedOffset {
	return metastore.CommittedOffset{
		TopicPartition: metastore.TopicPartition{Topic: metastore.TopicID{topic}, Partition: partition},
		TopicName:      "orders", CommittedAt: time.UnixMilli(1_700_000_000_000),
	}
}

// The interleaving above appendWithSQL. Which of the two appends comes first once the key is free is not ours to say, so
// it is tried a few times.
func TestAppendMakesAGroupThatAnotherFound(t *testing.T) {
	dsn := migrated(t)
	s, holder, watcher := open(t, dsn), connect(t, dsn), connect(t, dsn)
	p := metastore.Position{}
	for round := range 10 {
		group := fmt.Sprint("g", round)
		next := p.Next([]byte("x"))
		done := make(chan error, 2)
		appendIt := func() {
			done <- s.AppendWith(t.Context(), p, next, metastore.GroupChanges{
				Offsets: []metastore.GroupOffsets{{Group: group, Offsets: []metastore.CommittedOffset{offsetOf(1, 1)}}},
			})
		}
		exec(t, holder, "begin")
		exec(t, holder, "insert into commit_log (seq, checksum, payload) values ($1, 0, '')", int64(next.Seq))
		go appendIt()
		blocked(t, watcher, 1)
		if _, err := s.ClaimGroup(t.Context(), group, 1); err != nil {
			t.Fatal(err)
		}
		go appendIt()
		blocked(t, watcher, 2)
		exec(t, holder, "rollback")
		for first, second := <-done, <-done; ; first, second = second, first {
			if first == nil && errors.Is(second, metastore.ErrConflict) {
				break
			}
			if second != nil {
				t.Fatalf("of two appends one returns %v, the other %v, want nil and a conflict", first, second)
			}
		}
		p = next.Position
	}
}

// TestOffsetsAreLockedInOrder: a statement that waits for the first of its offsets holds none of the others.
func TestOffsetsAreLockedInOrder(t *testing.T) {
	dsn := migrated(t)
	ctx, s, holder, other := t.Context(), open(t, dsn), connect(t, dsn), connect(t, dsn)
	watcher := connect(t, dsn)
	var offsets []metastore.CommittedOffset // where they lie and how they are given is the opposite of their order
	var partitions []metastore.TopicPartition
	for partition := int32(9); partition >= 0; partition-- {
		offsets = append(offsets, offsetOf(1, partition))
		partitions = append(partitions, offsets[len(offsets)-1].TopicPartition)
	}
	for name, call := range map[string]func(b, a metastore.GroupRecord) error{
		"AppendWith": func(b, a metastore.GroupRecord) error {
			return s.AppendWith(ctx, metastore.Position{}, metastore.Position{}.Next(nil), metastore.GroupChanges{
				Offsets: []metastore.GroupOffsets{{Group: a.GroupID, Offsets: offsets}, {Group: b.GroupID, Offsets: offsets}},
			})
		},
		"CommitOffsets": func(b, _ metastore.GroupRecord) error { return s.CommitOffsets(ctx, b.GroupID, b.Epoch, offsets) },
		"DeleteOffsets": func(b, _ metastore.GroupRecord) error { return s.DeleteOffsets(ctx, b.GroupID, b.Epoch, partitions) },
		"ExpireOffsets": func(b, _ metastore.GroupRecord) error {
			_, err := s.ExpireOffsets(ctx, b.GroupID, b.Epoch, time.Now(), nil)
			return err
		},
		"DeleteGroup":        func(b, _ metastore.GroupRecord) error { return s.DeleteGroup(ctx, b.GroupID, b.Epoch) },
		"DeleteTopicOffsets": func(_, _ metastore.GroupRecord) error { return s.DeleteTopicOffsets(ctx, partitions[0].Topic) },
	} {
		t.Run(name, func(t *testing.T) {
			exec(t, holder, "truncate group_offsets")
			var groups []metastore.GroupRecord
			for _, id := range []string{"a", "B"} { // in the order of most languages
				g, err := s.ClaimGroup(ctx, id, 1)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range offsets {
					if err := s.CommitOffsets(ctx, g.GroupID, g.Epoch, []metastore.CommittedOffset{o}); err != nil {
						t.Fatal(err)
					}
				}
				groups = append(groups, g)
			}
			exec(t, holder, "begin")
			exec(t, holder, "select from group_offsets where group_id = 'B' and partition = 0 for update")
			done := make(chan error, 1)
			go func() { done <- call(groups[1], groups[0]) }()
			blocked(t, watcher, 1)
			var free int
			err := other.QueryRow(ctx, "select count(*) from (select from group_offsets for update skip locked) as free").Scan(&free)
			if want := 2*len(offsets) - 1; err != nil || free != want {
				t.Errorf("%d offsets are free (%v), want %d", free, err, want)
			}
			exec(t, holder, "rollback")
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCallThatIsRolledBackIsMadeAgain: somebody else takes locks in another order.
func TestCallThatIsRolledBackIsMadeAgain(t *testing.T) {
	dsn := migrated(t)
	admin := connect(t, dsn)
	exec(t, admin, "alter database "+admin.Config().Database+" set deadlock_timeout = '2s'") // it is looked for once, and the other end has to be there by then
	ctx, holder := t.Context(), connect(t, dsn)
	exec(t, holder, "set deadlock_timeout = '1min'") // so that it is not the one to be rolled back
	s, err := Open(ctx, dsn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rolledBack := countDeadlocks(t, s)
	g, err := s.ClaimGroup(ctx, "g", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CommitOffsets(ctx, "g", g.Epoch, []metastore.CommittedOffset{offsetOf(1, 0), offsetOf(1, 1)}); err != nil {
		t.Fatal(err)
	}
	const lockSQL = "select from group_offsets where partition = $1 for update"
	exec(t, holder, "begin")
	exec(t, holder, lockSQL, int32(1))
	done := make(chan error, 1)
	go func() { done <- s.DeleteTopicOffsets(ctx, metastore.TopicID{1}) }()
	blocked(t, admin, 1)
	exec(t, holder, lockSQL, int32(0))
	exec(t, holder, "commit")
	if err := <-done; err != nil {
		t.Errorf("delete offsets of a topic: %v", err)
	}
	if n := rolledBack.Load(); n != 1 {
		t.Errorf("%d calls were rolled back, want 1: the test shows nothing", n)
	}
	if left, err := s.FetchOffsets(ctx, "g", nil); err != nil || len(left) != 0 {
		t.Errorf("left are %v (%v)", left, err)
	}
}

// TestCallThatIsRolledBackTimeAndAgain: the database is not asked for ever, and what it did is known.
func TestCallThatIsRolledBackTimeAndAgain(t *testing.T) {
	s, err := Open(t.Context(), migrated(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fail := func(code string) (calls int, err error) {
		err = s.call(t.Context(), "fail", func(ctx context.Context) error {
			calls++
			_, err := s.read.exec(ctx, "do $$ begin raise exception 'as told' using errcode = '"+code+"'; end $$")
			return err
		})
		return calls, err
	}
	if calls, err := fail("40001"); calls != maxRollbacks || !errors.Is(err, metastore.ErrContended) {
		t.Errorf("%d calls, error %v", calls, err)
	}
	if calls, err := fail("40003"); calls != 1 || err == nil || errors.Is(err, metastore.ErrContended) {
		t.Errorf("%d calls although the outcome is unknown, error %v", calls, err)
	}
}
