package runneltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
)

// stopTimeout is longer than a drain may take.
const stopTimeout = 30 * time.Second

// Brokers of one cluster look for each other ten times a second, so that a test need not wait for the usual second when one
// comes or goes; and one that was killed is taken for dead after 3 s, not 6.
const (
	lease = 3 * time.Second
	beat  = 100 * time.Millisecond
)

// Broker is one broker of a Cluster, through all its starts. Its address stays the same, and while it is down whoever connects is
// cut off at once.
type Broker struct {
	cluster *Cluster
	id      int
	kafka   *port
	peers   *port // nil: there is one broker
	faults  *Faults

	change sync.Mutex // one start or end at a time

	mu      sync.Mutex
	running *life   // nil: it is down
	over    []*life // that were killed, and may still be about to end
}

// life is a broker from one start to its end.
type life struct {
	node    *node.Node
	network *network
	gate    *gate
	stop    context.CancelFunc
	done    chan struct{} // closed when it has ended
	failed  error         // then
}

func newBroker(ctx context.Context, c *Cluster, id int) (*Broker, error) {
	b := &Broker{cluster: c, id: id, faults: newFaults(c.faults)}
	var err error
	if b.kafka, err = openPort(ctx); err != nil {
		return nil, err
	}
	if c.secret == nil {
		return b, nil
	}
	if b.peers, err = openPort(ctx); err != nil {
		b.kafka.close()
		return nil, err
	}
	return b, nil
}

// Addr is the broker's address, host:port.
func (b *Broker) Addr() string { return b.kafka.addr() }

// Faults are those of this broker alone: as it has a way of its own to the stores that all share.
func (b *Broker) Faults() *Faults { return b.faults }

// Start starts a broker that was stopped or killed, on the address that it had, and waits until it serves clients.
func (b *Broker) Start() {
	b.cluster.t.Helper()
	b.change.Lock()
	defer b.change.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	err := b.start(ctx)
	if err == nil {
		err = b.awaitReady(ctx)
	}
	if err != nil {
		b.cluster.t.Errorf("runneltest: start broker %d: %v", b.id, err)
	}
}

// Stop ends the broker as SIGTERM does: it sends clients to the other brokers, if there are any, answers what is in flight, and is gone
// when Stop returns. What it has taken is kept. One that is down stays so.
func (b *Broker) Stop() {
	b.cluster.t.Helper()
	b.change.Lock()
	defer b.change.Unlock()
	l := b.detach(false)
	if l == nil {
		return
	}
	l.stop()
	if err := l.await(stopTimeout); err != nil {
		b.cluster.t.Errorf("runneltest: stop broker %d: %v", b.id, err)
	}
	l.network.cut()
}

// Kill ends the broker as kill -9 does: connections are reset, and nothing that it had begun reaches the stores any more. What it has
// acknowledged is kept, and what it has not may be there or not. The others take it for dead after some seconds.
func (b *Broker) Kill() {
	b.change.Lock()
	defer b.change.Unlock()
	l := b.detach(true)
	if l == nil {
		return
	}
	l.kill()
}

// Restart is Stop and Start.
func (b *Broker) Restart() {
	b.cluster.t.Helper()
	b.Stop()
	b.Start()
}

// CloseClientConnections resets all connections to the broker. It stays up, and clients come again.
func (b *Broker) CloseClientConnections() {
	if l := b.current(); l != nil {
		l.network.reset(b.Addr())
	}
}

func (b *Broker) current() *life {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running
}

// detach makes the broker one that is down, and returns what ran, for the caller to end.
func (b *Broker) detach(killed bool) *life {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.running
	b.running = nil
	if killed && l != nil {
		b.over = append(b.over, l)
	}
	return l
}

func (b *Broker) start(ctx context.Context) error {
	if b.current() != nil {
		return errors.New("it runs already")
	}
	cfg, err := b.config()
	if err != nil {
		return fmt.Errorf("configure broker: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	l := &life{network: newNetwork(b.kafka, b.peers), gate: new(gate), stop: stop, done: make(chan struct{})}
	opts := node.Options{
		Config: cfg, Stores: b.faults.stores(b.cluster.stores, l.gate), Version: "runneltest", Network: l.network,
		Logger: b.cluster.logs.logger(b.id), PeerCredentials: b.cluster.secret,
	}
	if b.cluster.secret != nil {
		opts.Lease, opts.Beat = lease, beat
	}
	if d := b.cluster.opts.giveUpAfter; d > 0 {
		opts.AttemptTimeout, opts.UploadTimeout, opts.CommitTimeout = d, d, d+d/2
	}
	if l.node, err = node.Open(ctx, opts); err != nil {
		stop()
		return fmt.Errorf("open broker %d: %w", b.id, err)
	}
	go func() {
		defer close(l.done)
		l.failed = l.node.Run(running)
	}()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = l
	return nil
}

func (b *Broker) config() (*config.Config, error) {
	flags, set := b.cluster.opts.flags(b.kafka.addr(), b.id)
	var err error
	if flags["metastore.url"], flags["object_store.url"], err = b.cluster.storeURLs(); err != nil {
		return nil, err
	}
	flags["peer.listen"] = ""
	if b.peers != nil {
		flags["peer.listen"] = b.peers.addr()
	}
	if a := b.cluster.tls; a != nil {
		flags["tls.certificate"], flags["tls.key"] = a.certificateFile, a.keyFile
	}
	loaded, err := config.Load(config.Sources{Flags: flags, Set: set})
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return &loaded.Config, nil
}

// awaitReady returns when the broker serves clients, or has ended.
func (b *Broker) awaitReady(ctx context.Context) error {
	l := b.current()
	if l == nil {
		return errNotRunning
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- l.node.AwaitReady(ctx) }()
	select {
	case err := <-ready:
		return err
	case <-l.done:
		cancel()
		<-ready
		return errors.Join(fmt.Errorf("broker %d has ended", b.id), l.failed)
	}
}

// kill cuts the broker off from everything and ends it.
func (l *life) kill() {
	l.gate.close()
	l.network.cut()
	l.stop()
}

func (l *life) await(atMost time.Duration) error {
	late := time.NewTimer(atMost)
	defer late.Stop()
	select {
	case <-l.done:
		return l.failed
	case <-late.C:
		return fmt.Errorf("it has not ended after %s", atMost)
	}
}

// close ends all lives and gives the addresses back.
func (b *Broker) close() {
	b.change.Lock()
	defer b.change.Unlock()
	l := b.detach(false)
	b.kafka.close()
	if b.peers != nil {
		b.peers.close()
	}
	if l != nil {
		l.network.reset(b.Addr())
		l.stop()
		if err := l.await(stopTimeout); err != nil {
			b.cluster.t.Errorf("runneltest: stop broker %d: %v", b.id, err)
		}
		l.network.cut()
	}
	b.mu.Lock()
	over := b.over
	b.mu.Unlock()
	for _, l := range over {
		select {
		case <-l.done: // however it ended: it was killed
		case <-time.After(stopTimeout):
			b.cluster.t.Errorf("runneltest: broker %d was killed and has not ended", b.id)
		}
	}
}
