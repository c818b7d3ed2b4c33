package audit

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sink keeps events, each a line of JSON without its end. Write is called by one goroutine at a time; what it could not
// keep it returns an error for, and is not given again.
type Sink interface {
	Write(ctx context.Context, lines [][]byte) error
}

// Options of a Log. The zero value of a field means its default.
type Options struct {
	Rate       float64       // events per second of a kind, on average; default 100
	Burst      int           // events of a kind at once; default 1,000
	Queue      int           // events that wait for the sink; default 4,096
	WriteWait  time.Duration // for one write; default 10 s
	DrainWait  time.Duration // for what is left when Run ends; default 5 s
	Logger     *slog.Logger  // default: discard
	Registerer prometheus.Registerer
	Now        func() time.Time // default: time.Now
}

func (o Options) withDefaults() Options {
	if o.Rate <= 0 {
		o.Rate = 100
	}
	if o.Burst <= 0 {
		o.Burst = 1000
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	if o.WriteWait <= 0 {
		o.WriteWait = 10 * time.Second
	}
	if o.DrainWait <= 0 {
		o.DrainWait = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Log is a Recorder that writes events to a sink. Each kind has a rate of its own, so that a flood of denials, which anybody
// can cause, does not hide what administrators changed; the last quarter of the queue is for these alone. What a rate or the queue has no room for is counted, and the log
// says how much it was.
type Log struct {
	sink    Sink
	opts    Options
	metrics *metrics
	queue   chan entry

	mu      sync.Mutex
	buckets map[Kind]*bucket
	left    map[Kind]int // out, since the log last said so
}

// entry is an event as it is written: what clients named may be long, and a line is bounded.
type entry struct {
	kind Kind
	line []byte
	// Of a Suppressed: how many of which kind it tells of.
	of Kind
	n  int
}

// bucket is a token bucket.
type bucket struct {
	tokens float64
	at     time.Time
}

// New makes a Log. Nothing is written before Run.
func New(sink Sink, opts Options) *Log {
	opts = opts.withDefaults()
	return &Log{
		sink: sink, opts: opts, metrics: newMetrics(opts.Registerer), queue: make(chan entry, opts.Queue),
		buckets: make(map[Kind]*bucket), left: make(map[Kind]int),
	}
}

// Record implements Recorder.
func (l *Log) Record(e Event) {
	if e.Time.IsZero() {
		e.Time = l.opts.Now()
	}
	if l.admit(e.Kind) && (e.Kind == Change || len(l.queue) < cap(l.queue)-cap(l.queue)/4) {
		select {
		case l.queue <- entry{kind: e.Kind, line: e.line()}:
			return
		default:
		}
	}
	l.metrics.left.WithLabelValues(e.Kind.label()).Inc()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left[e.Kind]++
}

func (l *Log) admit(kind Kind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, burst := l.opts.Now(), float64(l.opts.Burst)
	b := l.buckets[kind]
	if b == nil {
		b = &bucket{tokens: burst, at: now}
		l.buckets[kind] = b
	}
	if since := now.Sub(b.at).Seconds(); since > 0 {
		b.tokens = min(b.tokens+since*l.opts.Rate, burst)
		b.at = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// mostAtOnce bounds the events of one write.
const mostAtOnce = 256

// Run writes events until ctx ends, and then what is left of them.
func (l *Log) Run(ctx context.Context) error {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case e := <-l.queue:
			l.write(context.WithoutCancel(ctx), l.gather(e)) // the end of ctx is no reason to lose it
		case <-look.C:
			l.write(context.WithoutCancel(ctx), l.suppressed())
		case <-ctx.Done():
			return l.drain(ctx)
		}
	}
}

// drain writes what was recorded before Run was told to end.
func (l *Log) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.opts.DrainWait)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case e := <-l.queue:
			l.write(ctx, l.gather(e))
		default:
			l.write(ctx, l.suppressed())
			return nil
		}
	}
	return fmt.Errorf("write the last audit events: %w", ctx.Err())
}

func (l *Log) gather(first entry) []entry {
	events := []entry{first}
	for len(events) < mostAtOnce {
		select {
		case e := <-l.queue:
			events = append(events, e)
		default:
			return events
		}
	}
	return events
}

// suppressed is what the log says of events that were left out.
func (l *Log) suppressed() (events []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind, n := range l.left {
		e := Event{
			Kind: Suppressed, Time: l.opts.Now(), Action: string(kind),
			Detail: fmt.Sprintf("%d events of this kind were left out: more than %v a second, or more than the log can take", n, l.opts.Rate),
		}
		events = append(events, entry{kind: e.Kind, line: e.line(), of: kind, n: n})
	}
	clear(l.left)
	return events
}

func (l *Log) write(ctx context.Context, events []entry) {
	if len(events) == 0 {
		return
	}
	lines := make([][]byte, 0, len(events))
	for i := range events {
		lines = append(lines, events[i].line)
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.WriteWait)
	defer cancel()
	if err := l.sink.Write(ctx, lines); err != nil {
		l.opts.Logger.Error("audit events are lost", "events", len(events), "error", err)
		l.metrics.lost.Add(float64(len(events)))
		l.missing(events)
		return
	}
	for i := range events {
		l.metrics.written.WithLabelValues(events[i].kind.label()).Inc()
	}
}

// missing has the log say, once it can be written again, what it could not keep.
func (l *Log) missing(events []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		if e := &events[i]; e.kind == Suppressed {
			l.left[e.of] += e.n
		} else {
			l.left[e.kind]++
		}
	}
}
