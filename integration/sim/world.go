package sim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/broker/peer"
	"github.com/runnel-io/runnel/integration/history"
	"github.com/runnel-io/runnel/integration/sim/audit"
	"github.com/runnel-io/runnel/integration/sim/faults"
	"github.com/runnel-io/runnel/integration/workload"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// Options of a World. The zero value is the default.
type Options struct {
	Brokers int               // default 3
	Config  map[string]string // keys of the brokers' configuration, see docs/config.md
	Cluster map[string]string // Kafka's broker-level settings; default: the workload's
	// Wrap gives a broker its stores, for one start: those of all, with whatever faults. Default: those of all.
	Wrap func(b *Broker, shared *node.Stores) *node.Stores
	// Lifecycle is how brokers look after what is stored; default: hasty.
	Lifecycle *node.LifecycleOptions
	// LogLevel is that of the least severe lines of the brokers' logs that are kept; default: warnings.
	LogLevel slog.Level
}

func (o Options) withDefaults() Options {
	if o.Brokers == 0 {
		o.Brokers = 3
	}
	if o.Wrap == nil {
		o.Wrap = func(_ *Broker, shared *node.Stores) *node.Stores { return shared }
	}
	if o.Cluster == nil {
		o.Cluster = workload.ClusterSettings()
	}
	if o.Lifecycle == nil {
		o.Lifecycle = hasty()
	}
	if o.LogLevel == 0 {
		o.LogLevel = slog.LevelWarn
	}
	return o
}

// World is a cluster in virtual time.
type World struct {
	Seed      uint64
	Network   *Network
	Metastore *metamemory.Store
	Objects   *objmemory.Store
	Clock     *faults.Clock // the metastore's
	Brokers   []*Broker
	History   *history.Recorder
	Trace     *Trace

	opts        Options
	archive     *audit.Archive
	bucket      *audit.Bucket
	began       time.Time
	credentials *peer.Credentials
	log         lockedBuffer
}

// Run makes a world of a seed, with its brokers up and ready, and gives it to a scenario; both are in a bubble of
// synctest. When the scenario returns, the world heals, brokers are stopped, and nothing of it is left: a goroutine that
// stays is a failure. The ctx ends with the scenario. It must be called by a test that is not parallel.
func Run(t *testing.T, seed uint64, opts Options, scenario func(ctx context.Context, t *testing.T, w *World)) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	settleHeap()
	seedRuntime(seed)
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(seed, opts.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer func() {
			cancel()
			if err := w.close(); err != nil {
				t.Errorf("end: %v", err)
			}
		}()
		if err := w.startAll(ctx); err != nil {
			t.Fatal(err)
		}
		scenario(ctx, t, w)
	})
}

func newWorld(seed uint64, opts Options) (*World, error) {
	w := &World{
		Seed: seed, opts: opts, began: time.Now(), Trace: NewTrace(), Objects: objmemory.New(), Clock: new(faults.Clock),
	}
	w.Metastore = metamemory.New(metamemory.Options{Now: w.Clock.Now})
	w.archive = audit.NewArchive(w.Metastore)
	w.bucket = audit.NewBucket(w.Objects, w.archive)
	w.Network = NewNetwork(w.Rand("network"), w.Trace)
	w.History = history.NewRecorder(w.Now)
	// Every start of every broker would derive the key of a secret slowly otherwise.
	var err error
	if w.credentials, err = peer.FromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))); err != nil {
		return nil, err
	}
	for i := range opts.Brokers {
		w.Brokers = append(w.Brokers, &Broker{Name: faults.BrokerParty(i), number: i, world: w})
	}
	return w, nil
}

// Now is the time since the world began.
func (w *World) Now() time.Duration { return time.Since(w.began) }

// Rand is a source of chance of its own for each use, so that one who draws more does not change what others draw.
func (w *World) Rand(use string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(use))
	return rand.New(rand.NewPCG(w.Seed, h.Sum64()))
}

// Addresses are those of all brokers, for clients to begin with.
func (w *World) Addresses() []string {
	var all []string
	for _, b := range w.Brokers {
		all = append(all, b.Address())
	}
	return all
}

// Client starts a party for a client; its DialContext connects to brokers.
func (w *World) Client(name string) *Host { return w.Network.Host(name) }

// Log is what the brokers logged.
func (w *World) Log() string { return w.log.String() }

func (w *World) stores() *node.Stores {
	return &node.Stores{Metastore: w.archive, Objects: w.bucket}
}

// note puts an event of the cluster into trace and history.
func (w *World) note(what string) {
	w.Trace.notef("cluster %s", what)
	w.History.Happened(history.Operation{Kind: history.Fault, Text: what})
}

func (w *World) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: w.opts.LogLevel,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				a.Value = slog.DurationValue(w.Now())
			}
			return a
		}}))
}

func (w *World) startAll(ctx context.Context) error {
	for _, b := range w.Brokers {
		if err := b.Start(); err != nil {
			return err
		}
	}
	return w.AwaitReady(ctx, 30*time.Second)
}

// AwaitReady waits until all brokers are up and serve clients.
func (w *World) AwaitReady(ctx context.Context, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		i := slices.IndexFunc(w.Brokers, func(b *Broker) bool { return b.Ready() != "" })
		if i < 0 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %s", w.Brokers[i].Name, w.Brokers[i].Ready())
		}
	}
}

// Heal undoes cuts and pauses, starts the brokers that are down, and returns when all serve clients.
func (w *World) Heal(ctx context.Context) error {
	w.Network.HealAll()
	var failed error
	for _, b := range w.Brokers {
		b.Resume()
		if !b.Up() {
			failed = errors.Join(failed, b.Start())
		}
	}
	return errors.Join(failed, w.AwaitReady(ctx, endTimeout))
}

func (w *World) close() error {
	return errors.Join(w.Stop(), w.Metastore.Close())
}

// endTimeout bounds the end of a world, in virtual time.
const endTimeout = 2 * time.Minute

// Stop ends all brokers, one after the other, and waits until nothing is left of them. The stores stay.
func (w *World) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	w.Network.HealAll()
	var failed error
	for _, b := range w.Brokers {
		b.Resume()
		failed = errors.Join(failed, b.Stop(ctx))
		b.await()
	}
	return failed
}

// lockedBuffer is a buffer that many write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
