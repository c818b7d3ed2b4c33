package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNoIAM says that the server does not know logins by AWS's IAM.
var ErrNoIAM = errors.New("the server has no role rds_iam: it is not of RDS or Aurora, or authentication by IAM is off there")

// ErrOwnLogin says that a role would take its own password from it.
var ErrOwnLogin = errors.New("who logs in by IAM has no password any more: name a role of its own for brokers, and not the one that you log in as")

// rdsIAM is the role that RDS and Aurora have. Who is a member of it, also indirectly, logs in with tokens of IAM and with no
// password any more.
const rdsIAM = "rds_iam"

// loginRefused are what a server says to who does not get in: invalid authorization, invalid password.
var loginRefused = []string{"28000", "28P01"}

// GrantIAM makes a role for brokers, unless it is there, which logs in with tokens of IAM and may make the metastore's tables in
// the database and the schema of the DSN. Tables that are there already become the role's. It tells whether it made the role. The DSN is of who may make roles, such as the
// master of RDS. Several may run at once.
//
// The master is never made a member of the role, to migrate in its name: it would be one of rds_iam then, and its password worth
// nothing. From PostgreSQL 16 on the server itself makes it one, as it makes the role, and nobody but a superuser can undo
// that: so the first run may be the last that logs in with the password, and callers must not need another.
func GrantIAM(ctx context.Context, dsn string, login Login, role string) (made bool, err error) {
	config, err := pgx.ParseConfig(dsn)
	if err == nil {
		err = login.trust(config)
	}
	if err == nil {
		err = login.Password.into(ctx, config)
	}
	if err != nil {
		return false, fmt.Errorf("grant login by IAM: %w", err)
	}
	config.ConnectTimeout = cmp.Or(config.ConnectTimeout, connectTimeout)
	conn, err := pgx.ConnectConfig(ctx, config)
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && slices.Contains(loginRefused, refused.Code) {
		return false, fmt.Errorf("grant login by IAM: %w (if %s was made before, nothing is wrong: from PostgreSQL 16 on, the "+
			"password of who made it may be refused from then on)", err, role)
	}
	if err != nil {
		return false, fmt.Errorf("grant login by IAM: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer cancel()
		err = errors.Join(err, conn.Close(closing))
	}()
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
		made, err = grantIAM(ctx, tx, role)
		return err
	}); err != nil {
		return false, fmt.Errorf("grant login by IAM to %s: %w", role, err)
	}
	return made, nil
}

// Roles are of all databases of a server, and two who make one do not wait for each other.
const grantLockSQL = `select pg_advisory_xact_lock(hashtextextended('runnel: roles', 0))`

const roleSQL = `
select
	exists (select from pg_roles where rolname = $2::text),
	exists (select from pg_roles where rolname = $1::text),
	coalesce((select rolcanlogin from pg_roles where rolname = $1::text), false),
	exists (select from pg_auth_members where member = to_regrole(quote_ident($1::text)) and roleid = to_regrole(quote_ident($2::text))),
	session_user = $1::text,
	current_database()::text,
	coalesce(current_schema(), '')::text`

func grantIAM(ctx context.Context, tx pgx.Tx, role string) (made bool, err error) {
	if _, err := tx.Exec(ctx, grantLockSQL); err != nil {
		return false, err
	}
	var iam, exists, login, member, self bool
	var database, schema string
	if err := tx.QueryRow(ctx, roleSQL, role, rdsIAM).Scan(&iam, &exists, &login, &member, &self, &database, &schema); err != nil {
		return false, err
	}
	switch {
	case !iam:
		return false, ErrNoIAM
	case self:
		return false, ErrOwnLogin
	case schema == "":
		return false, errors.New("no schema of search_path exists")
	}
	name := pgx.Identifier{role}.Sanitize()
	var statements []string
	switch {
	case !exists:
		statements = append(statements, "create role "+name+" login")
	case !login:
		statements = append(statements, "alter role "+name+" login")
	}
	if !member {
		statements = append(statements, "grant "+rdsIAM+" to "+name)
	}
	statements = append(statements,
		"grant connect, create, temporary on database "+pgx.Identifier{database}.Sanitize()+" to "+name,
		"grant usage, create on schema "+pgx.Identifier{schema}.Sanitize()+" to "+name)
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return false, err
		}
	}
	return !exists, handOver(ctx, tx, schema, role)
}
