package postgres

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pools are the connections of a store, apart by what waits for them: statements that take their time (a large snapshot,
// a trim, a row that somebody holds) delay neither an append nor the brokers that follow the log.
type pools struct {
	commit     *pgxpool.Pool // Append
	read       *pgxpool.Pool // what follows the log
	background *pgxpool.Pool // everything else
}

func newPools(dsn string, opts Options) (p pools, err error) {
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.commit, err = newPool(dsn, opts.CommitConns); err != nil {
		return p, err
	}
	if p.read, err = newPool(dsn, opts.ReadConns); err != nil {
		return p, err
	}
	p.background, err = newPool(dsn, opts.BackgroundConns)
	return p, err
}

func (p pools) all() []*pgxpool.Pool { return []*pgxpool.Pool{p.commit, p.read, p.background} }

func (p pools) close() {
	for _, pool := range p.all() {
		if pool != nil {
			pool.Close()
		}
	}
}

func newPool(dsn string, size int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = size
	session := config.ConnConfig.RuntimeParams
	if session["synchronous_commit"] == "off" {
		return nil, errors.New("synchronous_commit=off: what the metastore acknowledges must be durable")
	}
	for name, value := range map[string]string{
		"application_name":                    "runnel",
		"synchronous_commit":                  "on",
		"statement_timeout":                   strconv.FormatInt(statementTimeout.Milliseconds(), 10),
		"idle_in_transaction_session_timeout": strconv.FormatInt(statementTimeout.Milliseconds(), 10),
		"default_transaction_isolation":       "read committed",
	} {
		session[name] = cmp.Or(session[name], value)
	}
	if config.ConnConfig.ValidateConnect == nil {
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	config.ConnConfig.ConnectTimeout = cmp.Or(config.ConnConfig.ConnectTimeout, 5*time.Second)
	return pgxpool.NewWithConfig(context.Background(), config)
}

// affects runs a statement and returns none if it changed no row.
func affects(ctx context.Context, pool *pgxpool.Pool, none error, sql string, args ...any) error {
	tag, err := pool.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		return none
	}
	return err
}

// collect returns all rows of a query; nil if there are none.
func collect[T any](ctx context.Context, pool *pgxpool.Pool, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.AppendRows([]T(nil), rows, scan)
}
