package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// StandbyName is the application_name by which standbys connect, for synchronous_standby_names.
const StandbyName = "runnel_standby"

// OpenStandby makes a server that follows another and starts it. It has its own port and directory and the settings and the
// password of the other.
func OpenStandby(ctx context.Context, of *Postgres) (_ *Postgres, err error) {
	p, err := newPostgres(of.password)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = p.remove() // the error that led here is told
		}
	}()
	p.settings = slices.Clone(of.settings)
	for i, s := range p.settings {
		if strings.HasPrefix(s, "port=") {
			_, port, _ := strings.Cut(p.Address(), ":")
			p.settings[i] = "port=" + port
		}
	}
	return p, p.Follow(ctx, of)
}

// Follow makes a server that does not run a standby of another, with a copy of all its data in place of its own, and starts
// it.
func (p *Postgres) Follow(ctx context.Context, primary *Postgres) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := os.RemoveAll(p.data()); err != nil {
		return fmt.Errorf("remove the cluster's data: %w", err)
	}
	from, err := url.Parse(primary.DSN())
	if err != nil {
		return err
	}
	from.Path, from.RawQuery = "", "sslmode=disable&application_name="+StandbyName
	cmd := p.program(ctx, "pg_basebackup", "--pgdata", p.data(), "--dbname", from.String(),
		"--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast", "--no-sync", "--no-password")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	return p.Start(ctx)
}

// Promote makes a standby a primary and returns when it takes writes.
func (p *Postgres) Promote(ctx context.Context) error {
	promoted, err := p.ask(ctx, "SELECT pg_promote(wait => true, wait_seconds => 30)::text")
	if err == nil && promoted != "true" {
		return fmt.Errorf("the standby was not promoted within 30 s\n%s", p.log.Tail())
	}
	return err
}

// RequireStandby has commits wait, from now on, until the standby has them too, and returns when that is so for all that was
// committed before.
func (p *Postgres) RequireStandby(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.Execute(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+StandbyName+"'"); err != nil {
		return err
	}
	if err := p.Execute(ctx, "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return p.AwaitStandby(ctx)
}

// AwaitStandby waits until commits wait for the standby, and it has all that was committed before.
func (p *Postgres) AwaitStandby(ctx context.Context) error {
	const has = "SELECT exists (SELECT FROM pg_stat_replication WHERE sync_state = 'sync' AND flush_lsn >= $1::pg_lsn)::text"
	position := "0/0" // any, at first
	for range 2 {
		for there := "false"; there != "true"; {
			var err error
			if there, err = p.ask(ctx, has, position); err != nil {
				return fmt.Errorf("wait for the standby: %w", err)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for the standby: %w", ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
		var err error
		if position, err = p.ask(ctx, "SELECT pg_current_wal_lsn()::text"); err != nil {
			return err
		}
	}
	return nil
}

// ask runs a query for one text as the superuser.
func (p *Postgres) ask(ctx context.Context, sql string, args ...any) (answer string, err error) {
	conn, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		return "", fmt.Errorf("%s: %w", sql, err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, sql, args...).Scan(&answer); err != nil {
		return "", fmt.Errorf("%s: %w", sql, err)
	}
	return answer, nil
}

// Execute runs one statement as the superuser.
func (p *Postgres) Execute(ctx context.Context, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}
