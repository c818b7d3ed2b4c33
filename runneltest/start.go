package runneltest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
	"github.com/runnel-io/runnel/broker/peer"
	metamemory "github.com/runnel-io/runnel/metastore/memory"
	objmemory "github.com/runnel-io/runnel/objstore/memory"
)

// startTimeout bounds the start of brokers. It is long because tests run beside others on machines that are too small; a
// broker alone takes milliseconds.
const startTimeout = 30 * time.Second

// Cluster is brokers that share a metastore and an object store, in this process. Its methods may be called from any
// goroutine of the test.
type Cluster struct {
	t       testing.TB
	opts    options
	logs    *logs
	stores  *node.Stores
	secret  *peer.Credentials // of brokers for each other; nil: there is one broker
	tls     *authority        // nil: no TLS
	faults  *Faults
	brokers []*Broker
}

// Start runs a cluster, of one broker unless options say otherwise, until the test ends. When it returns, the brokers
// serve clients, know each other, and have the topics, users and rules that were asked for. What fails, fails the test.
func Start(t testing.TB, opts ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t, opts: defaults(), faults: newFaults(nil)}
	for _, o := range opts {
		o(&c.opts)
	}
	c.logs = newLogs(t, c.opts.live)
	var certificates string
	if c.opts.tls {
		certificates = t.TempDir() // before the clean-up of what uses it, so that it goes after
	}
	t.Cleanup(c.close)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	err := c.open(ctx, certificates)
	if err == nil {
		err = c.startAll(ctx)
	}
	if err == nil {
		err = c.setUp(ctx)
	}
	if err != nil {
		t.Fatalf("runneltest: %v", err)
	}
	return c
}

// Brokers are the addresses of all brokers, host:port each: what clients call seed brokers, or bootstrap servers. They stay the
// same when brokers stop and start again.
func (c *Cluster) Brokers() []string {
	addresses := make([]string, len(c.brokers))
	for i, b := range c.brokers {
		addresses[i] = b.Addr()
	}
	return addresses
}

// Broker is one of the brokers, counted from 0, which is also its node id.
func (c *Cluster) Broker(i int) *Broker { return c.brokers[i] }

// Faults are those of all brokers together; Broker.Faults has those of one.
func (c *Cluster) Faults() *Faults { return c.faults }

// TLS is a client's configuration that trusts the brokers, nil without WithTLS. Each call returns a copy.
func (c *Cluster) TLS() *tls.Config {
	if c.tls == nil {
		return nil
	}
	return c.tls.client()
}

// CAFile is the path of a PEM file with the certificate that signed the brokers', for clients that want one, "" without
// WithTLS. It is there until the test ends.
func (c *Cluster) CAFile() string {
	if c.tls == nil {
		return ""
	}
	return c.tls.caFile
}

// open makes what the brokers share and binds their addresses.
func (c *Cluster) open(ctx context.Context, certificates string) (err error) {
	if c.opts.brokers < 1 || c.opts.brokers > mostBrokers {
		return fmt.Errorf("a cluster has 1 to %d brokers, and not %d", mostBrokers, c.opts.brokers)
	}
	if c.opts.tls {
		if c.tls, err = newAuthority(certificates); err != nil {
			return fmt.Errorf("make certificates: %w", err)
		}
	}
	if c.opts.brokers > 1 {
		if c.secret, err = peer.FromSecret(rand.Text()); err != nil {
			return fmt.Errorf("make the secret of brokers: %w", err)
		}
	}
	if c.stores, err = c.openStores(ctx); err != nil {
		return err
	}
	for i := range c.opts.brokers {
		b, err := newBroker(ctx, c, i)
		if err != nil {
			return err
		}
		c.brokers = append(c.brokers, b)
	}
	return nil
}

func (c *Cluster) openStores(ctx context.Context) (*node.Stores, error) {
	if c.opts.dir == "" {
		return &node.Stores{Metastore: metamemory.New(metamemory.Options{}), Objects: objmemory.New()}, nil
	}
	var at config.Config
	var err error
	if at.Metastore.URL, at.ObjectStore.URL, err = c.storeURLs(); err != nil {
		return nil, err
	}
	return node.OpenStores(ctx, &at)
}

func (c *Cluster) storeURLs() (metastore, objects string, err error) {
	if c.opts.dir == "" {
		return "memory://", "memory://", nil
	}
	return config.InDirectory(c.opts.dir)
}

// startAll starts the brokers beside each other, and waits until each knows all.
func (c *Cluster) startAll(ctx context.Context) error {
	for _, b := range c.brokers {
		if err := b.start(ctx); err != nil {
			return err
		}
	}
	for _, b := range c.brokers {
		if err := b.awaitReady(ctx); err != nil {
			return err
		}
	}
	return eventually(ctx, "all brokers know each other", func() bool {
		for _, b := range c.brokers {
			if l := b.current(); l == nil || l.node.Live() < len(c.brokers) {
				return false
			}
		}
		return true
	})
}

// eventually looks until a condition holds.
func eventually(ctx context.Context, what string, holds func() bool) error {
	if holds() {
		return nil
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s: %w", what, ctx.Err())
		case <-tick.C:
			if holds() {
				return nil
			}
		}
	}
}

// close ends everything when the test does. Nobody waits for answers any more, so connections end first: a drain is for
// Broker.Stop.
func (c *Cluster) close() {
	c.t.Helper()
	c.faults.Heal()
	var ended sync.WaitGroup
	for _, b := range c.brokers {
		b.faults.Heal()
		ended.Go(b.close)
	}
	ended.Wait()
	if c.stores != nil {
		if err := c.stores.Close(); err != nil {
			c.t.Errorf("runneltest: close stores: %v", err)
		}
	}
	if c.t.Failed() {
		c.logs.tell()
	}
}

// errNotRunning: what was asked for needs a broker that runs.
var errNotRunning = errors.New("no broker runs")
