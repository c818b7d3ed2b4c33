package zonecache

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/cache"
)

// LenderOptions tunes a Lender. The zero value is the default.
type LenderOptions struct {
	// Requests and Bytes bound what other brokers ask for at once; what is beyond is refused, and they go to the bucket.
	// The bytes are mostly cached memory; what is being loaded for others, or was evicted while it is sent, comes on top of
	// the cache's bound. Default 128 and 32 MiB.
	Requests int
	Bytes    int64
	// Most is the length of the largest answer. Default 4 MiB, an extent.
	Most int64

	Registerer prometheus.Registerer // default: metrics are counted but not registered
}

func (o LenderOptions) withDefaults() LenderOptions {
	if o.Requests == 0 {
		o.Requests = 128
	}
	if o.Bytes == 0 {
		o.Bytes = 32 << 20
	}
	if o.Most == 0 {
		o.Most = 4 << 20
	}
	return o
}

// Blocks is the cache that is lent from.
type Blocks interface {
	ReadThrough(ctx context.Context, r cache.Request, working func()) ([][]byte, error)
}

// Lender gives the blocks of this broker's cache to others; it is what peer.Blocks wants. It does not look who owns them:
// who asks believes that this broker does.
type Lender struct {
	blocks  Blocks
	opts    LenderOptions
	metrics *lenderMetrics

	mu       sync.Mutex
	requests int
	bytes    int64
}

// NewLender makes a Lender of a cache.
func NewLender(blocks Blocks, opts LenderOptions) *Lender {
	opts = opts.withDefaults()
	return &Lender{blocks: blocks, opts: opts, metrics: newLenderMetrics(opts.Registerer)}
}

// Admit makes room for an answer of so many bytes, until giveBack is called; false if there is none.
func (l *Lender) Admit(length int64) (giveBack func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requests == l.opts.Requests || length > l.opts.Bytes-l.bytes {
		l.metrics.lent.WithLabelValues(lentRefused).Inc()
		return nil, false
	}
	l.requests++
	l.bytes += length
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.requests--
		l.bytes -= length
	}, true
}

var errTooLong = errors.New("longer than an extent")

// Lend returns length bytes of an object from offset, as parts of cached memory: read it only. It calls working before it
// waits for the bucket.
func (l *Lender) Lend(ctx context.Context, key string, objectSize, offset, length int64, working func()) ([][]byte, error) {
	parts, err := l.lend(ctx, cache.Request{Key: key, ObjectSize: objectSize, Offset: offset, Length: length}, working)
	if err != nil {
		l.metrics.lent.WithLabelValues(lentFailed).Inc()
		return nil, err
	}
	l.metrics.lent.WithLabelValues(lentGiven).Inc()
	l.metrics.bytes.Add(float64(length))
	return parts, nil
}

func (l *Lender) lend(ctx context.Context, r cache.Request, working func()) ([][]byte, error) {
	if r.Length > l.opts.Most {
		return nil, fmt.Errorf("lend %d bytes: %w", r.Length, errTooLong)
	}
	if err := objstore.ValidKey(r.Key); err != nil {
		return nil, err
	}
	parts, err := l.blocks.ReadThrough(ctx, r, working)
	if err != nil {
		return nil, err
	}
	if n := objstore.Size(parts); n != r.Length {
		return nil, fmt.Errorf("lend %d bytes: have %d", r.Length, n)
	}
	return parts, nil
}
