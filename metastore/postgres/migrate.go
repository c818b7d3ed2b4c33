package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

const migrationsTable = "schema_migrations"

// Applied is a migration that Migrate has run.
type Applied struct {
	Version int64
	Name    string // of its file
	Took    time.Duration
}

// Migrate brings the database to the version that this binary needs, forward only, and tells what that took. Several
// may run at once: one does the work, the others wait for it.
func Migrate(ctx context.Context, dsn string) ([]Applied, error) {
	return MigrateAs(ctx, dsn, Login{})
}

// MigrateAs is Migrate with sessions that authenticate as login says.
func MigrateAs(ctx context.Context, dsn string, login Login) (applied []Applied, err error) {
	config, err := pgx.ParseConfig(dsn)
	if err == nil {
		err = login.trust(config)
	}
	if err != nil {
		return nil, fmt.Errorf("migrate metastore: %w", err)
	}
	// What the role or the database sets for ordinary statements does not bound a migration. And a pooler shows: it
	// refuses this, or drops it.
	config.RuntimeParams[statementTimeoutParam] = migrationTimeout
	config.RuntimeParams["lock_timeout"] = migrationLockTimeout
	config.ConnectTimeout = cmp.Or(config.ConnectTimeout, connectTimeout)
	db := stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(login.Password.into))
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := checkDirect(ctx, db); err != nil {
		return nil, fmt.Errorf("migrate metastore: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("migrate metastore: %w", err)
	}
	session, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 30))
	if err != nil {
		return nil, fmt.Errorf("migrate metastore: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(session),
		goose.WithTableName(migrationsTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("migrate metastore: %w", err)
	}
	if applied, err = up(ctx, provider); err != nil {
		return applied, fmt.Errorf("migrate metastore: %w", err)
	}
	return applied, nil
}

// What a migration locks is in use, and what comes while it waits for a lock waits behind it: leases would run out. So it
// waits for less than they have left, lets the others pass, and tries again.
const (
	migrationLockTimeout  = "1s"
	migrationLockPause    = 2 * time.Second
	migrationLockAttempts = 100
)

// up runs the migrations that are missing and tells which it ran, also before an error.
func up(ctx context.Context, provider *goose.Provider) (applied []Applied, err error) {
	for attempt := 1; ; attempt++ {
		results, err := provider.Up(ctx)
		if partial := (*goose.PartialError)(nil); errors.As(err, &partial) {
			results = partial.Applied
		}
		for _, r := range results {
			applied = append(applied, Applied{Version: r.Source.Version, Name: path.Base(r.Source.Path), Took: r.Duration})
		}
		switch {
		case !waitsForLock(err):
			return applied, err
		case attempt == migrationLockAttempts:
			return applied, fmt.Errorf("a long transaction, such as a dump, holds a table: %w", err)
		}
		select {
		case <-time.After(migrationLockPause):
		case <-ctx.Done():
			return applied, err
		}
	}
}

// waitsForLock tells whether the server gave up waiting for a lock.
func waitsForLock(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && failure.Code == "55P03"
}

// migrationTimeout bounds each statement of a migration.
const migrationTimeout = "1h"

const migrationTimeoutSQL = `select current_setting('statement_timeout')`

// checkDirect refuses connection poolers: the lock that keeps migrations apart is a session's, which poolers give to
// others, and leave behind.
func checkDirect(ctx context.Context, db *sql.DB) error {
	const advice = "migrations hold a lock of their session: give them a URL that does not go through a connection pooler"
	var timeout string
	err := db.QueryRowContext(ctx, migrationTimeoutSQL).Scan(&timeout)
	switch {
	case err != nil && (refusesParameters(err) || losesStatements(err)):
		return fmt.Errorf("%s: %w", advice, err)
	case err == nil && timeout != migrationTimeout:
		return errors.New(advice)
	}
	return err
}

// latestMigration is the highest version among the embedded files, which their names begin with.
func latestMigration() (int64, error) {
	files, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return 0, err
	}
	var latest int64
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration %s: %w", f.Name(), err)
		}
		latest = max(latest, version)
	}
	return latest, nil
}
