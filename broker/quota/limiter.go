package quota

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
)

// Options of a Limiter. The zero value of a field means its default.
type Options struct {
	Window    Window // default: DefaultWindow; two samples at least: with one there is nothing to divide by
	Mutations Window // of Mutation; default: DefaultWindow
	// MaxAccounts bounds who is measured at a time, of each kind; default 100,000. Whoever is above it is measured with the
	// others that are. An account that nothing was taken from for a whole window is forgotten.
	MaxAccounts int
	Shared      bool                  // quotas are the cluster's: see Report and Hear
	Registerer  prometheus.Registerer // default: metrics are not registered
}

// Limiter measures what clients take against their quotas. Its methods may run concurrently.
type Limiter struct {
	quotas  func() *metastore.ConfigSet
	opts    Options
	index   atomic.Pointer[Index]
	making  sync.Mutex // held by whoever makes the next index
	tables  [kinds]*table
	others  atomic.Pointer[others] // nil: nothing was heard
	metrics *metrics
}

// NewLimiter makes a limiter. quotas are the overrides of clients' quotas: the same pointer as long as none changes.
func NewLimiter(quotas func() *metastore.ConfigSet, opts Options) *Limiter {
	if opts.Window == (Window{}) {
		opts.Window = DefaultWindow
	}
	if opts.Mutations == (Window{}) {
		opts.Mutations = DefaultWindow
	}
	opts.Window.Samples, opts.Mutations.Samples = max(opts.Window.Samples, 2), max(opts.Mutations.Samples, 1)
	if opts.MaxAccounts <= 0 {
		opts.MaxAccounts = 100_000
	}
	l := &Limiter{quotas: quotas, opts: opts}
	for k := range l.tables {
		l.tables[k] = newTable(opts.MaxAccounts)
	}
	l.metrics = newMetrics(opts.Registerer, l)
	return l
}

// Index is the quotas as of now.
func (l *Limiter) Index() *Index {
	set := l.quotas()
	if x := l.index.Load(); x != nil && x.set == set {
		return x
	}
	l.making.Lock()
	defer l.making.Unlock()
	x := l.index.Load()
	if x == nil || x.set != set {
		x = NewIndex(set)
		l.index.Store(x)
	}
	return x
}

// Any tells whether there is any quota of users or clients. It is what every request costs if there is none.
func (l *Limiter) Any() bool { return l != nil && l.Index().any }

// window is how a kind is measured.
func (l *Limiter) window(kind Kind) Window {
	if kind == Mutation {
		return l.opts.Mutations
	}
	return l.opts.Window
}

// Meter finds the account of a client. The zero Meter has no limit.
func (l *Limiter) Meter(kind Kind, c Client, now time.Time) Meter {
	if l == nil {
		return Meter{}
	}
	limit, key, ok := l.Index().limit(kind, c)
	if !ok {
		return Meter{}
	}
	a := l.tables[kind].account(key, now, l.window(kind).span())
	return Meter{limiter: l, account: a, kind: kind, limit: limit}
}

// Meter is the account that a client has for a kind, and the limit as of when it was looked for.
type Meter struct {
	limiter *Limiter
	account *account
	kind    Kind
	limit   float64
}

// account is what was taken under one quota.
type account struct {
	mu    sync.Mutex
	rate  Rate
	pace  pace
	full  time.Time // when the window last had no room for what was asked
	token Bucket
	used  time.Time
	share share
	key   key
}

// Limited tells whether there is a limit.
func (m Meter) Limited() bool { return m.account != nil }

// Record notes what was taken, and tells for how long the client is to be throttled, at most a whole window: later calls
// throttle for the rest. Of Request it is a sample at most, as in Kafka.
func (m Meter) Record(amount float64, now time.Time) time.Duration {
	if m.account == nil {
		return 0
	}
	w, a := m.limiter.window(m.kind), m.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = now
	limit, held := m.granted(), m.held(w, now)
	a.rate.Record(w, amount, now)
	a.pace.take(w, amount, limit, held, now)
	full := a.rate.throttle(w, limit, now)
	if full > 0 {
		a.full = now
	}
	if !held {
		return m.throttled(full, now)
	}
	sum, over := a.rate.measure(w, limit, now)
	wait := max(excess(sum-slack(w, limit), limit, over), a.pace.wait(w, 0, limit, now))
	return m.throttled(wait, now)
}

// Reserve notes what is about to be taken; Record then takes what was different.
func (m Meter) Reserve(amount float64, now time.Time) {
	if m.account == nil {
		return
	}
	w, a := m.limiter.window(m.kind), m.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = now
	a.rate.Record(w, amount, now)
	a.pace.take(w, amount, m.granted(), m.held(w, now), now)
}

// throttled bounds a throttle, and counts it. Caller holds the account's mu.
func (m Meter) throttled(wait time.Duration, now time.Time) time.Duration {
	w := m.limiter.window(m.kind)
	if m.kind == Request {
		wait = min(wait, w.Size)
	}
	if wait = min(wait, w.span()); wait > 0 {
		m.account.share.refused = now
		m.limiter.metrics.throttled(m.kind, wait)
	}
	return wait
}

// Room is how much may be taken now. If that is less than what comes in a tenth of a sample, wait is how long it takes until
// a quarter may be, and room is 0; but who took nothing in a whole window, and had one with room all the while, is not told so
// now: what is larger than a window allows gets on at all.
func (m Meter) Room(now time.Time) (room float64, wait time.Duration) {
	w, a := m.limiter.window(m.kind), m.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = now
	limit := m.granted()
	size := limit * w.Size.Seconds()
	sum, over := a.rate.measure(w, limit, now)
	if room = limit*over.Seconds() - sum; sum <= 0 {
		room = max(limit*w.least().Seconds(), size)
	}
	held := m.held(w, now)
	if room < size/10 {
		a.full = now
	}
	if !held {
		if room >= size/10 {
			return room, 0
		}
		return 0, m.throttled(excess(sum+size/4, limit, over), now)
	}
	if room = min(room+slack(w, limit), a.pace.room(w, limit, now)); room >= size/10 {
		return room, 0
	}
	wait = a.pace.wait(w, size/4, limit, now)
	if sum > 0 {
		wait = max(wait, excess(sum+size/4-slack(w, limit), limit, over))
	}
	return 0, m.throttled(wait, now)
}

// Take takes tokens for changes of topics, unless the bucket is overdrawn and strict: false. wait is how long it takes until
// it is not any more.
func (m Meter) Take(amount float64, strict bool, now time.Time) (wait time.Duration, ok bool) {
	if m.account == nil {
		return 0, true
	}
	w, a := m.limiter.window(m.kind), m.account
	a.mu.Lock()
	defer a.mu.Unlock()
	limit := m.granted()
	a.used = now
	if strict {
		if wait := m.throttled(a.token.wait(w, limit, now), now); wait > 0 {
			return wait, false
		}
	}
	a.rate.Record(w, amount, now) // for reports
	a.token.take(w, amount, limit, now)
	if strict {
		return 0, true // it is told the next time
	}
	return m.throttled(a.token.wait(w, limit, now), now), true
}
