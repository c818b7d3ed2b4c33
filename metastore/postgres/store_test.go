package postgres

import (
	"context"
	"errors"
	"flag"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/metastoretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is the superuser's URL of a PostgreSQL to test on.
func server(t testing.TB) *url.URL {
	t.Helper()
	dsn := os.Getenv("RUNNEL_TEST_POSTGRES")
	if dsn == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("RUNNEL_TEST_POSTGRES is not set")
		}
		t.Skip("needs PostgreSQL: RUNNEL_TEST_POSTGRES is a superuser's URL (make test starts one)")
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// emptyDatabase makes a database for the test and returns its DSN.
func emptyDatabase(t testing.TB) string {
	t.Helper()
	u := server(t)
	superuser := u.String()
	admin := connect(t, superuser)
	name := "test_" + strings.ReplaceAll(metastore.NewSegmentID(time.Now()).String(), "-", "")
	exec(t, admin, "create database "+name)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), superuser)
		if err == nil {
			_, err = conn.Exec(context.Background(), "drop database "+name+" with (force)")
			_ = conn.Close(context.Background())
		}
		if err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	u.Path = "/" + name
	return u.String()
}

// migrated makes a database with the schema.
func migrated(t testing.TB) string {
	t.Helper()
	dsn := emptyDatabase(t)
	if _, err := Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	return dsn
}

