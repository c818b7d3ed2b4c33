// Package zonecache makes the block caches of a zone's brokers one: each extent of an object has an owner among them, who
// loads it from the bucket on behalf of all.
//
// Nothing depends on it. An owner that is dead, paused, slow, full or confused costs a bounded wait, and the bucket is
// asked; brokers that disagree about who lives cost a second GET. Promises are kept by the reader, who checks what it is
// given.
package zonecache

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore/cache"
)

// Members knows the brokers; cluster.Membership does.
type Members interface {
	Self() metastore.Broker
	// Live returns the live brokers by node id. The slice is not modified.
	Live() []metastore.Broker
}

// Peers reaches other brokers by the addresses of their peer ports; peer.Client does.
type Peers interface {
	// Block fills dst with bytes of an object, and calls working if the broker says that this takes a while. With an
	// error, well tells whether the broker as such works.
	Block(ctx context.Context, address, key string, objectSize, offset int64, dst [][]byte, working func()) (well bool, err error)
	// Ping tells whether a broker answers.
	Ping(ctx context.Context, address string) error
}

// Options tunes a Zone. The zero value is the default.
type Options struct {
	// Patience is how long an owner may take to give a sign of life before the bucket is asked beside it. It is not
	// asked again then until it answers a ping. Default 200 ms: far more than a broker near by takes, and about what a slow
	// GET takes.
	Patience time.Duration
	// LoadPatience is how long an owner that says it loads the block may take, from then on, before the bucket is asked
	// beside it. The owner's GET gets a second one when it is late, so to go to the bucket as well rarely helps, and
	// would cost a GET for each broker whenever the bucket is slow. Default 1 s.
	LoadPatience time.Duration
	// Longest bounds the wait for an owner, beside the bucket. Default 5 s.
	Longest time.Duration
	// Asking bounds the requests to other brokers at once; beyond, the bucket is asked. Default 64.
	Asking int

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o Options) withDefaults() Options {
	if o.Patience == 0 {
		o.Patience = 200 * time.Millisecond
	}
	if o.LoadPatience == 0 {
		o.LoadPatience = time.Second
	}
	if o.Longest == 0 {
		o.Longest = 5 * time.Second
	}
	if o.Asking == 0 {
		o.Asking = 64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Zone is the brokers of this broker's zone that have a peer port, as a cache.Zone. Brokers without a zone are in one
// together.
type Zone struct {
	members Members
	peers   Peers
	opts    Options
	metrics *metrics
	asking  chan struct{} // holds a token for each request under way

	mu       sync.Mutex
	live     []metastore.Broker // that places are made of
	places   []place
	suspects map[string]*suspect // by address
	closed   bool
	pings    sync.WaitGroup
}

var _ cache.Zone = (*Zone)(nil)

// New makes a Zone. Close it after the cache.
func New(members Members, peers Peers, opts Options) *Zone {
	opts = opts.withDefaults()
	return &Zone{
		members: members, peers: peers, opts: opts, metrics: newMetrics(opts.Registerer),
		asking: make(chan struct{}, opts.Asking), suspects: make(map[string]*suspect),
	}
}

// Close waits for pings under way.
func (z *Zone) Close() {
	z.mu.Lock()
	z.closed = true
	z.mu.Unlock()
	z.pings.Wait()
}

// Owner is the address of the broker that an extent of an object belongs to, "" if that is this one. Brokers that are
// suspected are passed over, so that while one is dead and its lease not over yet the others still load once for all.
func (z *Zone) Owner(key string, extent int64) string {
	self, live := z.members.Self(), z.members.Live()
	z.mu.Lock()
	defer z.mu.Unlock()
	z.look(self, live)
	best, _ := owner(key, extent, z.places, z.passedOver)
	return best.address
}

// look takes over the list of brokers if it is another than before. z.mu is held.
func (z *Zone) look(self metastore.Broker, live []metastore.Broker) {
	if len(live) == len(z.live) && (len(live) == 0 || &live[0] == &z.live[0]) {
		return
	}
	z.live, z.places = live, z.places[:0]
	for _, b := range live {
		switch {
		case b.NodeID == self.NodeID:
			z.places = append(z.places, place{id: b.NodeID})
		case b.Zone == self.Zone && b.PeerHost != "":
			address := net.JoinHostPort(b.PeerHost, strconv.Itoa(int(b.PeerPort)))
			z.places = append(z.places, place{b.NodeID, address})
		}
	}
	slices.SortFunc(z.places, func(a, b place) int { return int(a.id) - int(b.id) })
	for address := range z.suspects {
		if !slices.ContainsFunc(z.places, func(p place) bool { return p.address == address }) {
			delete(z.suspects, address)
		}
	}
}

var errEnoughAsked = errors.New("enough is asked of other brokers already")

// Ask implements cache.Zone.
func (z *Zone) Ask(ctx context.Context, owner string, r cache.Request, dst [][]byte, late func()) error {
	select {
	case z.asking <- struct{}{}:
		defer func() { <-z.asking }()
	default:
		z.metrics.asked.WithLabelValues(askedTooMany).Inc()
		return errEnoughAsked
	}
	ctx, cancel := context.WithTimeout(ctx, z.opts.Longest)
	defer cancel()
	w := z.wait(owner, late)
	began := time.Now()
	well, err := z.peers.Block(ctx, owner, r.Key, r.ObjectSize, r.Offset, dst, w.working)
	w.end()
	if err == nil {
		z.trust(owner)
		z.metrics.asked.WithLabelValues(askedAnswered).Inc()
		z.metrics.seconds.Observe(time.Since(began).Seconds())
		z.metrics.bytes.Add(float64(r.Length))
		return nil
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // the bucket was faster, or this broker stops
		z.metrics.asked.WithLabelValues(askedOvertaken).Inc()
	case well:
		z.metrics.asked.WithLabelValues(askedRefused).Inc()
	default:
		z.metrics.asked.WithLabelValues(askedFailed).Inc()
		z.suspect(owner, err)
	}
	return err
}

// wait is that for one answer of an owner.
type wait struct {
	zone *Zone
	late func()

	mu    sync.Mutex
	timer *time.Timer
	over  bool // ended, or late was called
}

// wait calls late, once, when the owner is late.
func (z *Zone) wait(owner string, late func()) *wait {
	w := &wait{zone: z, late: late}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(z.opts.Patience, func() {
		if w.isOver() {
			return
		}
		z.suspect(owner, errNoSign)
		late()
	})
	return w
}

var errNoSign = errors.New("no sign of life")

// isOver tells whether the wait is over, and ends it.
func (w *wait) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := w.over
	w.over = true
	return over
}

// working starts the longer patience.
func (w *wait) working() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || !w.timer.Stop() {
		return
	}
	w.timer = time.AfterFunc(w.zone.opts.LoadPatience, func() {
		if !w.isOver() {
			w.late()
		}
	})
}

func (w *wait) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
}
