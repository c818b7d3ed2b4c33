package postgres

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/metastore"
)

// master makes a role as RDS gives it to who orders a database: owner of it, may make roles, is no superuser. It returns its
// DSN and a name for the brokers' role.
func master(t *testing.T, dsn string) (masterDSN, broker string) {
	t.Helper()
	superuser := connect(t, dsn)
	id := strings.ReplaceAll(metastore.NewSegmentID(time.Now()).String(), "-", "")
	name, broker := "master_"+id, "Broker-"+id // quoted wherever it stands
	u := mustParse(t, dsn)
	database := strings.TrimPrefix(u.Path, "/")
	exec(t, superuser, "create role "+name+" login createrole password 'secret'")
	exec(t, superuser, "alter database "+database+" owner to "+name)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err != nil {
			t.Errorf("drop roles: %v", err)
			return
		}
		defer func() { _ = conn.Close(context.Background()) }()
		for _, sql := range []string{
			"drop owned by " + pgx.Identifier{broker}.Sanitize(), "drop role " + pgx.Identifier{broker}.Sanitize(),
			"alter database " + database + " owner to current_user", "drop owned by " + name, "drop role " + name,
		} {
			if _, err := conn.Exec(context.Background(), sql); err != nil && !strings.Contains(err.Error(), "does not exist") {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})
	u.User = url.UserPassword(name, "secret")
	return u.String(), broker
}

// withIAM gives the server what RDS has, and the master the right to grant it.
func withIAM(t *testing.T, dsn, masterDSN string) {
	t.Helper()
	superuser := connect(t, dsn)
	exec(t, superuser, "do $$ begin create role rds_iam; exception when duplicate_object or unique_violation then null; end $$")
	exec(t, superuser, "grant rds_iam to "+mustParse(t, masterDSN).User.Username()+" with admin option")
}

func TestGrantIAMLetsBrokersMakeTheirTables(t *testing.T) {
	dsn := emptyDatabase(t)
	masterDSN, broker := master(t, dsn)
	withIAM(t, dsn, masterDSN)
	// All brokers of a cluster start at once, and each runs it.
	type answer struct {
		made bool
		err  error
	}
	answers := make(chan answer)
	const brokers = 4
	for range brokers {
		go func() {
			made, err := GrantIAM(t.Context(), masterDSN, Login{}, broker)
			answers <- answer{made, err}
		}()
	}
	made := 0
	for range brokers {
		a := <-answers
		if a.err != nil {
			t.Error(a.err)
		}
		if a.made {
			made++
		}
	}
	if made != 1 {
		t.Errorf("the role was made %d times", made)
	}
	superuser := connect(t, dsn)
	var iam, login, privileged, masterIsMember bool
	if err := superuser.QueryRow(t.Context(), `
select pg_has_role(b.oid, 'rds_iam', 'member'), b.rolcanlogin, b.rolsuper or b.rolcreaterole or b.rolcreatedb,
	exists (select from pg_auth_members as m join pg_roles as r on r.oid = m.member
		where m.roleid = b.oid and not m.admin_option and r.rolname like 'master_%')
from pg_roles as b where b.rolname = $1`, broker).Scan(&iam, &login, &privileged, &masterIsMember); err != nil {
		t.Fatal(err)
	}
	if !iam || !login || privileged || masterIsMember {
		t.Errorf("the role is of rds_iam %v, logs in %v, has privileges %v, has the master as a member %v", iam, login, privileged, masterIsMember)
	}
	// This server takes no tokens: a password stands in for them.
	exec(t, superuser, "alter role "+pgx.Identifier{broker}.Sanitize()+" password 'token'")
	u := mustParse(t, dsn)
	u.User = url.UserPassword(broker, "token")
	applied, err := Migrate(t.Context(), u.String())
	if err != nil || len(applied) == 0 {
		t.Fatalf("the role cannot make its tables: %v, %v", applied, err)
	}
	store, err := Open(t.Context(), u.String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	var owner string
	if err := superuser.QueryRow(t.Context(), `select tableowner from pg_tables where tablename = 'commit_log'`).Scan(&owner); err != nil || owner != broker {
		t.Errorf("the tables are of %q (%v): later versions could not change them", owner, err)
	}
}

func TestGrantIAMOfARoleThatThereIs(t *testing.T) {
	dsn := emptyDatabase(t)
	masterDSN, broker := master(t, dsn)
	withIAM(t, dsn, masterDSN)
	exec(t, connect(t, masterDSN), "create role "+pgx.Identifier{broker}.Sanitize()+" nologin")
	for range 2 {
		if made, err := GrantIAM(t.Context(), masterDSN, Login{}, broker); made || err != nil {
			t.Fatalf("made %v, %v", made, err)
		}
	}
	var login, iam bool
	if err := connect(t, dsn).QueryRow(t.Context(), `select rolcanlogin, pg_has_role(oid, 'rds_iam', 'member') from pg_roles where rolname = $1`,
		broker).Scan(&login, &iam); err != nil || !login || !iam {
		t.Errorf("logs in %v, of rds_iam %v, %v", login, iam, err)
	}
}

// TestGrantIAMOnAnotherServer: a role that could not log in is not made.
func TestGrantIAMLeavesWhoMakesTheRoleItsPassword(t *testing.T) {
	dsn := emptyDatabase(t)
	masterDSN, _ := master(t, dsn)
	withIAM(t, dsn, masterDSN)
	name := mustParse(t, masterDSN).User.Username()
	if _, err := GrantIAM(t.Context(), masterDSN, Login{}, name); !errors.Is(err, ErrOwnLogin) {
		t.Errorf("the one that logs in: %v", err)
	}
}

func TestGrantIAMOnAnotherServer(t *testing.T) {
	dsn := emptyDatabase(t)
	superuser := connect(t, dsn)
	// In a transaction, so that tests beside this one keep the role.
	tx, err := superuser.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), "do $$ begin alter role rds_iam rename to rds_iam_elsewhere; exception when undefined_object then null; end $$"); err != nil {
		t.Fatal(err)
	}
	const role = "broker_elsewhere"
	if _, err := grantIAM(t.Context(), tx, role); !errors.Is(err, ErrNoIAM) {
		t.Errorf("err = %v", err)
	}
	var made bool
	if err := tx.QueryRow(t.Context(), "select exists (select from pg_roles where rolname = $1)", role).Scan(&made); err != nil || made {
		t.Errorf("made a role that cannot log in: %v, %v", made, err)
	}
}

func TestGrantIAMSaysThatARefusedPasswordMayBeAsItShould(t *testing.T) {
	dsn := emptyDatabase(t)
	masterDSN, broker := master(t, dsn)
	exec(t, connect(t, dsn), "alter role "+pgx.Identifier{mustParse(t, masterDSN).User.Username()}.Sanitize()+" nologin")
	if _, err := GrantIAM(t.Context(), masterDSN, Login{}, broker); err == nil || !strings.Contains(err.Error(), "nothing is wrong") {
		t.Errorf("err = %v", err)
	}
}

func mustParse(t *testing.T, dsn string) *url.URL {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
