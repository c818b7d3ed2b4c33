package sim

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/metastore"
)

// Broker is one of the cluster's, through all its starts. One at a time may start and end it; all else may be asked
// concurrently.
type Broker struct {
	Name   string // "broker-0"
	number int
	world  *World
	ip     string

	mu      sync.Mutex
	running *start               // nil: it is down
	past    []*start             // that have ended, or are about to
	folded  []*metastore.Replica // of all that have ended
}

// start is a broker from one start to its end.
type start struct {
	host   *Host
	gate   *gate
	node   *node.Node
	stop   context.CancelFunc
	done   chan struct{} // closed when it has ended
	failed error         // then; of no interest after a crash
}

const (
	kafkaPort = "9092"
	peerPort  = "9645"
)

// Address is where Kafka clients reach the broker.
func (b *Broker) Address() string { return net.JoinHostPort(b.ip, kafkaPort) }

// Up tells whether the broker was started and has neither stopped nor crashed since.
func (b *Broker) Up() bool { return b.current() != nil }

func (b *Broker) current() *start {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running
}

// Ready tells why clients cannot be served, "" if they can.
func (b *Broker) Ready() string {
	s := b.current()
	if s == nil {
		return "down"
	}
	return s.node.Ready()
}

// Start starts the broker, which is down. It does not wait until it is ready.
func (b *Broker) Start() error {
	if b.current() != nil {
		return fmt.Errorf("%s runs already", b.Name)
	}
	w := b.world
	w.note("start " + b.Name)
	host := w.Network.Host(b.Name)
	b.ip = host.IP()
	cfg, err := b.config()
	if err != nil {
		return err
	}
	g := newGate()
	ctx, cancel := context.WithCancel(context.Background())
	s := &start{host: host, gate: g, stop: cancel, done: make(chan struct{})}
	s.node, err = node.Open(ctx, node.Options{
		Config: cfg, Stores: g.stores(b.Name, w.opts.Wrap(b, w.stores()), w.Trace), Version: "sim", Network: host,
		PeerCredentials: w.credentials, SnapshotEvery: snapshotEvery,
		AttemptTimeout: attemptTimeout, UploadTimeout: uploadTimeout, CommitTimeout: commitTimeout, Lifecycle: *w.opts.Lifecycle,
		Logger: w.logger().With("broker", b.Name),
	})
	if err != nil {
		cancel()
		return fmt.Errorf("start %s: %w", b.Name, err)
	}
	go func() {
		defer close(s.done)
		s.failed = s.node.Run(ctx)
	}()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = s
	return nil
}

// zones are those of the brokers, so that a partition has several leaders, some of them with another broker in their zone.
var zones = [2]string{"zone-a", "zone-b"}

// snapshotEvery is after how many entries a broker saves a snapshot: often enough for many in a minute.
const snapshotEvery = 50

// A broker tries PUTs and commits again, and gives them up, in far less time than a real one, so that there are faults
// which last longer.
const (
	attemptTimeout = 3 * time.Second
	uploadTimeout  = 6 * time.Second
	commitTimeout  = 12 * time.Second
)

func (b *Broker) config() (*config.Config, error) {
	flags := map[string]string{
		"listen": b.Address(), "admin.listen": "", "peer.listen": net.JoinHostPort(b.ip, peerPort),
		"metastore.url": "memory://", "object_store.url": "memory://",
		// Small, so that bounds are met and memory is not cleared in vain.
		"segment.size": "1MiB", "memory.produce": "8MiB", "memory.cache": "32MiB", "drain.timeout": "10s",
	}
	flags["zone"] = zones[b.number*len(zones)/max(len(b.world.Brokers), 2)]
	var set []string
	for name, value := range b.world.opts.Cluster {
		set = append(set, name+"="+value)
	}
	for key, value := range b.world.opts.Config {
		flags[key] = value
	}
	loaded, err := config.Load(config.Sources{Flags: flags, Set: set})
	if err != nil {
		return nil, fmt.Errorf("configure %s: %w", b.Name, err)
	}
	return &loaded.Config, nil
}

// Stop lets the broker drain, and returns when it has ended. One that has not when ctx ends goes on; the error says so.
func (b *Broker) Stop(ctx context.Context) error {
	s := b.current()
	if s == nil {
		return nil
	}
	b.world.note("stop " + b.Name)
	s.stop()
	select {
	case <-s.done:
	case <-ctx.Done():
		return fmt.Errorf("stop %s: %w", b.Name, ctx.Err())
	}
	b.end(s, false)
	return s.failed
}

// end notes that a start is over. Its address is free.
func (b *Broker) end(s *start, silent bool) {
	s.gate.close()
	s.host.Crash(silent)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = nil
	b.past = append(b.past, s)
	b.folded = append(b.folded, s.node.Replica())
}

// replicas are what the broker's starts, now over, had folded of the log.
func (b *Broker) replicas() []*metastore.Replica {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.folded
}

// await returns when nothing is left of the starts that are over.
func (b *Broker) await() {
	b.mu.Lock()
	past := b.past
	b.past = nil
	b.mu.Unlock()
	for _, s := range past {
		<-s.done
	}
}

// Crash ends the broker as kill -9 does: from now on nothing that it does has an effect on the network or the stores,
// except for calls of the stores that faults keep under way. If silent its machine dies with it: see Host.Crash. What is
// left of its goroutines goes away by itself; the world waits for it in the end.
func (b *Broker) Crash(silent bool) {
	s := b.current()
	if s == nil {
		return
	}
	b.world.note(fmt.Sprintf("crash %s silent=%t", b.Name, silent))
	b.end(s, silent)
	s.stop()
	b.world.Network.Resume(b.Name)
}

// Pause holds up whatever the broker does towards the network and the stores, until Resume: what it asks is not asked,
// what it is told it does not hear. SIGSTOP would do more: here its timers and its computations go on, so that it
// may notice by its own clock, while it is paused, that a lease ran out. What it does about that waits as well, and what it
// had begun to do before happens late, as it does after SIGCONT.
func (b *Broker) Pause() {
	if s := b.current(); s != nil {
		b.world.note("pause " + b.Name)
		s.gate.pause(true)
		b.world.Network.Pause(b.Name)
	}
}

// Resume undoes Pause.
func (b *Broker) Resume() {
	if s := b.current(); s != nil {
		b.world.note("resume " + b.Name)
		s.gate.pause(false)
		b.world.Network.Resume(b.Name)
	}
}

var _ node.Network = (*Host)(nil)
