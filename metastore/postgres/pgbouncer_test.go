package postgres

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/metastoretest"
)

// pgbouncer is a running one, in transaction mode in front of the test's server, with as few server connections as show
// that sessions are shared.
type pgbouncer struct{ host string }

// through is the DSN of the same database behind the pooler.
func (p pgbouncer) through(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.host
	u.RawQuery = "sslmode=disable"
	return u.String()
}

func pgbouncerProgram(t testing.TB) string {
	t.Helper()
	program, err := osexec.LookPath("pgbouncer")
	if err != nil {
		program, err = osexec.LookPath("/usr/sbin/pgbouncer") // Debian's, which is in root's PATH alone
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("pgbouncer is not installed")
		}
		t.Skip("needs pgbouncer (integration/packages.sh installs it)")
	}
	return program
}

// keepsStatements tells whether this pgbouncer can keep prepared statements in transaction mode.
func keepsStatements(t testing.TB) bool {
	t.Helper()
	out, err := osexec.Command(pgbouncerProgram(t), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "PgBouncer %d.%d", &major, &minor); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return major > 1 || minor >= 21
}

// startPgbouncer runs one until the test ends, with further lines in its configuration.
func startPgbouncer(t testing.TB, lines ...string) pgbouncer {
	t.Helper()
	program, upstream := pgbouncerProgram(t), server(t)
	dir, userName := t.TempDir(), upstream.User.Username()
	password, _ := upstream.User.Password()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free; it has no way to choose one itself
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	config := []string{
		"[databases]",
		fmt.Sprintf("* = host=%s port=%s", upstream.Hostname(), upstream.Port()),
		"[pgbouncer]",
		"listen_addr = 127.0.0.1",
		"listen_port = " + strconv.Itoa(port),
		"unix_socket_dir =",
		"auth_type = trust",
		"auth_file = " + filepath.Join(dir, "users"),
		"pool_mode = transaction",
		"default_pool_size = 3",
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	for name, text := range map[string]string{
		file:                        strings.Join(append(config, lines...), "\n"),
		filepath.Join(dir, "users"): fmt.Sprintf("%q %q", userName, password),
	} {
		if err := os.WriteFile(name, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := osexec.Command(program, file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if os.Getuid() == 0 { // which it refuses to run as
		cmd.SysProcAttr.Credential = userOfServers(t)
		for up := dir; up != os.TempDir() && len(up) > 1; up = filepath.Dir(up) {
			if err := os.Chmod(up, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	var log lockedBuffer
	cmd.Stdout, cmd.Stderr = &log, &log
	ended := run(t, cmd)
	p := pgbouncer{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := pgx.Connect(t.Context(), p.through(t, upstream.String()))
		if err == nil {
			_ = conn.Close(context.Background())
			return p
		}
		select {
		case <-ended:
			t.Fatalf("pgbouncer ended: %s", log.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgbouncer does not answer: %v\n%s", err, log.String())
		}
	}
}

// run starts a process that ends with the test.
func run(t testing.TB, cmd *osexec.Cmd) (ended <-chan struct{}) {
	t.Helper()
	started, done := make(chan error, 1), make(chan struct{})
	go func() { // the thread that starts it must live as long, or the kernel sends it Pdeathsig
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // at once, for pgbouncer
		<-done
	})
	return done
}

// userOfServers is the one that PostgreSQL's package made.
func userOfServers(t testing.TB) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ignoring has pgbouncer drop what it would refuse.
const ignoring = "ignore_startup_parameters = synchronous_commit, statement_timeout, idle_in_transaction_session_timeout, default_transaction_isolation"

// TestContractBehindPgbouncer needs nothing of the DSN, and is not put off by what it may say.
func TestContractBehindPgbouncer(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		mode  string // how statements are sent, in the DSN
	}{
		"ParametersRefused": {nil, ""},
		"ParametersDropped": {[]string{ignoring}, ""},
		"ModeInTheURL":      {nil, "exec"},
	} {
		t.Run(name, func(t *testing.T) {
			bouncer := startPgbouncer(t, c.lines...)
			database := emptied(t)
			metastoretest.Run(t, func(t testing.TB) metastore.Store {
				return open(t, with(t, bouncer.through(t, database(t)), "default_query_exec_mode", c.mode))
			})
		})
	}
}

// TestPreparedStatementsBehindPgbouncer: one that keeps them passes the contract with them; with one that does not, the
// DSN is told to be wrong.
func TestPreparedStatementsBehindPgbouncer(t *testing.T) {
	if !keepsStatements(t) {
		bouncer := startPgbouncer(t, "default_pool_size = 1")
		wantPreparedRefused(t, bouncer)
		return
	}
	t.Run("Off", func(t *testing.T) { wantPreparedRefused(t, startPgbouncer(t, "max_prepared_statements = 0")) })
	t.Run("On", func(t *testing.T) {
		bouncer := startPgbouncer(t, "max_prepared_statements = 100")
		database := emptied(t)
		metastoretest.Run(t, func(t testing.TB) metastore.Store {
			return open(t, with(t, bouncer.through(t, database(t)), "default_query_exec_mode", "cache_statement"))
		})
	})
}

// wantPreparedRefused has two stores prepare the same statements: on shared server connections one finds the other's.
func wantPreparedRefused(t *testing.T, bouncer pgbouncer) {
	t.Helper()
	dsn := with(t, bouncer.through(t, migrated(t)), "default_query_exec_mode", "cache_statement")
	var refused error
	for range 10 { // there are three server connections
		if _, err := open(t, dsn).ClusterID(t.Context()); err != nil {
			refused = err
		}
	}
	if refused == nil || !strings.Contains(refused.Error(), "default_query_exec_mode=exec") {
		t.Errorf("error %v, want one that says what to do", refused)
	}
}

// TestLostPreparedStatementsAreNoticed: a pooler whose server sets what sessions need shows in nothing else.
func TestLostPreparedStatementsAreNoticed(t *testing.T) {
	lines := []string{ignoring}
	if keepsStatements(t) {
		lines = append(lines, "max_prepared_statements = 0")
	}
	bouncer, dsn := startPgbouncer(t, lines...), migrated(t)
	admin := connect(t, dsn)
	exec(t, admin, "alter database "+admin.Config().Database+" set statement_timeout = '30s'")
	p, rerouted := metastore.Position{}, false
	for range 10 {
		s := open(t, bouncer.through(t, dsn))
		next := p.Next([]byte("entry"))
		if err := s.Append(t.Context(), p, next); err != nil {
			t.Fatalf("append: %v", err)
		}
		p = next.Position
		if entries, err := s.Read(t.Context(), metastore.Position{}, 1<<20); err != nil || len(entries) != int(p.Seq) {
			t.Fatalf("read: %d entries (%v), want %d", len(entries), err, p.Seq)
		}
		rerouted = rerouted || s.route.pooled.Load()
	}
	if !rerouted {
		t.Error("no statement was ever lost: the test shows nothing")
	}
}

func TestParametersOfTheURLBehindPgbouncer(t *testing.T) {
	bouncer, dsn := startPgbouncer(t), migrated(t)
	s := open(t, with(t, bouncer.through(t, dsn), "synchronous_commit", "local"))
	var got string
	if err := s.call(t.Context(), "look", func(ctx context.Context) error {
		return s.commit.row(ctx, []any{&got}, "select current_setting('synchronous_commit')")
	}); err != nil || got != "local" {
		t.Errorf("synchronous_commit is %q (%v)", got, err)
	}
	_, err := open(t, with(t, bouncer.through(t, dsn), "search_path", "public")).ClusterID(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ignore_startup_parameters") {
		t.Errorf("a parameter that pgbouncer refuses: error %v, want one that says what to do", err)
	}
}

func TestMigrateRefusesPgbouncer(t *testing.T) {
	for name, lines := range map[string][]string{"ParametersRefused": nil, "ParametersDropped": {ignoring}} {
		t.Run(name, func(t *testing.T) {
			_, err := Migrate(t.Context(), startPgbouncer(t, lines...).through(t, emptyDatabase(t)))
			if err == nil || !strings.Contains(err.Error(), "does not go through") {
				t.Errorf("error %v", err)
			}
		})
	}
}
