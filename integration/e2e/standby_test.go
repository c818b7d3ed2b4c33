package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/postgres"
)

// TestAnAppendThatIsGivenUpIsNotThereBeforeTheStandbyHasIt: brokers answer for what they read in the log.
func TestAnAppendThatIsGivenUpIsNotThereBeforeTheStandbyHasIt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	server, err := servers.OpenPostgres(ctx, servers.PostgresOptions{})
	must(err)
	defer server.Close()
	_, err = postgres.Migrate(ctx, server.DSN())
	must(err)
	observer, err := pgx.Connect(ctx, server.DSN())
	must(err)
	defer observer.Close(ctx)
	waiting := func() (n int) {
		t.Helper()
		must(observer.QueryRow(ctx, "select count(*) from pg_stat_activity where wait_event = 'SyncRep'").Scan(&n))
		return n
	}
	require := func(standby string) {
		t.Helper()
		must(server.Execute(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+standby+"'"))
		must(server.Execute(ctx, "SELECT pg_reload_conf()"))
	}
	end := func() (seq metastore.Seq) {
		t.Helper()
		must(observer.QueryRow(ctx, "select max(seq) from commit_log").Scan(&seq))
		return seq
	}
	store, err := postgres.Open(ctx, server.DSN(), postgres.Options{})
	must(err)
	defer store.Close()

	require("one_that_never_comes")
	var at metastore.Position
	for hung := false; !hung; { // the server follows its configuration when it gets to it
		next := at.Next([]byte("entry"))
		trying, giveUp := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- store.Append(trying, at, next) }()
		for pending := true; pending && !hung; {
			select {
			case err := <-ended:
				must(err)
				at, pending = next.Position, false
			default:
				hung = waiting() > 0
			}
		}
		giveUp()
		if hung {
			if err := <-ended; err == nil {
				t.Fatal("appended without the standby")
			}
		}
	}
	must(store.Close()) // which waits until the driver is done with the connection
	if got := end(); got != at.Seq || waiting() != 1 {
		t.Errorf("the log ends at %d and %d commits wait for the standby, want %d and 1", got, waiting(), at.Seq)
	}
	require("")
	for waiting() > 0 {
		must(ctx.Err())
	}
	for end() != at.Seq+1 {
		must(ctx.Err())
	}
}
