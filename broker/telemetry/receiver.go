// Package telemetry takes the metrics that clients push (KIP-714).
package telemetry

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/broker/settings"
)

var (
	// ErrTooEarly: the client asked or pushed again before its interval was over.
	ErrTooEarly = errors.New("before the push interval is over")
	// ErrUnknownSubscription: the subscriptions changed; the client is to ask again.
	ErrUnknownSubscription = errors.New("unknown subscription id")
	// ErrTerminated: the client said before that it pushes no more.
	ErrTerminated = errors.New("the client had pushed for the last time")
	// ErrReservedInstance: an id of an instance that none can have.
	ErrReservedInstance = errors.New("invalid client instance id")
	// ErrUnsupportedCodec: compressed with something else than Kafka's codecs.
	ErrUnsupportedCodec = errors.New("unknown compression type")
	// ErrTooLarge: more than MaxBytes, or what it decompresses to is.
	ErrTooLarge = errors.New("metrics are too large")
	// ErrCorrupt: bytes that are no OTLP metrics.
	ErrCorrupt = errors.New("metrics cannot be decoded")
)

// Source tells of the CLIENT_METRICS resources. It must not wait. The zero value is a source without any.
type Source struct {
	Version   func() uint64                       // another whenever Resources may be
	Resources func() map[string]map[string]string // configs by name
}

// Options tune a Receiver. The zero value is the default.
type Options struct {
	// MaxBytes is how large a push may be, compressed; Kafka's telemetry.max.bytes. Default 1 MiB.
	MaxBytes int
	// MaxInstances is how many clients are remembered, those heard of last. Default 16,384, as in Kafka.
	MaxInstances int
	// MaxSeries is how many series are kept of one client, and MaxAllSeries of all. Defaults 500 and 20,000.
	MaxSeries, MaxAllSeries int
	Registerer              prometheus.Registerer // default: none
	Now                     func() time.Time      // for what Registerer is shown, default time.Now
}

// inflation bounds what a push may decompress to, in multiples of MaxBytes.
const inflation = 8

// leastExpiry is how long a client is remembered at least. Kafka's is the same.
const leastExpiry = time.Minute

// Receiver tells clients what to push and when, and keeps the latest of what they pushed. Its methods may be called
// concurrently. Time is an argument; it must not go back.
type Receiver struct {
	opts     Options
	source   Source
	metrics  metrics
	decoding chan struct{} // held while a push is decompressed, which may take memory

	mu            sync.Mutex
	version       uint64 // of subscriptions
	loaded        bool
	subscriptions []settings.ClientMetrics
	instances     map[uuid.UUID]*list.Element
	recent        *list.List // of *instance, those seen last in front
	series        seriesTable
}

// instance is a client as long as it is remembered.
type instance struct {
	client     Client
	asked      Asked
	version    uint64 // of the subscriptions that asked comes from
	got        time.Time
	pushed     time.Time
	seen       time.Time
	last       error // of its last request
	terminated bool
	series     map[string]*series
}

// New makes a Receiver.
func New(source Source, opts Options) *Receiver {
	opts.MaxBytes = cmp.Or(opts.MaxBytes, 1<<20)
	opts.MaxInstances = cmp.Or(opts.MaxInstances, 16_384)
	opts.MaxSeries = cmp.Or(opts.MaxSeries, 500)
	opts.MaxAllSeries = cmp.Or(opts.MaxAllSeries, 20_000)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if source.Version == nil {
		source.Version = func() uint64 { return 0 }
	}
	if source.Resources == nil {
		source.Resources = func() map[string]map[string]string { return nil }
	}
	r := &Receiver{
		opts: opts, source: source, decoding: make(chan struct{}, 1),
		instances: make(map[uuid.UUID]*list.Element), recent: list.New(),
		series: seriesTable{names: make(map[string]*seriesName)},
	}
	r.metrics = newMetrics(opts.Registerer, r)
	return r
}

