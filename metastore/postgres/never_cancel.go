package postgres

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/runnel-io/runnel/socket"
)

var errNeverCancel = errors.New("statements are not cancelled")

// neverCancel has the driver close a connection whose statement is given up, and nothing else. By itself it asks the server,
// on another connection, to cancel the statement. A server whose synchronous standby does not answer has committed it by
// then and waits, and a cancelled wait makes it visible: (1) an append waits for the standby and is given up; (2) the cancel
// ends the wait; (3) the log is read, the entry is there, and producers are told so; (4) the primary is lost, and the standby
// never had the entry. Left alone, it is visible when the standby has it. What waits for a lock instead ends by
// statement_timeout.
func neverCancel(config *pgx.ConnConfig) {
	l := &line{dial: config.DialFunc, after: config.AfterConnect}
	config.DialFunc, config.AfterConnect = l.connect, l.connected
}

// line is the way of one connection to the server. The driver dials until it is connected, once or more, and after that only
// to cancel: when it has given the connection up.
type line struct {
	dial  pgconn.DialFunc
	after pgconn.AfterConnectFunc

	mu   sync.Mutex
	last net.Conn
	up   bool
}

func (l *line) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up {
		_ = l.last.Close() // or the driver waits until the statement ends
		return nil, errNeverCancel
	}
	conn, err := l.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.last = socket.Quick(conn)
	return l.last, nil
}

func (l *line) connected(ctx context.Context, conn *pgconn.PgConn) error {
	l.mu.Lock()
	l.up = true
	l.mu.Unlock()
	if l.after == nil {
		return nil
	}
	return l.after(ctx, conn)
}
