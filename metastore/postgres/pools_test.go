package postgres

import (
	"context"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

// stalls fills a pool with calls that wait for a table's lock, until the function it returns is called.
func stalls(t *testing.T, dsn, table string, n int, call func(ctx context.Context) error) (stalled func() int, resume func()) {
	t.Helper()
	holder, observer := connect(t, dsn), connect(t, dsn)
	exec(t, holder, "begin")
	exec(t, holder, "lock table "+table+" in access exclusive mode")
	ended := make(chan error, n)
	for range n {
		go func() { ended <- call(context.Background()) }()
	}
	blocked(t, observer, n)
	return func() int { return n - len(ended) }, func() {
		exec(t, holder, "rollback")
		for range n {
			if err := <-ended; err != nil {
				t.Errorf("a call that waited: %v", err)
			}
		}
	}
}

// TestPoolsAreApart: no time is measured. What must not wait is done while all connections of another pool still are.
func TestPoolsAreApart(t *testing.T) {
	dsn := migrated(t)
	s, p := open(t, dsn), metastore.Position{}
	appendOne := func(ctx context.Context, t *testing.T) {
		t.Helper()
		next := p.Next([]byte("entry"))
		if err := s.Append(ctx, p, next); err != nil {
			t.Fatalf("append: %v", err)
		}
		p = next.Position
	}
	follow := func(ctx context.Context, t *testing.T) {
		t.Helper()
		if entries, err := s.Read(ctx, metastore.Position{}, 1<<20); err != nil || len(entries) != int(p.Seq) {
			t.Errorf("read: %d entries (%v), want %d", len(entries), err, p.Seq)
		}
		if newest, err := s.End(ctx); err != nil || newest != p.Seq {
			t.Errorf("newest: %d (%v), want %d", newest, err, p.Seq)
		}
		if _, err := s.LatestSnapshot(ctx); err != nil {
			t.Errorf("latest snapshot: %v", err)
		}
	}
	claim := func(ctx context.Context) error {
		_, err := s.ClaimGroup(ctx, "g", 1)
		return err
	}
	appendOne(t.Context(), t)
	if err := s.SaveSnapshot(t.Context(), metastore.Snapshot{Position: p}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		conns int32
		table string
		call  func(ctx context.Context) error
		goOn  func(ctx context.Context, t *testing.T)
	}{
		"Background": {s.background.Config().MaxConns, "groups", claim, func(ctx context.Context, t *testing.T) {
			appendOne(ctx, t)
			follow(ctx, t)
		}},
		"Read": {s.read.Config().MaxConns, "snapshots", func(ctx context.Context) error {
			_, err := s.LatestSnapshot(ctx)
			return err
		}, func(ctx context.Context, t *testing.T) {
			appendOne(ctx, t)
			if err := claim(ctx); err != nil {
				t.Errorf("claim: %v", err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			stalled, resume := stalls(t, dsn, c.table, int(c.conns), c.call)
			defer resume()
			ctx, cancel := context.WithTimeout(t.Context(), statementTimeout/2) // the calls that wait would end by themselves
			defer cancel()
			c.goOn(ctx, t)
			if n := stalled(); n != int(c.conns) {
				t.Errorf("%d of %d calls still wait: the test shows nothing", n, c.conns)
			}
		})
	}
}

// TestConnectionsAreFew: eight brokers fit into PostgreSQL's default of 100, and people still get in.
func TestConnectionsAreFew(t *testing.T) {
	s, err := Open(t.Context(), "postgres://nobody@127.0.0.1:1/none", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var sum int32
	for _, pool := range s.all() {
		sum += pool.Config().MaxConns
	}
	const reserved = 3 // for superusers
	if people := 100 - reserved - 8*sum; people < 10 {
		t.Errorf("%d connections a broker leave %d for others", sum, people)
	}
}
