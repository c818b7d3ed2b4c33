package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// commitAlone measures one broker's sequencing path, on an empty log and where it might suffer.
func commitAlone(ctx context.Context, m *machine) (s section, err error) {
	s = newSection("log", "commits/s", "p50, ms", "p99, ms", "p99.9, ms")
	load := []string{"--runs", "600", "--batches", "1600", "--producers", "64", "--committers", "1"}
	for _, log := range []struct {
		name    string
		prepare func(ctx context.Context, dsn string) (end func(context.Context) error, err error)
	}{
		{"empty", nil},
		{"a million entries in it", fill},
		{"empty, with an old snapshot open, as of pg_dump", holdSnapshot},
	} {
		if err := commitsOn(ctx, m, &s, log.name, log.prepare, load...); err != nil {
			return s, err
		}
	}
	return s, nil
}

// commitTogether measures brokers that commit at the same time.
func commitTogether(ctx context.Context, m *machine) (section, error) {
	s := newSection("append", "commits/s", "p50, ms", "p99, ms", "p99.9, ms", "commits/s of the slowest")
	s.note = "Eight committers, each with connections and a copy of the folded log of its own, all in one process on the same cores: every commit is folded eight times. Through the sequencer they also talk to each other, over TLS on the loopback."
	load := []string{"--runs", "600", "--committers", "8"}
	if err := commitsOn(ctx, m, &s, "through the sequencer", nil, append(load, "--sequencer")...); err != nil {
		return s, err
	}
	return s, commitsOn(ctx, m, &s, "directly, each on its own", nil, load...)
}

// commitsOn measures the sequencing path on a database of its own.
func commitsOn(ctx context.Context, m *machine, s *section, name string, prepare func(context.Context, string) (func(context.Context) error, error), args ...string) (err error) {
	_, dsn, err := m.database(ctx)
	if err != nil {
		return err
	}
	if prepare != nil {
		end, err := prepare(ctx, dsn)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, end(ctx)) }()
	}
	r, err := m.runnelBench(ctx, &s.commands, append([]string{"commit", "--metastore", dsn, "--seconds", m.size.seconds}, args...)...)
	if err != nil {
		return err
	}
	cells := []string{name, optional(r.CommitsPerS), number(r.P50), number(r.P99), number(r.P999)}
	if r.LeastCommitsPerS != nil {
		cells = append(cells, optional(r.LeastCommitsPerS))
	}
	s.row(cells...)
	s.outcome += fmt.Sprintf("%s: %s commits/s, p50 %s ms, p99 %s ms. ", name, optional(r.CommitsPerS), number(r.P50), number(r.P99))
	return nil
}

// fill puts a million entries into the log, and a snapshot of the state that they made: nothing. Brokers start from it
// and never read what is before.
func fill(ctx context.Context, dsn string) (end func(context.Context) error, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		`insert into commit_log (seq, checksum, payload)
		 select n, n, decode(repeat('00', 200), 'hex') from generate_series(1, 1000000) as n`,
		`insert into snapshots (seq, checksum, state) values (1000000, 1000000, '\x010000000000')`,
		`vacuum (analyze) commit_log`,
		`checkpoint`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("fill the log: %w", err), conn.Close(ctx))
		}
	}
	return conn.Close, nil
}

// holdSnapshot leaves a transaction open that sees the database as it is now.
func holdSnapshot(ctx context.Context, dsn string) (end func(context.Context) error, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{`begin isolation level repeatable read`, `select count(*) from commit_log`} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("hold a snapshot: %w", err), conn.Close(ctx))
		}
	}
	return conn.Close, nil
}
