package fuzztest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// world is a broker in this process, whose stores are memory, and what requests to it refer to.
type world struct {
	node    int32
	address string
	stop    func() error
	errors  errorLog
	idle    int // goroutines, when nothing is asked

	served map[int16]versions
	routes []route // every key and version that is served

	topics       []topic
	group        string // of the classic protocol, with one member
	groups       int    // that there were
	member       string
	generation   int32
	producer     int64
	epoch        int16
	instance     [16]byte // of a client that pushes metrics
	subscription int32
	metrics      []byte // what it pushes

	witness *witness
	played  int
	wait    time.Duration // for answers that may rightly take as long as they like
}

type versions struct{ min, max int16 }

type route struct{ key, version int16 }

func (r route) String() string { return nameOf(r.key, r.version) }

type topic struct {
	name string
	id   [16]byte
}

const (
	freshTopic        = "fresh" // with a version behind it, created and deleted by right requests
	idleGroup         = "idle"  // has offsets and no members
	consumerGroupName = "consumers"
	consumerMember    = "AAAAAAAAAAAAAAAAAAAAAQ"
	transactionalID   = "transactional"
)

// openWorld starts a broker. Whoever has the world closes it.
func openWorld() (w *world, err error) {
	loaded, err := config.Load(config.Sources{
		Set: []string{"group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1", "super.users=User:ANONYMOUS"},
		Flags: map[string]string{
			"authorizer": "on", "listen": "127.0.0.1:0", "admin.listen": "", "metastore.url": "memory://", "object_store.url": "memory://",
			"linger.max": "2ms", "linger.min": "0s", "put.rate": "1000", "memory.produce": "128MiB", "memory.cache": "64MiB", "drain.timeout": "5s",
		},
	})
	if err != nil {
		return nil, err
	}
	w = &world{wait: 40 * time.Millisecond}
	stores := &node.Stores{Metastore: metamemory.New(metamemory.Options{}), Objects: objmemory.New()}
	n, err := node.Open(context.Background(), node.Options{Config: &loaded.Config, Stores: stores, Version: "test", Logger: slog.New(&w.errors)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	w.stop = func() error {
		cancel()
		return errors.Join(<-done, stores.Close())
	}
	w.address = n.Addr().String()
	if err := eventually(func() error {
		if why := n.Ready(); why != "" {
			return errors.New(why)
		}
		return nil
	}); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	if err := w.settleIn(); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func (w *world) settleIn() error {
	c, err := dial(w.address)
	if err != nil {
		return err
	}
	defer c.close()
	if err := w.discover(c); err != nil {
		return err
	}
	if err := w.prepare(c); err != nil {
		return err
	}
	if w.witness, err = newWitness(w.address); err != nil {
		return err
	}
	c.close()
	return w.calm()
}

func (w *world) close() error {
	w.witness.client.close()
	return errors.Join(w.stop(), w.errors.err())
}

// calm waits until no goroutine is left of what was asked, and remembers how many there are at first.
func (w *world) calm() error {
	if w.idle == 0 {
		// Whatever runs once in a while or is on its way out at this moment is within the tolerance.
		w.idle = runtime.NumGoroutine() + 8
	}
	return eventually(func() error {
		if n := runtime.NumGoroutine(); n > w.idle {
			stacks := make([]byte, 1<<20)
			return fmt.Errorf("%d goroutines, %d when idle\n%s", n, w.idle, stacks[:runtime.Stack(stacks, true)])
		}
		return nil
	})
}

// eventually waits for what goroutines of the broker bring about.
func eventually(holds func() error) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("not after %v: %w", patience, err)
		}
	}
}

// allocated is the sum of all that was ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// errorLog keeps what the broker logs as an error: that somebody must look, as at a panic, which no client may cause.
type errorLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *errorLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (l *errorLog) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *errorLog) WithGroup(string) slog.Handler                    { return l }

func (l *errorLog) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *errorLog) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return nil
	}
	return errors.New("the broker logged: " + strings.Join(l.lines, "\n"))
}
