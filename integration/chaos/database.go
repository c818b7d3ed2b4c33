package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// database is a PostgreSQL server and a standby that takes part in every commit. A fail-over has them change places: the old
// primary comes back as a copy of the new one, never as it was.
type database struct {
	primary, standby *servers.Postgres

	taken connections
}

// connectionsOfServer is few enough to be taken away, and enough for five brokers.
const connectionsOfServer = "80"

// openDatabase starts the two servers. Without synchronous, commits do not wait for the standby.
func openDatabase(t testing.TB, synchronous bool) *database {
	t.Helper()
	d := &database{primary: harness.OwnPostgres(t, servers.PostgresOptions{Settings: map[string]string{
		"max_connections": connectionsOfServer,
	}})}
	var err error
	if d.standby, err = servers.OpenStandby(t.Context(), d.primary); err != nil {
		t.Fatal(err)
	}
	standby := d.standby
	t.Cleanup(func() {
		d.taken.release()
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	if synchronous {
		if err := d.primary.RequireStandby(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// restart stops the primary as an administrator does, and starts it.
func (d *database) restart(ctx context.Context) error {
	return errors.Join(d.primary.Stop(), d.primary.Start(ctx))
}

// crash ends the primary without a word to anyone, and starts it, to recover.
func (d *database) crash(ctx context.Context) error {
	return errors.Join(d.primary.Abort(), d.primary.Start(ctx))
}

// failOver kills the primary and promotes the standby. From then on there is one server, until rebuild.
func (d *database) failOver(ctx context.Context) error {
	// What ended a moment ago, such as the connections that commits waited on, must not be taken for what this does.
	if err := d.primary.AwaitStandby(ctx); err != nil {
		return err
	}
	if err := d.primary.Kill(); err != nil {
		return err
	}
	if err := d.standby.Promote(ctx); err != nil {
		return err
	}
	d.primary, d.standby = d.standby, d.primary
	return nil
}

// rebuild makes the server that was the primary the standby.
func (d *database) rebuild(ctx context.Context) error {
	if err := d.standby.Follow(ctx, d.primary); err != nil {
		return err
	}
	return d.primary.RequireStandby(ctx)
}

// endSessions ends the connections of everyone else, wherever they are in what they do.
func (d *database) endSessions(ctx context.Context) error {
	return d.primary.Execute(ctx, `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
}

// exhaust takes every connection that the server has or gets back, until relieve. Those of the brokers are ended.
func (d *database) exhaust(ctx context.Context) error {
	if err := d.taken.take(ctx, d.primary.DSN()); err != nil {
		return err
	}
	return d.taken.endOthers(ctx)
}

func (d *database) relieve() { d.taken.release() }

// connections are sessions that do nothing.
type connections struct {
	mu    sync.Mutex
	held  []*pgx.Conn
	end   context.CancelFunc
	ended chan struct{}
}

// take opens connections until the server has none left, and goes on to take those that others give back.
func (c *connections) take(ctx context.Context, dsn string) error {
	for {
		full, err := c.one(ctx, dsn)
		if err != nil {
			return err
		}
		if full {
			break
		}
	}
	ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	c.ended = make(chan struct{})
	go func() {
		defer close(c.ended)
		for ctx.Err() == nil {
			if full, err := c.one(ctx, dsn); full || err != nil {
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		}
	}()
	return nil
}

// one opens one connection, or finds that there is none left.
func (c *connections) one(ctx context.Context, dsn string) (full bool, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		const tooManyConnections = "53300"
		if code := sqlState(err); code == tooManyConnections {
			return true, nil
		}
		return false, fmt.Errorf("take a connection: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, conn)
	return false, nil
}

// endOthers ends the sessions of brokers, so that they need new ones.
func (c *connections) endOthers(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ours []uint32
	for _, conn := range c.held {
		ours = append(ours, conn.PgConn().PID())
	}
	_, err := c.held[0].Exec(ctx, `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL ($1)`, ours)
	if err != nil {
		return fmt.Errorf("end the other sessions: %w", err)
	}
	return nil
}

// release gives all connections back. Without any it does nothing.
func (c *connections) release() {
	if c.end == nil {
		return
	}
	c.end()
	<-c.ended
	c.end = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.held {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = conn.Close(ctx)
		cancel()
	}
	c.held = nil
}

// sqlState is the code of an error of PostgreSQL, if it is one.
func sqlState(err error) string {
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}
