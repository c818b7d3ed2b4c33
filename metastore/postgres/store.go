// Package postgres keeps the metastore in PostgreSQL 13 or later, or an engine that speaks its protocol and passes the
// contract.
//
// The database is prepared by Migrate; a Store refuses one that is not (ErrSchema). Nothing in it has foreign keys,
// triggers, stored procedures or NOTIFY. Leases run by the database's clock. Every call is one round trip and one
// transaction, at READ COMMITTED.
//
// Only a primary will do: unless the DSN says otherwise, target_session_attrs is read-write. A standby lags, and a log that
// lags looks like one that went back in time.
//
// What sessions need is set as start-up parameters: synchronous_commit=on (another value may be given in the DSN, but
// off is refused), statement_timeout, default_transaction_isolation.
//
// pgbouncer may stand in between, in transaction mode too, with nothing to set on either side: the store notices that
// sessions keep neither parameters nor prepared statements, and does without (see route). Otherwise:
//   - With pgbouncer 1.21 or later and its max_prepared_statements above 0, default_query_exec_mode=cache_statement in the
//     DSN saves the database from planning each statement.
//   - Migrate needs a DSN that does not go through it: migrations hold a session's lock.
//   - The database must not set default_transaction_isolation to anything else than read committed.
//   - A broker takes up to ten client connections; its default_pool_size should leave an append one of its own.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/runnel-io/runnel/metastore"
)

// ErrClosed is returned by calls after Close, and by those that it interrupts.
var ErrClosed = errors.New("metastore is closed")

// statementTimeout bounds every statement, in the server and here. After it, an append of unknown outcome is there or
// never will be, but for one that waits for a synchronous standby (see neverCancel): until that has it nothing else is
// appended, and the session lasts that long.
const statementTimeout = 30 * time.Second

// Without an answer for so long, a connection is given up, and with it those that lie idle, which may be as dead: behind a
// network that lost them without a word, each would be waited for in turn. The statements' work takes milliseconds;
// those that move snapshots, and others that may take their time, have statementTimeout.
const (
	lookTimeout   = 3 * time.Second  // for the end of the log
	answerTimeout = 10 * time.Second // for an append, or entries
)

// connectTimeout bounds making a connection, login and all, where the DSN's connect_timeout does not.
const connectTimeout = 5 * time.Second

// Options configure a Store. The zero value holds the defaults.
type Options struct {
	PollInterval time.Duration // between looks at the end of the log while somebody waits; 50 ms
	// Login says how sessions authenticate, beyond what the DSN says.
	Login Login

	// Connections, at most. Eight brokers with the defaults leave some of PostgreSQL's 100 for people.
	CommitConns     int32 // for Append; 2
	ReadConns       int32 // for what follows the log: Read, Wait, LatestSnapshot; 2
	BackgroundConns int32 // for everything else; 6
}

func (o Options) withDefaults() Options {
	o.PollInterval = cmp.Or(o.PollInterval, 50*time.Millisecond)
	o.CommitConns = cmp.Or(o.CommitConns, 2)
	o.ReadConns = cmp.Or(o.ReadConns, 2)
	o.BackgroundConns = cmp.Or(o.BackgroundConns, 6)
	return o
}

func (o Options) validate() error {
	if o.PollInterval < 0 || o.CommitConns < 0 || o.ReadConns < 0 || o.BackgroundConns < 0 {
		return fmt.Errorf("negative option: %+v", o)
	}
	return nil
}

// Store implements metastore.Store. Errors other than the contract's are transient, or their outcome is unknown: the
// database is down, fails over, or is too slow. A call that the database rolled back for the sake of another is made again
// here, a few times.
type Store struct {
	pools
	route   *route
	watch   *watch
	checked atomic.Bool // the schema is known to match

	lifetime context.Context // until Close: calls in flight end with it
	end      context.CancelFunc
}

var _ metastore.Store = (*Store)(nil)

// Open returns a store on the database that dsn names (a URL or key=value pairs, as libpq's). It does not connect: that,
// and the check of the schema, happen on first use.
func Open(_ context.Context, dsn string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("open metastore: %w", err)
	}
	route := newRoute(dsn)
	pools, err := newPools(dsn, opts, route)
	if err != nil {
		return nil, fmt.Errorf("open metastore: %w", err)
	}
	s := &Store{pools: pools, route: route}
	s.lifetime, s.end = context.WithCancel(context.Background())
	s.watch = newWatch(opts.PollInterval, s.End)
	return s, nil
}

// Close implements metastore.Store.
func (s *Store) Close() error {
	s.end()
	s.watch.close()
	s.pools.close()
	return nil
}

