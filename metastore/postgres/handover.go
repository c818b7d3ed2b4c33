package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// relations are what migrations make and alter; indexes, and sequences of columns, go with their tables.
var relations = []string{"brokers", "commit_log", "group_epochs", "group_offsets", "groups", "leases", "meta", migrationsTable, "snapshots"}

// OwnerError says that tables are of a user whose name who logs in cannot act in, so that nobody can hand them over.
type OwnerError struct{ Relation, Owner, Role string }

func (e *OwnerError) Error() string {
	return fmt.Sprintf("%s is owned by %s, and brokers that log in as %s could not alter it: log in as %[2]s, or as who is a member of it and may make roles",
		e.Relation, e.Owner, e.Role)
}

// Whose relations of ours in the schema are not the role's, and whether who logs in may act as their owner. Sequences that belong
// to a column cannot be altered themselves.
const handoverSQL = `
select c.relname::text, c.relkind = 'S', r.rolname::text, pg_has_role(current_user, c.relowner, 'usage')
from pg_class as c
join pg_roles as r on r.oid = c.relowner
where c.relnamespace = to_regnamespace(quote_ident($1::text)) and c.relname = any($2::text[]) and c.relkind in ('r', 'p', 'S')
	and r.rolname <> $3::text
	and not exists (select from pg_depend as d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and c.relkind = 'S')
order by c.relname`

// A role gives things to roles alone whose name it could take: of servers before 16, those that it is a member of.
const canSetSQL = `
select pg_has_role(current_user, $1::text, case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end)`

type owned struct {
	name     string
	sequence bool
	owner    string
	mine     bool
}

// handOver makes tables the role's that somebody made who logged in by password: who owns a table alone can alter it, and the
// next migration is the role's to run. The former owner may go on to read and write, as brokers do that run yet. For the moment
// of the transaction who logs in is a member of the role; nobody sees it, so that it has its password afterwards.
func handOver(ctx context.Context, tx pgx.Tx, schema, role string) error {
	// Whoever waits for a lock makes all wait who come after: brokers are at work, and somebody's long query must not stop them.
	if _, err := tx.Exec(ctx, "set local lock_timeout = '1s'"); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, handoverSQL, schema, relations, role)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o owned, err error) {
		err = row.Scan(&o.name, &o.sequence, &o.owner, &o.mine)
		return o, err
	})
	if err != nil || len(all) == 0 {
		return err
	}
	for _, o := range all {
		if !o.mine {
			return &OwnerError{Relation: o.name, Owner: o.owner, Role: role}
		}
	}
	var can bool
	if err := tx.QueryRow(ctx, canSetSQL, role).Scan(&can); err != nil {
		return err
	}
	name := pgx.Identifier{role}.Sanitize()
	var statements []string
	if !can {
		statements = append(statements, "grant "+name+" to current_user")
	}
	for _, o := range all {
		relation := pgx.Identifier{schema, o.name}.Sanitize()
		former := pgx.Identifier{o.owner}.Sanitize()
		if o.sequence {
			statements = append(statements, "alter sequence "+relation+" owner to "+name, "grant usage, select, update on sequence "+relation+" to "+former)
			continue
		}
		statements = append(statements, "alter table "+relation+" owner to "+name, "grant select, insert, update, delete on "+relation+" to "+former)
	}
	if !can {
		statements = append(statements, "revoke "+name+" from current_user")
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			if waitsForLock(err) {
				return fmt.Errorf("hand the tables over: another session is at work with them for long; nothing was changed, try again: %w", err)
			}
			return fmt.Errorf("hand the tables over: %w", err)
		}
	}
	return nil
}
