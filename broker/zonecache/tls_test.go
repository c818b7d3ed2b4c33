package zonecache_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnel-io/runnel/broker/peer"
	"github.com/runnel-io/runnel/broker/zonecache"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/objstore"
	"github.com/runnel-io/runnel/objstore/cache"
	"github.com/runnel-io/runnel/objstore/fault"
	"github.com/runnel-io/runnel/objstore/memory"
)

const (
	blockBytes  = 64 << 10
	objectBytes = 40*blockBytes + 12_345
	blocks      = 41
	extents     = 11 // of four blocks
)

// zone is brokers as far as their caches go, which reach each other over TLS on the loopback, on one store.
type zone struct {
	data    []byte
	gets    atomic.Int64
	live    []metastore.Broker
	brokers []*broker
}

type broker struct {
	*cache.Cache
	zone    *zone
	self    metastore.Broker
	cluster string
	stop    func() // its peer port
	leave   func() // ends what it asks of others
}

func (b *broker) Self() metastore.Broker   { return b.self }
func (b *broker) Live() []metastore.Broker { return b.zone.live }

var credentials = sync.OnceValues(func() (*peer.Credentials, error) { return peer.FromSecret("a secret of the tests alone") })

// newZone starts three brokers; the ports of those that are silent accept connections and say nothing.
func newZone(t *testing.T, opts zonecache.Options, clusters [3]string, silent ...int) *zone {
	t.Helper()
	z := &zone{data: make([]byte, objectBytes)}
	rand.NewChaCha8([32]byte{}).Read(z.data) //nolint:errcheck // ChaCha8 never fails
	inner := memory.New()
	if err := inner.Put(t.Context(), "segments/1", [][]byte{z.data}); err != nil {
		t.Fatal(err)
	}
	store := fault.Wrap(inner)
	store.Before(func(context.Context, fault.Call) error {
		z.gets.Add(1)
		return nil
	})
	for i := range clusters {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := ln.Addr().(*net.TCPAddr)
		b := &broker{zone: z, cluster: clusters[i], self: metastore.Broker{
			NodeID: metastore.NodeID(i + 1), PeerHost: at.IP.String(), PeerPort: int32(at.Port)}}
		z.live, z.brokers = append(z.live, b.self), append(z.brokers, b)
		b.open(t, store, opts, ln, slices.Contains(silent, i))
	}
	t.Cleanup(func() {
		for _, b := range z.brokers {
			b.leave()
		}
		for _, b := range z.brokers {
			b.stop()
		}
	})
	return z
}

func (b *broker) open(t *testing.T, store cache.Getter, opts zonecache.Options, ln net.Listener, silent bool) {
	t.Helper()
	c, err := credentials()
	if err != nil {
		t.Fatal(err)
	}
	cluster := func() string { return b.cluster }
	client := peer.NewClient(c, cluster, peer.ClientOptions{})
	zone := zonecache.New(b, client, opts)
	if b.Cache, err = cache.New(store, cache.Options{BlockBytes: blockBytes, GetBytes: 4 * blockBytes, Zone: zone}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	server := peer.NewServer(c, cluster, nil, nil, peer.ServerOptions{Blocks: zonecache.NewLender(b.Cache, zonecache.LenderOptions{})})
	served := make(chan error, 1)
	go func() {
		if silent {
			<-ctx.Done()
			served <- ln.Close()
			return
		}
		served <- server.Run(ctx, ln)
	}()
	b.stop = sync.OnceFunc(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	b.leave = func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		zone.Close()
		client.Close()
	}
}

// readAll has many readers read the object in pieces, through these brokers.
func (z *zone) readAll(t *testing.T, brokers ...*broker) {
	t.Helper()
	var readers sync.WaitGroup
	for i := range 5 * len(brokers) {
		readers.Go(func() {
			b := brokers[i%len(brokers)]
			for offset := int64(i) * 1000; offset < objectBytes; offset += 200_000 {
				got, err := b.Read(t.Context(), "segments/1", objectBytes, offset, 200_000)
				if err != nil {
					t.Errorf("broker %d: %v", b.self.NodeID, err)
					return
				}
				if !bytes.Equal(slices.Concat(got...), z.data[offset:min(offset+200_000, objectBytes)]) {
					t.Errorf("broker %d: wrong bytes at %d", b.self.NodeID, offset)
				}
			}
		})
	}
	readers.Wait()
}

// patient waits for owners on a machine that is busy with other tests.
var patient = zonecache.Options{Patience: 10 * time.Second, LoadPatience: 10 * time.Second, Longest: 20 * time.Second}

func TestAZoneGetsABlockOnce(t *testing.T) {
	z := newZone(t, patient, [3]string{"one", "one", "one"})
	z.readAll(t, z.brokers...)
	if n := z.gets.Load(); n > blocks || n < extents {
		t.Errorf("%d GETs of %d blocks in %d extents", n, blocks, extents)
	}
	fromPeers := int64(0)
	for _, b := range z.brokers {
		fromPeers += b.Stats().FromPeers
	}
	if fromPeers != 2*blocks {
		t.Errorf("%d blocks came from peers, want two brokers' of %d", fromPeers, blocks)
	}
	// Bytes are counted beside the reads.
	owned := func() (own int64) {
		for _, b := range z.brokers {
			s := b.Stats()
			if s.Bytes == s.CopyBytes {
				return 0 // the test wants a key of which each owns something
			}
			own += s.Bytes - s.CopyBytes
		}
		return own
	}
	for deadline := time.Now().Add(10 * time.Second); owned() < objectBytes || owned() > objectBytes+blocks*1024; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("the owners keep %d bytes of %d", owned(), objectBytes)
		}
	}
}

func TestOneGetForAWholeExtent(t *testing.T) {
	z := newZone(t, patient, [3]string{"one", "one", "one"})
	for _, b := range z.brokers {
		b.Prefetch(t.Context(), "segments/1", objectBytes, []objstore.Range{{Length: objectBytes}})
		if _, err := b.Read(t.Context(), "segments/1", objectBytes, 0, objectBytes); err != nil {
			t.Fatal(err)
		}
	}
	if n := z.gets.Load(); n != extents {
		t.Errorf("%d GETs of %d extents", n, extents)
	}
}

func TestOwnersThatAreNoUse(t *testing.T) {
	for name, tc := range map[string]struct {
		clusters [3]string
		silent   []int
		begin    func(z *zone)
	}{
		"stopped":            {[3]string{"one", "one", "one"}, nil, func(z *zone) { z.brokers[2].stop() }},
		"silent":             {[3]string{"one", "one", "one"}, []int{2}, nil},
		"of another cluster": {[3]string{"one", "one", "two"}, nil, nil},
		"all of them":        {[3]string{"one", "two", "three"}, []int{2}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			z := newZone(t, zonecache.Options{}, tc.clusters, tc.silent...)
			if tc.begin != nil {
				tc.begin(z)
			}
			z.readAll(t, z.brokers[:2]...)
			if n := z.gets.Load(); n > 3*blocks {
				t.Errorf("%d GETs of %d blocks", n, blocks)
			}
		})
	}
}
