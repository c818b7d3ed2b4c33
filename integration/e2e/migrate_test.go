package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// empty is a database without tables, and its URL without the password, which comes apart.
func empty(t *testing.T, postgres *servers.Postgres) (stores harness.Stores, password string) {
	t.Helper()
	stores = harness.StoresOn(t, postgres.DSN(), harness.TestBucket(t))
	u, err := url.Parse(stores.Metastore)
	if err != nil {
		t.Fatal(err)
	}
	password, _ = u.User.Password()
	u.User = url.User(u.User.Username())
	stores.Metastore = u.String()
	return stores, password
}

// TestBrokersMigrate: brokers that start at once on an empty database make its tables, one of them, and all become ready; the
// password comes from a key of its own. One that is not told to says what is missing, and waits for it.
func TestBrokersMigrate(t *testing.T) {
	t.Parallel()
	stores, password := empty(t, harness.OwnPostgres(t, servers.PostgresOptions{}))
	node := func(env ...string) *harness.Broker {
		b := harness.Node(t, stores, harness.NodeOptions{Env: append(env, "RUNNEL_METASTORE_PASSWORD="+password)})
		b.Start()
		return b
	}
	waiting := node()
	waiting.WaitNotReady("run `runnel migrate`")

	brokers := []*harness.Broker{node("RUNNEL_MIGRATE=auto"), node("RUNNEL_MIGRATE=auto"), node("RUNNEL_MIGRATE=auto")}
	migrations := 0
	for _, b := range append(brokers, waiting) {
		b.WaitReady()
		migrations += strings.Count(b.Log(), "migration=00001_")
	}
	if migrations != 1 {
		t.Errorf("%d brokers say that they made the first migration", migrations)
	}
	// On a database that is as it should be there is nothing to do, and no lock to take.
	postgres, err := pgx.Connect(harness.Soon(t), withPassword(t, stores.Metastore, password))
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Close(harness.Soon(t))
	if _, err := postgres.Exec(harness.Soon(t), "SELECT pg_advisory_lock(n) FROM unnest(ARRAY[$1::bigint]) AS n", gooseLock); err != nil {
		t.Fatal(err)
	}
	brokers[0].Stop()
	brokers[0].Restart()
}

// gooseLock is the advisory lock under which migrations run.
const gooseLock = 4097083626 // lock.DefaultLockID of goose

func withPassword(t *testing.T, address, password string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

// TestBrokersMigrateWhenTheDatabaseComes: a broker that is to migrate starts before its database, as others do.
func TestBrokersMigrateWhenTheDatabaseComes(t *testing.T) {
	t.Parallel()
	postgres := harness.OwnPostgres(t, servers.PostgresOptions{})
	stores, password := empty(t, postgres)
	if err := postgres.Stop(); err != nil {
		t.Fatal(err)
	}
	b := harness.Node(t, stores, harness.NodeOptions{Env: []string{"RUNNEL_MIGRATE=auto", "RUNNEL_METASTORE_PASSWORD=" + password}})
	b.Start()
	b.WaitNotReady("metastore")
	if err := postgres.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.WaitReady()
}
