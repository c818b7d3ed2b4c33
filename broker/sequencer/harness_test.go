package sequencer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// network carries what brokers say to each other, in one process, and loses it where a test cuts it.
type network struct {
	mu      sync.Mutex
	brokers map[string]*broker // by address
	cut     map[string]fault   // by address
}

type fault int

const (
	dead   fault = iota + 1 // connections are refused
	paused                  // nothing comes back until the caller gives up, and what was asked is not done
	deaf                    // what is asked is done, and the answer is lost
	strict                  // commits are refused as invalid
	older                   // it knows of commits alone
)

var errDead = errors.New("connection refused")

func (n *network) breakAt(address string, f fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[address] = f
}

func (n *network) reach(ctx context.Context, address string) (*broker, fault, error) {
	n.mu.Lock()
	b, f := n.brokers[address], n.cut[address]
	n.mu.Unlock()
	switch {
	case b == nil || f == dead:
		return nil, f, errDead
	case f == paused:
		<-ctx.Done()
		return nil, f, ctx.Err()
	}
	return b, f, nil
}

func (n *network) Commit(ctx context.Context, address string, segments []metastore.SegmentCommit) (metastore.Seq, []metastore.SegmentResult, error) {
	b, f, err := n.reach(ctx, address)
	if err != nil {
		return 0, nil, err
	}
	if f == strict {
		return 0, nil, metastore.ErrInvalidCommit
	}
	through, results, err := b.seq.Sequence(ctx, segments)
	if f == deaf {
		<-ctx.Done()
		return 0, nil, ctx.Err()
	}
	return through, results, err
}

func (n *network) Transact(ctx context.Context, address string, requests []metastore.TxnRequest) (metastore.Seq, []metastore.TxnResult, error) {
	b, f, err := n.reach(ctx, address)
	if err != nil {
		return 0, nil, err
	}
	if f == older {
		return 0, nil, metastore.ErrNewerFormat
	}
	through, results, err := b.seq.SequenceTxns(ctx, requests)
	if f == deaf {
		<-ctx.Done()
		return 0, nil, ctx.Err()
	}
	return through, results, err
}

func (n *network) Entries(ctx context.Context, address string, seq metastore.Seq, take func(metastore.Entry) bool) error {
	for {
		b, f, err := n.reach(ctx, address)
		if err == nil && f != 0 && f != older {
			err = errDead
		}
		if err != nil {
			return err
		}
		entries, err := b.log.After(ctx, seq)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !take(e) {
				return nil
			}
			seq = e.Seq
		}
	}
}

func (n *network) Ping(ctx context.Context, address string) error {
	_, _, err := n.reach(ctx, address)
	return err
}

// broker is a member with a replica of the log and a sequencer.
type broker struct {
	self  metastore.Broker
	store *memory.Store
	log   *metastore.Replica
	seq   *Sequencer
	net   *network
	stop  func()
}

func (b *broker) Self() metastore.Broker { return b.self }

func (b *broker) Live() []metastore.Broker {
	live, err := b.store.LiveBrokers(context.Background())
	if err != nil {
		return nil
	}
	return live
}

// counting counts what its users append.
type counting struct {
	metastore.Log
	mu      sync.Mutex
	appends int
}

func (c *counting) Append(ctx context.Context, expected metastore.Position, next metastore.Entry) error {
	c.mu.Lock()
	c.appends++
	c.mu.Unlock()
	return c.Log.Append(ctx, expected, next)
}

func (c *counting) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.appends
}

// cluster runs brokers on one metastore. Their replicas do not look at the log by themselves unless they must, so that
// what they know came from the sequencer.
type cluster struct {
	store   *memory.Store
	net     *network
	brokers []*broker
	topic   metastore.TopicID
}

const partitions = 4

func start(t *testing.T, brokers int, opts Options) *cluster {
	t.Helper()
	c := &cluster{store: memory.New(memory.Options{}), net: &network{brokers: make(map[string]*broker), cut: make(map[string]fault)}}
	t.Cleanup(func() { _ = c.store.Close() })
	for range brokers {
		c.brokers = append(c.brokers, c.join(t, c.store, opts))
	}
	topic, err := c.brokers[0].log.CreateTopic(t.Context(), metastore.NewTopic{Name: "t", Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	c.topic = topic.ID
	for _, b := range c.brokers {
		if err := b.log.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *cluster) join(t *testing.T, log metastore.Log, opts Options) *broker {
	t.Helper()
	self, err := c.store.RegisterBroker(t.Context(), metastore.Broker{NodeID: metastore.AnyNodeID, PeerHost: uuid.NewString(), PeerPort: 1}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{self: self, store: c.store, net: c.net, log: metastore.NewReplica(log, metastore.ReplicaOptions{})}
	if err := b.log.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.seq = New(b.log, b, c.store, c.net, opts)
	c.net.mu.Lock()
	c.net.brokers[peerAddress(self)] = b
	c.net.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = b.seq.Run(ctx) })
	running.Go(func() { _ = b.seq.HoldRole(ctx) })
	b.stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(b.stop)
	return b
}

// holder is the broker that sequences, as all of them know, or as one knows that is left.
func (c *cluster) holder(t *testing.T) *broker {
	t.Helper()
	for _, b := range c.brokers {
		if b.seq.known().held {
			return b
		}
	}
	t.Fatal("nobody holds the role")
	return nil
}

// others are those that do not hold the role.
func (c *cluster) others(t *testing.T) []*broker {
	t.Helper()
	var rest []*broker
	for _, b := range c.brokers {
		if b != c.holder(t) {
			rest = append(rest, b)
		}
	}
	return rest
}

// segment has a batch of so many records of an idempotent producer.
func (c *cluster) segment(partition int32, producer metastore.ProducerID, sequence, records int32) []metastore.SegmentCommit {
	return []metastore.SegmentCommit{{ID: metastore.NewSegmentID(time.Now()), Size: 1000, Runs: []metastore.RunCommit{{
		TopicPartition: metastore.TopicPartition{Topic: c.topic, Partition: partition},
		Batches:        []metastore.BatchCommit{{Length: 10, Records: records, ProducerID: producer, BaseSequence: sequence}},
	}}}}
}

// commit expects the batch to be accepted, and the broker to know of it, and returns its offset.
func (c *cluster) commit(t *testing.T, b *broker, segments []metastore.SegmentCommit) metastore.Offset {
	t.Helper()
	results, err := b.seq.Commit(t.Context(), segments)
	if err != nil {
		t.Errorf("commit: %v", err)
		return metastore.NoOffset
	}
	res, run := results[0].Runs[0][0], segments[0].Runs[0]
	if res.Verdict != metastore.Accepted {
		t.Errorf("verdict %d", res.Verdict)
	}
	if w, _ := b.log.Watermarks(run.TopicPartition); w.High < res.Offset+metastore.Offset(run.Batches[0].Records) {
		t.Errorf("offset %d was answered, and the high watermark is %d", res.Offset, w.High)
	}
	return res.Offset
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