func open(t testing.TB, dsn string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, Options{PollInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	reportDeadlocks(t, s)
	return s
}

// with adds a parameter to a DSN.
func with(t testing.TB, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if value != "" {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// emptied returns a function that gives each of its callers, one after the other, the one database as if new.
func emptied(t *testing.T) func(t testing.TB) string {
	dsn := migrated(t)
	conn := connect(t, dsn)
	return func(t testing.TB) string {
		exec(t, conn, "truncate commit_log, snapshots, brokers, leases, groups, group_offsets")
		exec(t, conn, "insert into commit_log (seq, checksum, payload) values (0, 0, '')")
		exec(t, conn, "update meta set trimmed_through = 0")
		return dsn
	}
}

func TestContract(t *testing.T) {
	database := emptied(t)
	openNew := func(t testing.TB) metastore.Store { return open(t, database(t)) }
	metastoretest.Run(t, openNew)
	metastoretest.RunDurable(t, openNew, func(t testing.TB, s metastore.Store) metastore.Store {
		dsn := s.(*Store).background.Config().ConnString()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, dsn)
	})
}

// TestContractBehindPools runs the contract in the modes that connection poolers need.
func TestContractBehindPools(t *testing.T) {
	for _, mode := range []string{"cache_describe", "exec"} {
		t.Run(mode, func(t *testing.T) {
			database := emptied(t)
			metastoretest.Run(t, func(t testing.TB) metastore.Store {
				return open(t, with(t, database(t), "default_query_exec_mode", mode))
			})
		})
	}
}

func TestDatabaseThatIsDown(t *testing.T) {
	s, err := Open(t.Context(), "postgres://nobody@127.0.0.1:1/none", Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer s.Close()
	if _, err := s.ClusterID(t.Context()); err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("error %v, want one that says what could not be reached", err)
	}
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Errorf("wait: %v, want nil: whoever reads gets the reason", err)
	}
}

func TestDatabaseThatComesBack(t *testing.T) {
	dsn := migrated(t)
	s, p := open(t, dsn), metastore.Position{}
	first := p.Next([]byte("one"))
	if err := s.Append(t.Context(), p, first); err != nil {
		t.Fatal(err)
	}
	exec(t, connect(t, server(t).String()),
		"select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", s.background.Config().ConnConfig.Database)
	deadline := time.Now().Add(10 * time.Second)
	for {
		entries, err := s.Read(t.Context(), p, 100)
		if err == nil {
			if len(entries) != 1 {
				t.Errorf("%d entries", len(entries))
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still failing: %v", err)
		}
	}
}

func TestSynchronousCommitOffIsRefused(t *testing.T) {
	dsn := migrated(t)
	if _, err := Open(t.Context(), with(t, dsn, "synchronous_commit", "off"), Options{}); err == nil {
		t.Error("a DSN with synchronous_commit=off opens")
	}
	for set, want := range map[string]string{"": "on", "local": "local", "yes": "on"} {
		s := open(t, with(t, dsn, "synchronous_commit", set))
		var got string
		if err := s.commit.QueryRow(t.Context(), "show synchronous_commit").Scan(&got); err != nil || got != want {
			t.Errorf("synchronous_commit is %q (%v), want %q", got, err, want)
		}
	}
}

// openLosing opens a store whose sessions lose their parameters.
func openLosing(t *testing.T, dsn string) *Store {
	t.Helper()
	s := open(t, dsn)
	connectAnew(t, s, func(config *pgxpool.Config) {
		config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			clear(c.RuntimeParams)
			return nil
		}
	})
	return s
}

// connectAnew changes how a store connects that has not done so yet.
func connectAnew(t testing.TB, s *Store, change func(config *pgxpool.Config)) {
	t.Helper()
	for _, p := range s.all() {
		config := p.Config()
		change(config)
		p.Close()
		var err error
		if p.Pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
}

// A pooler may drop the session's parameters; then those of the database hold.
func TestLostParametersAreSetInTransactions(t *testing.T) {
	dsn := migrated(t)
	admin := connect(t, dsn)
	exec(t, admin, "alter database "+admin.Config().Database+" set synchronous_commit = off")
	s := openLosing(t, dsn)
	p := metastore.Position{}
	if err := s.Append(t.Context(), p, p.Next(nil)); err != nil {
		t.Fatal(err)
	}
	var durability, timeout string
	err := s.commit.row(t.Context(), []any{&durability, &timeout},
		"select current_setting('synchronous_commit'), current_setting('statement_timeout')")
	if err != nil || durability != "on" || timeout != "30s" {
		t.Errorf("synchronous_commit is %s, statement_timeout %s (%v)", durability, timeout, err)
	}
}

// What stands in a transaction beside the settings must be under them, not only what follows it.
func TestTimeoutInTransactionsEndsTheStatement(t *testing.T) {
	s := openLosing(t, with(t, migrated(t), "statement_timeout", "50"))
	err := s.call(t.Context(), "sleep", func(ctx context.Context) error {
		_, err := s.background.exec(ctx, "select pg_sleep(20)")
		return err
	})
	var failure *pgconn.PgError
	if !errors.As(err, &failure) || failure.Code != "57014" {
		t.Errorf("error %v, want the server's about the time-out", err)
	}
	if !s.route.pooled.Load() {
		t.Error("the settings were not in the transaction: the test shows nothing")
	}
}

func TestSettingsThatBreakTheContractAreRefused(t *testing.T) {
	dsn := migrated(t)
	_, err := open(t, with(t, dsn, "statement_timeout", "31000")).ClusterID(t.Context())
	if err == nil || !strings.Contains(err.Error(), "statement_timeout") {
		t.Errorf("statement_timeout=31000: error %v", err)
	}
	admin := connect(t, dsn)
	exec(t, admin, "alter database "+admin.Config().Database+" set default_transaction_isolation = serializable")
	_, err = openLosing(t, dsn).ClusterID(t.Context())
	if err == nil || !strings.Contains(err.Error(), "serializable") {
		t.Errorf("serializable: error %v", err)
	}
	if _, err := open(t, dsn).ClusterID(t.Context()); err != nil {
		t.Errorf("a default that the session overrides: %v", err)
	}
}

// blocked waits until n sessions of the database wait for a lock.
func blocked(t *testing.T, conn *pgx.Conn, n int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for waiting := 0; waiting < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions wait for a lock, want %d", waiting, n)
		}
		err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock'`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseEndsCallsInFlight(t *testing.T) {
	dsn := migrated(t)
	s, holder, p := open(t, dsn), connect(t, dsn), metastore.Position{}
	exec(t, holder, "begin")
	exec(t, holder, "lock table commit_log")
	appended := make(chan error, 1)
	go func() { appended <- s.Append(context.Background(), p, p.Next([]byte("one"))) }()
	blocked(t, connect(t, dsn), 1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-appended; !errors.Is(err, ErrClosed) {
		t.Errorf("append: %v, want ErrClosed", err)
	}
}

// A broker of an older version, which was not replaced yet, trims and knows of no mark.
func TestTrimGoesOnFromAMarkThatWasLeftBehind(t *testing.T) {
	dsn := migrated(t)
	s, conn := open(t, dsn), connect(t, dsn)
	fill(t, conn, 1, 100)
	exec(t, conn, "insert into snapshots (seq, checksum, state) values (90, 90, '')")
	exec(t, conn, "delete from commit_log where seq <= 55")
	for _, want := range []int{5, 10, 10, 10, 0} {
		if n, err := s.Trim(t.Context(), 1000, 10); err != nil || n != want {
			t.Errorf("trimmed %d (%v), want %d", n, err, want)
		}
	}
}

// Two that trim at the same time do not take the same entries.
func TestTrimWaitsForAnother(t *testing.T) {
	dsn := migrated(t)
	s, other := open(t, dsn), connect(t, dsn)
	fill(t, other, 1, 100)
	exec(t, other, "insert into snapshots (seq, checksum, state) values (90, 90, '')")
	exec(t, other, "begin")
	exec(t, other, trimSQL, int64(1000), int64(30))
	trimmed := make(chan int, 1)
	go func() {
		n, err := s.Trim(t.Context(), 1000, 50)
		if err != nil {
			t.Error(err)
		}
		trimmed <- n
	}()
	blocked(t, connect(t, dsn), 1)
	exec(t, other, "commit")
	if n := <-trimmed; n != 50 {
		t.Errorf("trimmed %d, want 50", n)
	}
	if n, err := s.Trim(t.Context(), 1000, 50); err != nil || n != 10 {
		t.Errorf("trimmed %d (%v) of the rest, want 10", n, err)
	}
}

// The interleaving above deleteGroupSQL.
func TestDeletedGroupLeavesNoOffsets(t *testing.T) {
	dsn := migrated(t)
	ctx, s, committer := t.Context(), open(t, dsn), connect(t, dsn)
	g, err := s.ClaimGroup(ctx, "g", 1)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, committer, "begin")
	exec(t, committer, commitOffsetsSQL, "g", int64(g.Epoch), []string{metastore.TopicID{}.String()}, []int32{0}, []string{"t"},
		[]int64{1}, []int32{1}, [][]byte{{}}, []time.Time{time.Now()})
	deleted := make(chan error, 1)
	go func() { deleted <- s.DeleteGroup(ctx, "g", g.Epoch) }()
	blocked(t, connect(t, dsn), 1)
	exec(t, committer, "commit")
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	var left int
	if err := committer.QueryRow(ctx, "select count(*) from group_offsets").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d offsets left (%v)", left, err)
	}
}

func TestRandomCalls(t *testing.T) {
	const checks = "rapid.checks" // each takes a tenth of a second here
	was := flag.Lookup(checks).Value.String()
	t.Cleanup(func() { _ = flag.Set(checks, was) })
	if err := flag.Set(checks, "15"); err != nil {
		t.Fatal(err)
	}
	database := emptied(t)
	rapid.Check(t, func(rt *rapid.T) {
		s, err := Open(t.Context(), database(t), Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		metastoretest.Random(rt, s, nil)
	})
}
