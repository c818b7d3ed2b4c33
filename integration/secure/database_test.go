package secure

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// superuserHBA lets the tests in.
const superuserHBA = "host all postgres 127.0.0.1/32 scram-sha-256\n"

// database is a PostgreSQL server of the test's own, with stores on it for a role.
func database(t *testing.T, o servers.PostgresOptions, role, password, parameters string) (*pgx.Conn, harness.Stores) {
	t.Helper()
	o.HBA = superuserHBA + o.HBA
	server := harness.OwnPostgres(t, o)
	conn, err := pgx.Connect(harness.Soon(t), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	create := "create role " + role + " login superuser"
	if password != "" {
		create += " password '" + password + "'"
	}
	run(t, conn, create)
	stores := harness.StoresOn(t, server.DSN(), harness.TestBucket(t))
	u, err := url.Parse(stores.Metastore)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.RawQuery = url.User(role), parameters
	stores.Metastore = u.String()
	return conn, stores
}

func run(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(harness.Soon(t), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// endSessions ends those of a role, as a failover does.
func endSessions(t *testing.T, conn *pgx.Conn, role string) {
	t.Helper()
	run(t, conn, "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", role)
}

// takes produces a record to a broker, whose metastore has to take it.
func takes(t *testing.T, b *harness.Broker, topic string) {
	t.Helper()
	c, err := harness.Client(t, kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := within(t, time.Minute)
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(ctx, kgo.StringRecord("here")).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// does runs a command of the binary and returns its output, which has to have its exit code and say something.
func does(t *testing.T, s harness.Stores, code int, says string, args ...string) {
	t.Helper()
	out, errOut, got := s.Run(t, args...)
	if got != code || !strings.Contains(out+errOut, says) {
		t.Errorf("%s: exit %d, not %d with %q: %s%s", args[0], got, code, says, out, errOut)
	}
}

// TestLoggingInToTheDatabaseByIAM: PostgreSQL takes the role by TLS alone and leaves the judgment on its password to somebody else, as
// on Amazon RDS. All commands log in with tokens, and a broker makes new ones when its connections end.
func TestLoggingInToTheDatabaseByIAM(t *testing.T) {
	const role = "runnel"
	access, secret := "AKIA"+rand.Text()[:16], rand.Text()
	for name, text := range map[string]string{
		"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, text)
	}
	authority, err := NewAuthority(t.TempDir(), "authority")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue("database", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := os.ReadFile(authority.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	directory, err := OpenDirectory(servers.Region, access, secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = directory.Close() })
	conn, stores := database(t, servers.PostgresOptions{Certificate: pair.Certificate, Key: pair.Key, HBA: directory.HBA(role)},
		role, "", "sslmode=verify-full")
	address, _ := stores.MetastoreAddress(t)
	directory.Guard(address, time.Now().Add(-time.Minute))
	flags := []string{"--metastore-auth", "aws_iam", "--metastore-authorities", string(trusted)}

	does(t, stores, 1, "certificate signed by unknown authority", "migrate", "--metastore-auth", "aws_iam")
	if taken, refused := directory.Seen(); taken+len(refused) > 0 {
		t.Errorf("%d tokens were sent to a server that nobody knows", taken+len(refused))
	}
	does(t, stores, 1, "failed", "migrate", flags[2], flags[3]) // as nobody with no password
	does(t, stores, 0, "migrations applied", append([]string{"migrate"}, flags...)...)

	b := harness.Node(t, stores, harness.NodeOptions{Env: []string{"RUNNEL_METASTORE_AUTH=aws_iam", "RUNNEL_METASTORE_AUTHORITIES=" + string(trusted)}})
	b.Start()
	b.WaitReady()
	takes(t, b, "before")
	before, refused := directory.Seen()
	if before == 0 || len(refused) > 0 {
		t.Fatalf("%d tokens were taken; others not: %v", before, refused)
	}
	directory.Guard(address, time.Now()) // what was made before is worth nothing
	endSessions(t, conn, role)
	takes(t, b, "after")
	after, refused := directory.Seen()
	if after == before || len(refused) > 0 {
		t.Errorf("%d tokens were taken, %d before sessions ended; others not: %v", after, before, refused)
	}
	t.Logf("%d tokens, %d of them for the broker's connections after sessions ended", after, after-before)

	does(t, stores, 0, "", append([]string{"fsck", "--deep"}, flags...)...)
	b.Stop()
	does(t, stores, 2, "the metastore is not empty", append([]string{"rebuild"}, flags...)...)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	does(t, stores, 1, "LDAP authentication failed", append([]string{"migrate"}, flags...)...)
	if _, refused := directory.Seen(); len(refused) == 0 || refused[0].Error() != "the signature is wrong" {
		t.Errorf("%v", refused)
	}
}

// TestThePasswordOfTheDatabaseMayBeReplaced while a broker runs: it reads the file again when it connects.
func TestThePasswordOfTheDatabaseMayBeReplaced(t *testing.T) {
	t.Parallel()
	const role = "runnel"
	conn, stores := database(t, servers.PostgresOptions{HBA: "host all " + role + " 127.0.0.1/32 scram-sha-256\n"}, role, "first", "sslmode=disable")
	file := filepath.Join(t.TempDir(), "password")
	put := func(password string) {
		t.Helper()
		if err := replace(file, []byte(password+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	put("first")
	flags := []string{"--metastore-password-file", file}
	does(t, stores, 0, "migrations applied", append([]string{"migrate"}, flags...)...)
	b := harness.Node(t, stores, harness.NodeOptions{Env: []string{"RUNNEL_METASTORE_PASSWORD_FILE=" + file}})
	b.Start()
	b.WaitReady()
	takes(t, b, "before")
	run(t, conn, "alter role "+role+" password 'second'")
	put("second")
	endSessions(t, conn, role)
	takes(t, b, "after")
	does(t, stores, 0, "", append([]string{"fsck"}, flags...)...)
	b.Stop()
	does(t, stores, 2, "the metastore is not empty", append([]string{"rebuild"}, flags...)...)
	put("first")
	does(t, stores, 1, "password authentication failed", append([]string{"migrate"}, flags...)...)
}
