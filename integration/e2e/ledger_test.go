package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// place is where a record stands.
type place struct {
	partition int32
	offset    int64
}

// ledger is one idempotent producer that writes numbered records round robin over the partitions of a topic without
// pause, through whatever happens to the brokers, and notes what was acknowledged.
type ledger struct {
	topic      string
	name       string // told apart from other producers of the topic by it
	partitions int32
	client     *kgo.Client
	every      time.Duration                     // between records; 0: as fast as they are acknowledged
	told       func(record *kgo.Record, seq int) // of each that is acknowledged, if anybody wants to know

	mu      sync.Mutex
	acked   map[place]string
	failed  error
	slowest time.Duration // from the call of Produce to the acknowledgement

	stop    context.CancelFunc
	stopped chan struct{}
}

// startLedger starts producing. Stop it with finish.
func startLedger(t *testing.T, topic, name string, partitions int32, opts ...kgo.Opt) *ledger {
	t.Helper()
	l := newLedger(t, topic, name, partitions, opts...)
	l.start(t)
	return l
}

func newLedger(t *testing.T, topic, name string, partitions int32, opts ...kgo.Opt) *ledger {
	t.Helper()
	client, err := harness.Client(t, append([]kgo.Opt{
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(400),
		kgo.ProducerLinger(0),
		kgo.StopProducerOnDataLossDetected(),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.RetryTimeout(5 * time.Minute),
		kgo.UnknownTopicRetries(-1),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return &ledger{topic: topic, name: name, partitions: partitions, client: client, acked: map[place]string{}, stopped: make(chan struct{})}
}

func (l *ledger) start(t *testing.T) {
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	go l.run(ctx)
	t.Cleanup(func() {
		l.stop()
		l.client.Close() // and with it a Produce that waits for room
		<-l.stopped
	})
}

// run produces until ctx ends. Records already handed to the client are delivered whatever ctx does.
func (l *ledger) run(ctx context.Context) {
	defer close(l.stopped)
	for i := 0; l.goOn(ctx); i++ {
		partition, seq := int32(i)%l.partitions, i/int(l.partitions)
		record := &kgo.Record{
			Partition: partition, Key: []byte(l.name), Value: []byte(l.value(partition, seq)), Timestamp: time.Now(),
			Headers: []kgo.RecordHeader{{Key: "seq", Value: fmt.Append(nil, seq)}},
		}
		l.client.Produce(context.Background(), record, func(r *kgo.Record, err error) { l.note(r, seq, err) })
	}
}

// goOn waits for when the next record is due, and says whether there is to be one.
func (l *ledger) goOn(ctx context.Context) bool {
	if l.every > 0 {
		select {
		case <-time.After(l.every):
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

func (l *ledger) value(partition int32, seq int) string {
	return fmt.Sprintf("%s/%d/%d/%0100d", l.name, partition, seq, 0)
}

func (l *ledger) note(r *kgo.Record, seq int, err error) {
	if err == nil && l.told != nil {
		l.told(r, seq)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, time.Since(r.Timestamp))
	if err != nil {
		l.failed = errors.Join(l.failed, fmt.Errorf("record %.30q: %w", r.Value, err))
		return
	}
	l.acked[place{r.Partition, r.Offset}] = string(r.Value)
}

// count is how many records are acknowledged by now.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// await waits until n more records are acknowledged than at the call.
func (l *ledger) await(t *testing.T, n int) {
	t.Helper()
	from := l.count()
	eventually(t, fmt.Sprintf("%s gets %d more records acknowledged", l.name, n), time.Minute, func() bool {
		return l.count() >= from+n
	})
}

// finish stops producing and waits until everything sent is acknowledged.
func (l *ledger) finish(t *testing.T) {
	t.Helper()
	l.stop()
	// Produce may wait for room in the client, which comes only with acknowledgements.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case <-l.stopped:
	case <-ctx.Done():
		t.Fatalf("%s is stuck with %d records acknowledged", l.name, l.count())
	}
	if err := l.client.Flush(ctx); err != nil {
		t.Fatalf("%s: not everything was acknowledged: %v", l.name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		t.Fatalf("%s: %v", l.name, l.failed)
	}
}

// check reads the topic and compares: each record acknowledged before stands where the acknowledgement said, and this
// producer's records of each partition are those sent, in order, each once.
func (l *ledger) check(t *testing.T, opts ...kgo.Opt) {
	t.Helper()
	l.mu.Lock()
	acked := maps.Clone(l.acked)
	l.mu.Unlock()
	l.compare(t, acked, readAll(t, l.topic, opts...))
}

func (l *ledger) compare(t *testing.T, acked, stored map[place]string) {
	t.Helper()
	for at, value := range acked {
		if got, ok := stored[at]; !ok {
			t.Fatalf("lost: %.30q was acknowledged at %+v", value, at)
		} else if got != value {
			t.Fatalf("changed: %.30q was acknowledged at %+v, there is %.30q", value, at, got)
		}
	}
	next := map[int32]int{}
	for _, at := range inOrder(stored) {
		value := stored[at]
		if len(value) < len(l.name) || value[:len(l.name)+1] != l.name+"/" {
			continue // of another producer
		}
		if want := l.value(at.partition, next[at.partition]); value != want {
			t.Fatalf("at %+v stands %.30q, the next of its partition is %.30q: lost, repeated or out of order", at, value, want)
		}
		next[at.partition]++
	}
}

func inOrder(stored map[place]string) []place {
	places := make([]place, 0, len(stored))
	for at := range stored {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.partition != b.partition {
			return int(a.partition - b.partition)
		}
		return int(a.offset - b.offset)
	})
	return places
}

// readAll reads a topic from its beginning to the end it has at the call, and checks that offsets have no gaps.
func readAll(t *testing.T, topic string, opts ...kgo.Opt) map[place]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := harness.Client(t, append([]kgo.Opt{
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends := endsOf(ctx, t, topic, kadm.NewClient(client))
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })

	stored, next := map[place]string{}, map[int32]int64{}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s, %d records left: %v", topic, left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				t.Fatalf("partition %d: offset %d follows %d", r.Partition, r.Offset, next[r.Partition]-1)
			}
			next[r.Partition]++
			stored[place{r.Partition, r.Offset}] = string(r.Value)
			if end, _ := ends.Lookup(topic, r.Partition); r.Offset < end.Offset {
				left--
			}
		})
	}
	return stored
}

// endsOf asks until brokers tell: one that may be behind refuses for now.
func endsOf(ctx context.Context, t *testing.T, topic string, client *kadm.Client) kadm.ListedOffsets {
	t.Helper()
	var ends kadm.ListedOffsets
	eventually(t, "the end of "+topic+" is told", 10*time.Second, func() bool {
		var err error
		if ends, err = client.ListEndOffsets(ctx, topic); err == nil {
			err = ends.Error()
		}
		if err != nil && !kerr.IsRetriable(err) {
			t.Fatalf("end of %s: %v", topic, err)
		}
		return err == nil
	})
	return ends
}

// createTopic creates a topic through any broker.
func createTopic(t *testing.T, topic string, partitions int32, opts ...kgo.Opt) {
	t.Helper()
	if _, err := admin(t, opts...).CreateTopic(harness.Soon(t), partitions, 1, nil, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

func admin(t *testing.T, opts ...kgo.Opt) *kadm.Client {
	t.Helper()
	client, err := harness.Client(t, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// await waits until goroutines have ended that were told to.
func await(t *testing.T, what string, running *sync.WaitGroup) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-harness.Soon(t).Done():
		t.Fatalf("it does not happen that %s:\n%s", what, harness.Goroutines())
	}
}

func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	harness.Eventually(t, what, within, ok)
}
