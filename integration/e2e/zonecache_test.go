package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/slows3"
)

// zoned is a cluster of three brokers in one zone and one, the writer, in another. They reach each other over links.
type zoned struct {
	stores harness.Stores
	zone   []*member
	writer *harness.Broker
}

// startZoned starts it on a bucket as slow as a profile says, or as fast as it is.
func startZoned(t *testing.T, profile *slows3.Profile) *zoned {
	t.Helper()
	z := &zoned{stores: harness.NewStores(t)}
	stores, secret := z.stores, rand.Text()
	if profile != nil {
		stores.Endpoint = slowly(t, z.stores.Endpoint, *profile)
	}
	for _, zone := range []string{"a", "a", "a", "b"} {
		listen := harness.FreeAddress(t)
		link := harness.NewLink(t, listen)
		b := harness.Node(t, stores, harness.NodeOptions{Env: []string{
			"RUNNEL_PEER_SECRET=" + secret, "RUNNEL_PEER_LISTEN=" + listen, "RUNNEL_PEER_ADVERTISE=" + link.Addr, "RUNNEL_ZONE=" + zone,
		}})
		b.Start()
		if zone == "a" {
			z.zone = append(z.zone, &member{Broker: b, peers: link})
		} else {
			z.writer = b
		}
	}
	for _, b := range z.all() {
		b.WaitReady()
	}
	for _, b := range z.all() {
		eventually(t, "all brokers know each other", 15*time.Second, func() bool {
			brokers, err := admin(t, through(b)...).ListBrokers(harness.Soon(t))
			return err == nil && len(brokers) == 4
		})
	}
	return z
}

func (z *zoned) all() []*harness.Broker {
	all := []*harness.Broker{z.writer}
	for _, b := range z.zone {
		all = append(all, b.Broker)
	}
	return all
}

// slowly is the address of a proxy that makes an S3 server slow until the test ends.
func slowly(t *testing.T, endpoint string, profile slows3.Profile) string {
	t.Helper()
	to, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- slows3.New(to, slows3.NewDraws(profile, 1)).Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

const (
	tailTopic      = "tail"
	tailPartitions = 4
	block          = 1 << 20 // of the cache
)

// tail is what consumers follow: 24 MiB, the first half in small segments, the second in large ones.
type tail struct {
	mu    sync.Mutex
	ends  []int64
	ended chan struct{}
}

func (l *tail) end() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends
}

