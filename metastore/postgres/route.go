package postgres

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// route is what a store learns about the way to its database.
//
// A pooler that gives a server connection away for one transaction at a time (pgbouncer in transaction mode) shows in one
// of three ways: it refuses the start-up parameters, or it drops them, or what was prepared on one server connection is
// asked of another. In each the statement was not run. The store then goes the other way from there on: no start-up
// parameters, but the settings in each transaction, still in one round trip, and no prepared statements, unless the DSN
// wants them. That costs the database a second, tiny statement and a plan per call, which is why it is not the only way.
type route struct {
	modeGiven bool        // the DSN says how statements are sent
	pooled    atomic.Bool // sessions keep nothing
}

func newRoute(dsn string) *route {
	return &route{modeGiven: strings.Contains(dsn, "default_query_exec_mode")}
}

func (r *route) beforeConnect(_ context.Context, config *pgx.ConnConfig) error {
	if !r.pooled.Load() {
		return nil
	}
	for name := range sessionParameters() {
		if name != "application_name" { // which poolers know
			delete(config.RuntimeParams, name)
		}
	}
	if !r.modeGiven {
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return nil
}

// errSettings: a session does not have the settings that it was started with.
var errSettings = errors.New("the database does not run statements with the settings that the metastore needs")

// showsPooler tells whether a call failed because a pooler is in the way, before anything was done.
func (r *route) showsPooler(err error) bool {
	return errors.Is(err, errSettings) || refusesParameters(err) || (losesStatements(err) && !r.modeGiven)
}

// refusesParameters tells whether no connection was made because of a start-up parameter.
func refusesParameters(err error) bool {
	var refused *pgconn.ConnectError
	return errors.As(err, &refused) && strings.Contains(err.Error(), "unsupported startup parameter")
}

// losesStatements tells whether a prepared statement is unknown to the server connection, or known from another client.
func losesStatements(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && (failure.Code == "26000" || failure.Code == "42P05")
}

// advice says what to do about a pooler that the store cannot work with.
func (r *route) advice(err error) string {
	switch {
	case refusesParameters(err):
		return "the connection pooler refuses a parameter that the URL sets: " +
			"take it out of the URL, or name it in pgbouncer's ignore_startup_parameters: "
	case losesStatements(err):
		return "the connection pooler does not keep prepared statements: put default_query_exec_mode=exec into the URL " +
			"in place of the mode that it names, or set max_prepared_statements (pgbouncer 1.21): "
	}
	return ""
}
