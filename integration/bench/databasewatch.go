package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// databaseWatch measures a broker and its database.
type databaseWatch struct {
	conn *pgx.Conn
	name string
	c    *cluster
}

// use is what a broker and its clients did, per second.
type use struct {
	answers      float64
	cpu          float64 // % of a core
	transactions float64 // of the database
	memory       float64 // MiB
	records      int     // answers with records, in all
}

func watchDatabase(ctx context.Context, m *machine, c *cluster) (*databaseWatch, error) {
	dsn, err := m.postgres.CreateDatabase(ctx, c.prefix+"_watch") // looking from outside is not counted
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, dsn)
	return &databaseWatch{conn, c.prefix, c}, err
}

func (w *databaseWatch) close(ctx context.Context) error { return w.conn.Close(ctx) }

func (w *databaseWatch) transactions(ctx context.Context) (n int64, err error) {
	err = w.conn.QueryRow(ctx, `select xact_commit + xact_rollback from pg_stat_database where datname = $1`, w.name).Scan(&n)
	return n, err
}

// measure looks for so long; p is nil if nobody polls.
func (w *databaseWatch) measure(ctx context.Context, long time.Duration, p *polls) (u use, err error) {
	if p == nil {
		p = new(polls)
	}
	pid := w.c.processes[0].Pid()
	look := func() (cpu time.Duration, transactions, answers, records int64, err error) {
		cpu, err1 := cpuTime(pid)
		transactions, err2 := w.transactions(ctx)
		return cpu, transactions, p.answers.Load(), p.records.Load(), errors.Join(err1, err2)
	}
	start := time.Now()
	cpu, transactions, answers, records, err := look()
	if err != nil {
		return u, err
	}
	select {
	case <-time.After(long):
	case <-ctx.Done():
		return u, ctx.Err()
	}
	took := time.Since(start).Seconds()
	cpu2, transactions2, answers2, records2, err := look()
	if err != nil {
		return u, err
	}
	u = use{
		answers: float64(answers2-answers) / took, cpu: (cpu2 - cpu).Seconds() / took * 100,
		transactions: float64(transactions2-transactions) / took, records: int(records2 - records),
	}
	u.memory, err = memory(pid, "VmRSS")
	return u, err
}
