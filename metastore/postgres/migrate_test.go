package postgres

import (
	"context"
	"testing"
	"time"
)

// A dump, or a session that somebody left in a transaction, may hold up a migration for hours. Statements that come after
// wait behind it, those of the brokers, too, whose leases would run out.
func TestMigrationThatMustWaitLetsBrokersPass(t *testing.T) {
	dsn := migrated(t)
	conn, dump := connect(t, dsn), connect(t, dsn)
	exec(t, conn, "alter table brokers drop column leaving, drop column listeners")
	exec(t, conn, "delete from schema_migrations where version_id >= 4")
	exec(t, dump, "begin")
	exec(t, dump, "lock table brokers in access share mode")
	migrated := make(chan error, 1)
	go func() {
		_, err := Migrate(t.Context(), dsn)
		migrated <- err
	}()
	const waitingSQL = `
select exists (select from pg_locks as l join pg_database as d on d.oid = l.database
where d.datname = current_database() and l.relation = 'brokers'::regclass and not l.granted)`
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waiting := false; !waiting; {
		select {
		case <-tick.C:
		case err := <-migrated:
			t.Fatalf("the migration did not wait: %v", err)
		case <-deadline.C:
			t.Fatal("the migration does not get as far as to wait")
		}
		if err := conn.QueryRow(t.Context(), waitingSQL).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	began := time.Now()
	if _, err := conn.Exec(ctx, "select from brokers"); err != nil {
		t.Errorf("a broker waited %v: %v", time.Since(began), err)
	}
	exec(t, dump, "commit")
	if err := <-migrated; err != nil {
		t.Error(err)
	}
}
