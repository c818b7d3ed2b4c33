package workload

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

const (
	requestTimeout  = 2 * time.Second // beyond what a request itself asks for
	produceTimeout  = 2 * time.Second
	deliveryTimeout = 5 * time.Second
	retryTimeout    = 5 * time.Second
	sessionTimeout  = 6 * time.Second
)

// client is one Kafka client with its wire.
type client struct {
	*kgo.Client
	wire   *wire
	cancel context.CancelFunc
	ended  sync.Once
}

// clientOptions are the options of every client. Timeouts are short, that a run of a minute sees what comes after them.
func (r *run) clientOptions(ctx context.Context, w *wire, name string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(r.Seeds...), kgo.Dialer(w.dial), kgo.ClientID(r.tagged(name)), kgo.WithContext(ctx),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(10 * time.Second),
		kgo.RetryBackoffFn(backoff), kgo.RetryTimeout(retryTimeout), kgo.RequestTimeoutOverhead(requestTimeout),
		kgo.DialTimeout(time.Second),
	}
}

// tagged is the id of a client, with its zone.
func (r *run) tagged(name string) string {
	if len(r.Zones) == 0 {
		return name
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	if zone := r.Zones[h.Sum32()%uint32(len(r.Zones))]; zone != "" {
		return name + ",zone=" + zone
	}
	return name
}

// backoff is without chance, as everything here that does not come from the seed.
func backoff(tries int) time.Duration {
	return min(250*time.Millisecond, 50*time.Millisecond<<min(max(tries-1, 0), 3))
}

// newClient makes a client that the caller closes or abandons.
func (r *run) newClient(ctx context.Context, name string, opts ...kgo.Opt) (*client, error) {
	w := &wire{connect: r.Dial}
	ctx, cancel := context.WithCancel(ctx)
	cl, err := kgo.NewClient(append(r.clientOptions(ctx, w, name), opts...)...)
	if err != nil {
		cancel()
		return nil, err
	}
	return &client{Client: cl, wire: w, cancel: cancel}, nil
}

// close says goodbye: members leave their groups.
func (c *client) close() {
	c.ended.Do(func() {
		c.CloseAllowingRebalance()
		c.wire.cut()
		c.cancel()
	})
}

// abandon ends the client as the death of its process does. What it had open is left to the cluster.
func (c *client) abandon() {
	c.ended.Do(func() {
		c.wire.cut()
		c.cancel()
		c.CloseAllowingRebalance()
	})
}

// byNames caps the versions of requests that later name topics by their ids only.
func byNames() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Fetch), 12)
	v.SetMaxKeyVersion(int16(kmsg.OffsetCommit), 9)
	v.SetMaxKeyVersion(int16(kmsg.OffsetFetch), 9)
	v.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 5)
	return v
}