// Subscribe tells a client what to push; one without an instance id gets one. ErrTooEarly.
func (r *Receiver) Subscribe(now time.Time, c Client) (Asked, error) {
	if c.Instance == uuid.Nil {
		c.Instance = uuid.New()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.instance(now, c)
	due := now.Sub(later(in.got, in.pushed)) >= in.asked.Interval
	// Who was told to ask again may.
	if !due && !errors.Is(in.last, ErrUnknownSubscription) && !errors.Is(in.last, ErrUnsupportedCodec) {
		return Asked{}, ErrTooEarly
	}
	if due {
		in.got = now
	}
	in.last = nil
	return in.asked, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Push is what a client pushes.
type Push struct {
	SubscriptionID int32
	Terminating    bool // it is the last one
	Codec          recordbatch.Codec
	Metrics        []byte // OTLP MetricsData, compressed
}

// Push keeps what a client pushes. Errors: all of the above, and those of ctx.
func (r *Receiver) Push(ctx context.Context, now time.Time, c Client, p Push) error {
	err := r.push(ctx, now, c, p)
	r.metrics.pushes.WithLabelValues(outcome(err)).Inc()
	return err
}

func (r *Receiver) push(ctx context.Context, now time.Time, c Client, p Push) error {
	if c.Instance == uuid.Nil || c.Instance == (uuid.UUID{15: 1}) {
		return ErrReservedInstance
	}
	asked, err := r.mayPush(now, c, &p)
	if err != nil || len(p.Metrics) == 0 {
		return err
	}
	points, err := r.decode(ctx, &asked, &p)
	r.mu.Lock()
	defer r.mu.Unlock()
	place, ok := r.instances[c.Instance]
	if !ok {
		return err // forgotten meanwhile
	}
	in := place.Value.(*instance)
	in.last = err
	for i := range points {
		r.keep(in, now, &points[i])
	}
	r.retire(in, now)
	return err
}

// mayPush judges a push before it is decoded.
func (r *Receiver) mayPush(now time.Time, c Client, p *Push) (_ Asked, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.instance(now, c)
	ended := in.terminated
	defer func() { in.last, in.terminated = err, p.Terminating }()
	// The first push after a question may come early: clients spread themselves.
	due := in.got.After(in.pushed) || now.Sub(in.pushed) >= in.asked.Interval
	switch {
	case ended:
		return in.asked, ErrTerminated
	case !due && !p.Terminating:
		return in.asked, ErrTooEarly
	}
	if due {
		in.pushed = now
	}
	switch {
	case p.SubscriptionID != in.asked.SubscriptionID:
		return in.asked, ErrUnknownSubscription
	case !p.Codec.Known():
		return in.asked, fmt.Errorf("%w: %d", ErrUnsupportedCodec, int8(p.Codec))
	case len(p.Metrics) > r.opts.MaxBytes:
		return in.asked, fmt.Errorf("%w: %d bytes, and %d are allowed", ErrTooLarge, len(p.Metrics), r.opts.MaxBytes)
	}
	return in.asked, nil
}

// decode returns the points of a push that were asked for.
func (r *Receiver) decode(ctx context.Context, asked *Asked, p *Push) ([]point, error) {
	select {
	case r.decoding <- struct{}{}:
		defer func() { <-r.decoding }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b, err := recordbatch.Decompress(p.Codec, p.Metrics, inflation*r.opts.MaxBytes)
	switch {
	case errors.Is(err, recordbatch.ErrTooLarge):
		return nil, fmt.Errorf("%w: %w", ErrTooLarge, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	var points []point
	err = decodeMetrics(b, func(p point) {
		switch {
		case !asked.wants(p.name):
			r.metrics.drop(dropUnasked)
		case len(points) == r.opts.MaxSeries:
			r.metrics.drop(dropLimit)
		default:
			points = append(points, p)
		}
	}, func() { r.metrics.drop(dropType) })
	if err != nil {
		return nil, err
	}
	return points, nil
}

// instance returns what is known of a client, as of the present subscriptions.
func (r *Receiver) instance(now time.Time, c Client) *instance {
	r.expire(now)
	if v := r.source.Version(); !r.loaded || v != r.version {
		r.version, r.loaded, r.subscriptions = v, true, resolve(r.source.Resources())
	}
	place, ok := r.instances[c.Instance]
	if !ok {
		for len(r.instances) >= r.opts.MaxInstances {
			r.forget(r.recent.Back())
		}
		c.ID, c.Software, c.Version = bounded(c.ID), bounded(c.Software), bounded(c.Version)
		in := &instance{client: c, version: r.version, asked: r.ask(&c)}
		place = r.recent.PushFront(in)
		r.instances[c.Instance] = place
	}
	in := place.Value.(*instance)
	if in.version != r.version {
		in.version = r.version
		// Only what changed for the client lets it ask at once.
		if asked := r.ask(&in.client); asked.SubscriptionID != in.asked.SubscriptionID {
			in.asked, in.got, in.pushed = asked, time.Time{}, time.Time{}
		}
	}
	in.seen = now
	r.recent.MoveToFront(place)
	return in
}

func (r *Receiver) ask(c *Client) Asked {
	asked := evaluate(r.subscriptions, c)
	asked.MaxBytes = r.opts.MaxBytes
	return asked
}

// expire forgets who was not seen for three intervals. Who was seen last comes last, so that a client with a long interval
// may keep others for as long.
func (r *Receiver) expire(now time.Time) {
	for place := r.recent.Back(); place != nil; place = r.recent.Back() {
		in := place.Value.(*instance)
		if now.Sub(in.seen) < in.lifetime() {
			return
		}
		r.forget(place)
	}
}

// lifetime is how long a client, or one of its series, is remembered after it was heard of.
func (in *instance) lifetime() time.Duration { return max(leastExpiry, 3*in.asked.Interval) }

func (r *Receiver) forget(place *list.Element) {
	in := r.recent.Remove(place).(*instance)
	delete(r.instances, in.client.Instance)
	for _, s := range in.series {
		r.series.remove(s)
	}
}
