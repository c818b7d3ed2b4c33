package wire

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Server. The zero value of a field means its default.
type Options struct {
	Logger     *slog.Logger          // default: slog.DiscardHandler
	Registerer prometheus.Registerer // default: metrics are not registered
	Budget     *Budget               // for Budgeted routes; default: a Budget of 512 MiB

	MaxRequestBytes    int           // socket.request.max.bytes; default 100 MiB. Larger frames close the connection
	MaxControlBytes    int           // the same for routes that are not Budgeted; default 16 MiB
	ControlBudget      *Budget       // for frames above 16 KiB of routes that are not Budgeted; default 256 MiB
	FrameBytes         int64         // idle memory kept for frames of routes that Borrow; default 32 MiB, negative is none
	AnswerBudget       *Budget       // for what Conn.Hold takes; default 128 MiB
	MaxConnections     func() int    // asked for each connection; default 10,000. Those above it are closed at once
	MaxInFlight        int           // requests per connection that are read but not answered; default 64
	MaxConnectionBytes int           // bytes of such requests, unless it is a single one; default 32 MiB
	IdleTimeout        time.Duration // connections.max.idle.ms; default 10 minutes, negative is never
	StallTimeout       time.Duration // for a frame to arrive, plus 1 s per 256 KiB, and up to half of that more to leave; default 30 s

	Connections             Connections      // is asked for each new connection; default: all may come
	MaxDelayed              int              // connections that Connections makes wait; default 1,000. Those above it are closed
	MaxUnauthenticated      func() int       // connections whose peer is not known yet; default a quarter of MaxConnections
	MaxUnauthenticatedBytes int              // of their frames, sasl.server.max.receive.size; default 524,288
	AuthenticationTimeout   time.Duration    // for a peer to become known, TLS handshake and all; default 30 s
	Now                     func() time.Time // by which sessions end; default time.Now
}

// Connections says which connections may come, and when.
type Connections interface {
	// Admit is called before anything is made for a connection, one call at a time for each listener. If ok, the
	// connection begins after wait, a minute at most, and release is called once it has ended. Otherwise it is closed.
	Admit(endpoint, host string) (release func(), wait time.Duration, ok bool)
}

// admitAll is the default.
type admitAll struct{}

func (admitAll) Admit(string, string) (func(), time.Duration, bool) { return func() {}, 0, true }

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Budget == nil {
		o.Budget = NewBudget(512 << 20)
	}
	if o.ControlBudget == nil {
		o.ControlBudget = NewBudget(256 << 20)
	}
	if o.AnswerBudget == nil {
		o.AnswerBudget = NewBudget(128 << 20)
	}
	if o.FrameBytes == 0 {
		o.FrameBytes = 32 << 20
	}
	setDefault(&o.MaxRequestBytes, 100<<20)
	setDefault(&o.MaxControlBytes, 16<<20)
	o.MaxControlBytes = min(o.MaxControlBytes, o.MaxRequestBytes)
	if o.MaxConnections == nil {
		o.MaxConnections = func() int { return 10_000 }
	}
	setDefault(&o.MaxInFlight, 64)
	setDefault(&o.MaxConnectionBytes, 32<<20)
	if o.IdleTimeout < 0 {
		o.IdleTimeout = 100 * 365 * 24 * time.Hour
	}
	setDefault(&o.IdleTimeout, 10*time.Minute)
	setDefault(&o.StallTimeout, 30*time.Second)
	if o.Connections == nil {
		o.Connections = admitAll{}
	}
	setDefault(&o.MaxDelayed, 1000)
	if o.MaxUnauthenticated == nil {
		all := o.MaxConnections
		o.MaxUnauthenticated = func() int { return max(all()/4, 1) }
	}
	setDefault(&o.MaxUnauthenticatedBytes, 512<<10)
	setDefault(&o.AuthenticationTimeout, 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
