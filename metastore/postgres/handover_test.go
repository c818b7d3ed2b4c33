package postgres

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestMovingFromPasswordToIAM: tables that brokers made who logged in by password are those of the role afterwards, which has the
// next migration to run, while brokers of before go on until they are replaced.
func TestMovingFromPasswordToIAM(t *testing.T) {
	dsn := emptyDatabase(t)
	masterDSN, broker := master(t, dsn)
	withIAM(t, dsn, masterDSN)
	if _, err := Migrate(t.Context(), masterDSN); err != nil {
		t.Fatal(err)
	}
	superuser := connect(t, dsn)
	exec(t, connect(t, masterDSN), "create table of_somebody_else (id integer)")
	for range 2 { // the second finds nothing to do
		if _, err := GrantIAM(t.Context(), masterDSN, Login{}, broker); err != nil {
			t.Fatal(err)
		}
	}
	owners := map[string]string{}
	rows, err := superuser.Query(t.Context(), `select relname::text, relowner::regrole::text from pg_class
		where relnamespace = current_schema()::regnamespace and relkind in ('r', 'S', 'i')`)
	if err != nil {
		t.Fatal(err)
	}
	var name, owner string
	if _, err := pgx.ForEachRow(rows, []any{&name, &owner}, func() error { owners[name] = owner; return nil }); err != nil {
		t.Fatal(err)
	}
	for name, owner := range owners {
		if handed := owner == pgx.Identifier([]string{broker}).Sanitize(); handed == (name == "of_somebody_else") {
			t.Errorf("%s is of %s", name, owner)
		}
	}
	var member bool
	if err := superuser.QueryRow(t.Context(), `select exists (select from pg_auth_members as m join pg_roles as r on r.oid = m.member
		where m.roleid = (select oid from pg_roles where rolname = $1) and not m.admin_option and r.rolname like 'master_%')`, broker).Scan(&member); err != nil || member {
		t.Errorf("the master is a member of the role, and so of rds_iam: %v, %v", member, err)
	}
	store, err := Open(t.Context(), masterDSN, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := connect(t, masterDSN).Exec(t.Context(), "insert into meta select * from meta where false"); err != nil {
		t.Errorf("brokers that log in by password yet cannot go on: %v", err)
	}
	if _, err := connect(t, masterDSN).Exec(t.Context(), "select nextval('group_epochs')"); err != nil {
		t.Errorf("nor count epochs: %v", err)
	}
	exec(t, superuser, "alter role "+pgx.Identifier{broker}.Sanitize()+" password 'token'")
	u := mustParse(t, dsn)
	u.User = url.UserPassword(broker, "token")
	role := connect(t, u.String())
	exec(t, role, "alter table commit_log add column of_the_next_version integer")
	if _, err := Migrate(t.Context(), u.String()); err != nil {
		t.Errorf("the role cannot migrate: %v", err)
	}
}

// TestHandingOverDoesNotWaitForALongQuery: brokers would wait behind it.
func TestHandingOverDoesNotWaitForALongQuery(t *testing.T) {
	dsn := emptyDatabase(t)
	masterDSN, broker := master(t, dsn)
	withIAM(t, dsn, masterDSN)
	if _, err := Migrate(t.Context(), masterDSN); err != nil {
		t.Fatal(err)
	}
	reader := connect(t, masterDSN)
	tx, err := reader.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select from commit_log"); err != nil {
		t.Fatal(err)
	}
	_, err = GrantIAM(t.Context(), masterDSN, Login{}, broker)
	if !waitsForLock(err) || !strings.Contains(err.Error(), "nothing was changed, try again") {
		t.Errorf("beside a long query: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := GrantIAM(t.Context(), masterDSN, Login{}, broker); err != nil {
		t.Error(err)
	}
}

// TestAllThatMigrationsMakeIsHandedOver: who adds a table adds it to relations.
func TestAllThatMigrationsMakeIsHandedOver(t *testing.T) {
	dsn := emptyDatabase(t)
	if _, err := Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	rows, err := connect(t, dsn).Query(t.Context(), `select c.relname::text from pg_class as c
		where c.relnamespace = current_schema()::regnamespace and c.relkind not in ('i', 't')
			and not exists (select from pg_depend as d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i'))
		order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !slices.Equal(got, relations) {
		t.Errorf("migrations make %q, and handed over are %q (%v)", got, relations, err)
	}
}

func TestTablesOfSomebodyElseAreNotHandedOver(t *testing.T) {
	dsn := emptyDatabase(t)
	masterDSN, broker := master(t, dsn)
	withIAM(t, dsn, masterDSN)
	if _, err := Migrate(t.Context(), dsn); err != nil { // a superuser's
		t.Fatal(err)
	}
	var other *OwnerError
	if _, err := GrantIAM(t.Context(), masterDSN, Login{}, broker); !errors.As(err, &other) || other.Relation != "brokers" {
		t.Errorf("err = %v", err)
	}
	var made bool
	if err := connect(t, dsn).QueryRow(t.Context(), "select exists (select from pg_roles where rolname = $1)", broker).Scan(&made); err != nil || made {
		t.Errorf("made a role that can do nothing: %v, %v", made, err)
	}
}