// call runs one call against the database: with a deadline, ended by Close, and after a look at the schema if nobody
// had one yet. what begins the error.
func (s *Store) call(ctx context.Context, what string, run func(ctx context.Context) error) error {
	return s.callWithin(ctx, statementTimeout, what, run)
}

// callWithin is call with a shorter deadline. If that is what ends it, connections that lie idle are not used again.
func (s *Store) callWithin(ctx context.Context, within time.Duration, what string, run func(ctx context.Context) error) error {
	if s.lifetime.Err() != nil {
		return ErrClosed
	}
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	defer func() {
		if ctx.Err() != nil && asked.Err() == nil && s.lifetime.Err() == nil {
			s.resetPools()
		}
	}()
	defer context.AfterFunc(s.lifetime, cancel)()
	pooled := s.route.pooled.Load()
	err := s.attempt(ctx, run)
	if !pooled && s.route.showsPooler(err) {
		s.reroute()
		err = s.attempt(ctx, run)
	}
	switch {
	case err == nil:
		return nil
	case s.lifetime.Err() != nil:
		return fmt.Errorf("%s: %w: %w", what, ErrClosed, err)
	case isUndefined(err):
		return fmt.Errorf("%s: %w: run `runnel migrate`: %w", what, metastore.ErrSchema, err)
	}
	return fmt.Errorf("%s: %s%w", what, s.route.advice(err), err)
}

func (s *Store) attempt(ctx context.Context, run func(ctx context.Context) error) error {
	if err := s.checkSchema(ctx); err != nil {
		return err
	}
	return again(ctx, run)
}

// reroute goes the way of poolers from here on.
func (s *Store) reroute() {
	if s.route.pooled.CompareAndSwap(false, true) {
		s.checked.Store(false)
		s.resetPools()
	}
}

// resetPools closes the connections that lie idle, and the others when they are given back.
func (s *Store) resetPools() {
	for _, p := range s.pools.all() {
		p.Reset()
	}
}

const schemaSQL = `
select current_setting('synchronous_commit'),
       (select setting::bigint from pg_settings where name = 'statement_timeout'),
       current_setting('transaction_isolation'),
       (select coalesce(max(version_id), 0) from schema_migrations where is_applied)`

// checkSchema makes sure that the database has the migrations that this binary has, and is durable.
func (s *Store) checkSchema(ctx context.Context) error {
	if s.checked.Load() {
		return nil
	}
	var session sessionSettings
	var version int64
	err := s.read.row(ctx, []any{&session.durability, &session.timeout, &session.isolation, &version}, schemaSQL)
	if err != nil {
		return err
	}
	want, err := latestMigration()
	switch {
	case err != nil:
		return err
	case version < want:
		return fmt.Errorf("%w: it is at version %d, not %d: run `runnel migrate`", metastore.ErrSchema, version, want)
	case version > want:
		return fmt.Errorf("%w: it is at version %d, this one knows %d", metastore.ErrNewerSchema, version, want)
	}
	if err := session.check(s.read.Config().ConnConfig.RuntimeParams[synchronousCommit]); err != nil {
		return fmt.Errorf("%w: %w", errSettings, err)
	}
	s.checked.Store(true)
	return nil
}

// sessionSettings are those that statements run with.
type sessionSettings struct {
	durability string // synchronous_commit
	timeout    int64  // statement_timeout in ms
	isolation  string
}

// check refuses what would break the contract.
func (s sessionSettings) check(durability string) error {
	switch {
	case s.durability != durability:
		return fmt.Errorf("synchronous_commit is %s, not %s", s.durability, durability)
	case s.timeout <= 0 || s.timeout > statementTimeout.Milliseconds():
		return fmt.Errorf("statement_timeout is %d ms: without one of at most %s, an append whose outcome is unknown may appear at any later time",
			s.timeout, statementTimeout)
	case s.isolation != "read committed":
		return fmt.Errorf("transactions are %s, not read committed: ALTER DATABASE ... RESET default_transaction_isolation", s.isolation)
	}
	return nil
}

// isUndefined tells whether the server misses a table, column or sequence.
func isUndefined(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && (failure.Code == "42P01" || failure.Code == "42703" || failure.Code == "3F000")
}

const clusterIDSQL = `select cluster_id from meta`

// ClusterID implements metastore.Brokers.
func (s *Store) ClusterID(ctx context.Context) (string, error) {
	var id string
	err := s.call(ctx, "read cluster id", func(ctx context.Context) error {
		return s.background.row(ctx, []any{&id}, clusterIDSQL)
	})
	return id, err
}