// write produces through a broker and calls half after the first half.
func (l *tail) write(t *testing.T, b *harness.Broker, half func()) {
	t.Helper()
	client, err := harness.Client(t, append(through(b), kgo.DefaultProduceTopic(tailTopic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(900<<10))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	random := mathrand.NewChaCha8([32]byte{})
	ends := make([]int64, tailPartitions)
	send := func(records int) {
		t.Helper()
		batch := make([]*kgo.Record, records)
		for i := range batch {
			value := make([]byte, 64<<10)
			random.Read(value) //nolint:errcheck // never fails
			batch[i] = &kgo.Record{Partition: int32(i % tailPartitions), Value: value}
		}
		if err := client.ProduceSync(harness.Soon(t), batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for _, r := range batch {
			ends[r.Partition] = max(ends[r.Partition], r.Offset+1)
		}
	}
	for range 24 {
		send(8) // 512 KiB
	}
	half()
	for range 3 {
		send(64) // 4 MiB
	}
	l.mu.Lock()
	l.ends = ends
	l.mu.Unlock()
	close(l.ended)
}

// reading is consumers that follow the tail.
type reading struct {
	readers sync.WaitGroup
	mu      sync.Mutex
	errs    []error
	slowest time.Duration
	bytes   atomic.Int64
}

// follow starts n consumers of the tail through brokers in turn.
func (l *tail) follow(ctx context.Context, n int, brokers []*harness.Broker) *reading {
	r := &reading{}
	for i := range n {
		b := brokers[i%len(brokers)]
		r.readers.Go(func() {
			reader, err := newTailReader(ctx, b.Addr, tailTopic, tailPartitions)
			if err == nil {
				err = reader.follow(ctx, l.ended, l.end)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if err != nil {
				r.errs = append(r.errs, fmt.Errorf("consumer %d at %s: %w", i, b.Addr, err))
				return
			}
			r.slowest = max(r.slowest, reader.slowest)
			r.bytes.Add(reader.bytes)
		})
	}
	return r
}

// finish waits for the consumers, whom nothing may have gone wrong for.
func (r *reading) finish(t *testing.T) {
	t.Helper()
	r.readers.Wait()
	if err := errors.Join(r.errs...); err != nil {
		t.Error(err)
	}
}

// gets is how many GETs brokers have sent to the bucket.
func gets(t *testing.T, brokers ...*harness.Broker) int {
	t.Helper()
	total := 0
	for _, b := range brokers {
		for _, outcome := range []string{"ok", "cancelled", "error", "not_found", "range"} {
			metric := `runnel_objstore_requests_total{op="get",outcome="` + outcome + `"}`
			if strings.Contains(b.Metrics(), metric) {
				total += int(number(t, b, metric))
			}
		}
	}
	return total
}

// impatience is how often brokers asked the bucket since an owner of blocks took too long, as one does on a busy machine, and how
// often they did not ask an owner for a while after that.
func impatience(t *testing.T, brokers ...*harness.Broker) (impatient, suspected int) {
	t.Helper()
	for _, b := range brokers {
		text := b.Metrics()
		for _, outcome := range []string{"overtaken", "refused", "failed", "not_asked"} {
			impatient += int(metric(text, `runnel_zonecache_asked_total{outcome="`+outcome+`"}`))
		}
		suspected += int(metric(text, "runnel_zonecache_suspected_total"))
	}
	return impatient, suspected
}

// blocksOf is how many blocks objects have.
func blocksOf(sizes []int64) int {
	n := 0
	for _, size := range sizes {
		n += int((size + block - 1) / block)
	}
	return n
}

// TestAZoneReadsABlockOnce: 50 consumers follow a tail through three brokers that did not write it, and the bucket is
// asked for each block about once, not once for each broker. Those at the writer need no GET at all.
func TestAZoneReadsABlockOnce(t *testing.T) {
	for _, tc := range []struct {
		name    string
		profile *slows3.Profile
	}{
		{"bucket near by", nil},
		{"bucket as slow as S3 Standard", &slows3.Standard},
	} {
		t.Run(tc.name, func(t *testing.T) {
			z := startZoned(t, tc.profile)
			createTopic(t, tailTopic, tailPartitions, through(z.writer)...)
			z.await(t)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			l := &tail{ended: make(chan struct{})}
			zone := z.all()[1:]
			consumers, atWriter := l.follow(ctx, 50, zone), l.follow(ctx, 5, z.all()[:1])
			l.write(t, z.writer, func() {})
			consumers.finish(t)
			atWriter.finish(t)

			sizes := z.stores.ObjectSizes(t)
			blocks, asked := blocksOf(sizes), gets(t, zone...)
			t.Logf("%d consumers read %d MiB in %d segments of %d blocks with %d GETs, %.2f per block; the slowest answer took %v longer than it may wait for records",
				50, consumers.bytes.Load()>>20, len(sizes), blocks, asked, float64(asked)/float64(blocks), consumers.slowest)
			impatient, suspected := impatience(t, zone...)
			if 5*(asked-impatient) > 6*blocks && suspected == 0 || asked > 2*blocks || asked == 0 {
				t.Errorf("%d GETs of %d blocks, %d of them for an owner that did not answer in time", asked, blocks, impatient)
			}
			if n := gets(t, z.writer); n != 0 {
				t.Errorf("%d GETs of the broker that wrote", n)
			}
		})
	}
}

// await waits until all brokers know the topic.
func (z *zoned) await(t *testing.T) {
	t.Helper()
	for _, b := range z.all() {
		eventually(t, "the broker knows the topic", 10*time.Second, func() bool {
			topics, err := admin(t, through(b)...).ListTopics(harness.Soon(t), tailTopic)
			return err == nil && topics[tailTopic].Err == nil && len(topics[tailTopic].Partitions) == tailPartitions
		})
	}
}

// TestAnOwnerOfBlocksThatFailsIsAMiss: whatever happens to a broker of the zone, consumers of the others see no error and
// no wait to speak of, and go on sharing.
func TestAnOwnerOfBlocksThatFailsIsAMiss(t *testing.T) {
	for _, failure := range []struct {
		name   string
		begin  func(*member)
		serves bool // its own consumers, all the while
	}{
		{"killed", func(b *member) { b.Kill() }, false},
		{"paused", func(b *member) { b.Pause() }, false},
		{"cut off from the other brokers", func(b *member) { b.peers.Cut() }, true},
	} {
		t.Run(failure.name, func(t *testing.T) {
			z := startZoned(t, nil)
			createTopic(t, tailTopic, tailPartitions, through(z.writer)...)
			z.await(t)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			l := &tail{ended: make(chan struct{})}
			victim, watched := z.zone[2], z.all()[1:3]
			if failure.serves {
				watched = z.all()[1:]
			}
			consumers := l.follow(ctx, 50, watched)
			unconcerned := l.follow(ctx, 5, z.all()[:1]) // at the writer, in another zone
			doomed, doom := context.WithCancel(ctx)
			defer doom()
			others := l.follow(doomed, 5, []*harness.Broker{victim.Broker})
			l.write(t, z.writer, func() { failure.begin(victim) })
			consumers.finish(t)
			unconcerned.finish(t)
			doom()
			others.readers.Wait()
			if failure.name == "paused" {
				victim.Resume()
			}
			blocks, asked := blocksOf(z.stores.ObjectSizes(t)), gets(t, watched...)
			t.Logf("%d GETs of %d blocks, %.2f per block; the slowest answer took %v longer than it may wait for records", asked, blocks, float64(asked)/float64(blocks), consumers.slowest)
			if asked > 2*blocks {
				t.Errorf("%d GETs of %d blocks", asked, blocks)
			}
			if consumers.slowest > 3*time.Second+2*unconcerned.slowest {
				t.Errorf("an answer took %v longer than it may wait for records, one of consumers that nothing befell %v", consumers.slowest, unconcerned.slowest)
			}
		})
	}
}
