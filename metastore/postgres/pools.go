package postgres

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pools are the connections of a store, apart by what waits for them: statements that take their time (a large snapshot,
// a trim, a row that somebody holds) delay neither an append nor the brokers that follow the log.
type pools struct {
	commit     *pool // Append
	read       *pool // what follows the log
	background *pool // everything else
}

// pool is a pool of connections that all take the same route.
type pool struct {
	*pgxpool.Pool
	route *route
}

func newPools(dsn string, opts Options, r *route) (p pools, err error) {
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.commit, err = newPool(dsn, opts.CommitConns, opts.Login, r); err != nil {
		return p, err
	}
	if p.read, err = newPool(dsn, opts.ReadConns, opts.Login, r); err != nil {
		return p, err
	}
	p.background, err = newPool(dsn, opts.BackgroundConns, opts.Login, r)
	return p, err
}

func (p pools) all() []*pool { return []*pool{p.commit, p.read, p.background} }

// farewell is how long a close waits for connections. Those to a server that does not answer take the driver 15 s, which
// would hold up the end of a broker; they end by then all the same.
const farewell = 2 * time.Second

func (p pools) close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, pool := range p.all() {
			if pool != nil {
				pool.Close()
			}
		}
	}()
	late := time.NewTimer(farewell)
	defer late.Stop()
	select {
	case <-closed:
	case <-late.C:
	}
}

func newPool(dsn string, size int32, login Login, r *route) (*pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if err := login.trust(config.ConnConfig); err != nil {
		return nil, err
	}
	config.MaxConns = size
	session := sessionParameters()
	maps.Copy(session, config.ConnConfig.RuntimeParams)
	session["default_transaction_isolation"] = "read committed" // what the statements are made for
	config.ConnConfig.RuntimeParams = session
	switch durability := strings.ToLower(session[synchronousCommit]); durability {
	case "off", "false", "no", "0":
		return nil, errors.New("synchronous_commit=off: what the metastore acknowledges must be durable")
	case "true", "yes", "1":
		session[synchronousCommit] = "on"
	default:
		session[synchronousCommit] = durability
	}
	config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		neverCancel(c)
		if err := login.Password.into(ctx, c); err != nil {
			return err
		}
		return r.beforeConnect(ctx, c)
	}
	if config.ConnConfig.ValidateConnect == nil {
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	config.ConnConfig.ConnectTimeout = cmp.Or(config.ConnConfig.ConnectTimeout, connectTimeout)
	p, err := pgxpool.NewWithConfig(context.Background(), config)
	return &pool{p, r}, err
}

const (
	synchronousCommit     = "synchronous_commit"
	statementTimeoutParam = "statement_timeout"
)

// sessionParameters is what sessions need.
func sessionParameters() map[string]string {
	bound := strconv.FormatInt(statementTimeout.Milliseconds(), 10)
	return map[string]string{
		"application_name":                    "runnel",
		synchronousCommit:                     "on",
		statementTimeoutParam:                 bound,
		"idle_in_transaction_session_timeout": bound,
		"default_transaction_isolation":       "read committed",
	}
}

// exec runs a statement that returns no rows.
func (p *pool) exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	if !p.route.pooled.Load() {
		return p.Exec(ctx, sql, args...)
	}
	var b pgx.Batch
	b.Queue(sql, args...).Exec(func(t pgconn.CommandTag) error {
		tag = t
		return nil
	})
	return tag, p.send(ctx, &b)
}

// row runs a statement that returns one row, and scans it. pgx.ErrNoRows.
func (p *pool) row(ctx context.Context, dest []any, sql string, args ...any) error {
	if !p.route.pooled.Load() {
		return p.QueryRow(ctx, sql, args...).Scan(dest...)
	}
	var b pgx.Batch
	b.Queue(sql, args...).QueryRow(func(row pgx.Row) error { return row.Scan(dest...) })
	return p.send(ctx, &b)
}

// collect returns all rows of a query; nil if there are none.
func collect[T any](ctx context.Context, p *pool, scan pgx.RowToFunc[T], sql string, args ...any) (found []T, err error) {
	if !p.route.pooled.Load() {
		rows, err := p.Query(ctx, sql, args...)
		if err != nil {
			return nil, err
		}
		return pgx.AppendRows([]T(nil), rows, scan)
	}
	var b pgx.Batch
	b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.AppendRows([]T(nil), rows, scan)
		return err
	})
	return found, p.send(ctx, &b)
}

// affects runs a statement and returns none if it changed no row.
func (p *pool) affects(ctx context.Context, none error, sql string, args ...any) error {
	tag, err := p.exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		return none
	}
	return err
}

// send runs statements in one transaction and one round trip, with the settings in front where sessions cannot keep
// them.
func (p *pool) send(ctx context.Context, b *pgx.Batch) error {
	if p.route.pooled.Load() {
		settings := p.Config().ConnConfig.RuntimeParams
		var all pgx.Batch
		all.Queue(transactionSettingsSQL, settings[synchronousCommit], settings[statementTimeoutParam])
		all.QueuedQueries = append(all.QueuedQueries, b.QueuedQueries...)
		b = &all
	}
	return p.SendBatch(ctx, b).Close()
}

const transactionSettingsSQL = `
select set_config('synchronous_commit', $1::text, true), set_config('statement_timeout', $2::text, true)`
