package compat

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// rollingPace is between two records of a producer, rollingRead how many records each consumer reads: more than are
// produced while brokers are restarted.
const (
	rollingPace = 5 * time.Millisecond
	rollingRead = 5_000
)

// leftOut is kafkajs: whenever a partition gets another leader it joins its group again and reads again what it did not
// commit, with Kafka too.
const leftOut = "kafkajs"

// TestClientsLiveThroughARollingRestart restarts three brokers in turn while clients of other makes produce and consume
// with their defaults. All of them end well; each record is there once and in order, and each consumer reads each once.
func TestClientsLiveThroughARollingRestart(t *testing.T) {
	c := clients(t)
	brokers := trio(t)
	bootstrap := brokers[0].Addr + "," + brokers[1].Addr + "," + brokers[2].Addr
	ctx := within(t, 4*time.Minute)
	createEverywhere(t, brokers, "source", 6)
	var running sync.WaitGroup
	defer running.Wait()

	over := make(chan struct{}) // the restarts are
	consumers := slices.DeleteFunc(slices.Clone(c.Consumers), func(c Consumer) bool { return c.Name() == leftOut })
	for _, consumer := range consumers {
		running.Go(func() { consumeSource(ctx, t, bootstrap, consumer) })
	}
	for _, consumer := range consumers {
		eventually(t, consumer.Name()+" is in its group", func() bool {
			groups, err := admin(t, brokers[0].Addr).DescribeGroups(harness.Soon(t), consumer.Name())
			return err == nil && groups[consumer.Name()].State == "Stable"
		})
	}
	running.Go(func() { produceSource(ctx, t, bootstrap, over) })
	for _, p := range streams(c) {
		createEverywhere(t, brokers, "from-"+p.name, 6)
		running.Go(func() { p.run(ctx, t, bootstrap, over) })
		eventually(t, p.name+" produces", func() bool {
			ends, err := admin(t, brokers[0].Addr).ListEndOffsets(harness.Soon(t), "from-"+p.name)
			end := int64(0)
			ends.Each(func(o kadm.ListedOffset) { end += o.Offset })
			return err == nil && end > 0
		})
	}

	for _, b := range brokers {
		began := time.Now()
		b.Stop()
		stopped := time.Since(began)
		b.Restart()
		t.Logf("%s stopped in %v, is back after %v", b.Addr, stopped.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
	close(over)
}

// createEverywhere creates a topic of which all brokers know when it returns: kcat ends when its topic is not there.
func createEverywhere(t *testing.T, brokers []*harness.Broker, topic string, partitions int) {
	t.Helper()
	createTopic(t, brokers[0].Addr, topic, int32(partitions))
	for _, b := range brokers {
		eventually(t, "the broker knows the topic", func() bool {
			topics, err := admin(t, b.Addr).ListTopics(harness.Soon(t), topic)
			return err == nil && len(topics[topic].Partitions) == partitions
		})
	}
}

// trio starts three brokers, which know each other when it returns.
func trio(t *testing.T) []*harness.Broker {
	t.Helper()
	stores, secret := harness.NewStores(t), rand.Text()
	var all []*harness.Broker
	for range 3 {
		listen := harness.FreeAddress(t)
		all = append(all, harness.Node(t, stores, harness.NodeOptions{Env: []string{
			"RUNNEL_PEER_SECRET=" + secret, "RUNNEL_PEER_LISTEN=" + listen, "RUNNEL_PEER_ADVERTISE=" + listen,
		}}))
		all[len(all)-1].Start()
	}
	for _, b := range all {
		b.WaitReady()
		eventually(t, "the broker knows the others", func() bool {
			known, err := admin(t, b.Addr).ListBrokers(harness.Soon(t))
			return err == nil && len(known) == 3
		})
	}
	return all
}

// pace calls do with the next record until it fails, slowly until over is closed and then fast up to a number of them.
func pace(ctx context.Context, over <-chan struct{}, atLeast int, do func(Record) error) (sent []Record, err error) {
	tick := time.NewTicker(rollingPace)
	defer tick.Stop()
	for {
		select {
		case <-over:
			if len(sent) >= atLeast {
				return sent, nil
			}
		case <-tick.C:
		case <-ctx.Done():
			return sent, ctx.Err()
		}
		r := Record{Key: fmt.Append(nil, "key", len(sent)%12), Value: fmt.Appendf(nil, "value %d", len(sent)), Headers: []Header{{"h", []byte("v")}}}
		sent = append(sent, r)
		if err := do(r); err != nil {
			return sent, err
		}
	}
}

// produceSource fills the topic that the consumers read.
func produceSource(ctx context.Context, t *testing.T, bootstrap string, over <-chan struct{}) {
	client, err := harness.Client(t, kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.DefaultProduceTopic("source"), kgo.AllowIdempotentProduceCancellation())
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	var first kgo.FirstErrPromise
	_, err = pace(ctx, over, rollingRead, func(r Record) error {
		client.Produce(ctx, &kgo.Record{Key: r.Key, Value: r.Value}, first.Promise())
		return nil
	})
	if err == nil {
		err = first.Err()
	}
	if err != nil {
		t.Errorf("produce the source: %v", err)
	}
}

// consumeSource has a client read the source, in its own group: each partition from its beginning without a gap, and once.
func consumeSource(ctx context.Context, t *testing.T, bootstrap string, c Consumer) {
	lines, err := c.Consume(ctx, bootstrap, "source", c.Name(), rollingRead)
	if err != nil {
		t.Errorf("%s consumes: %v", c.Name(), err)
		return
	}
	next := map[int32]int64{}
	for _, l := range lines {
		if l.Offset != next[l.Partition] {
			t.Errorf("%s: in partition %d, offset %d follows %d", c.Name(), l.Partition, l.Offset, next[l.Partition]-1)
			return
		}
		next[l.Partition]++
	}
}

// stream is a producer that is given its records one by one.
type stream struct {
	name    string
	command func(bootstrap, topic string) []string
	encode  func(io.Writer, Record) error
}

func streams(c Clients) []stream {
	all := []stream{{
		name: "kcat",
		command: func(bootstrap, topic string) []string {
			return []string{"kcat", "-P", "-b", bootstrap, "-t", topic, "-K", ":", "-H", "h=v", "-X", "enable.idempotence=true"}
		},
		encode: func(w io.Writer, r Record) error {
			_, err := fmt.Fprintf(w, "%s:%s\n", r.Key, r.Value)
			return err
		},
	}}
	for _, p := range c.Producers {
		if p, ok := p.(program); ok && p.name != leftOut {
			all = append(all, stream{
				name: p.name,
				command: func(bootstrap, topic string) []string {
					return slices.Concat([]string{"env"}, p.env, p.command, []string{"produce", bootstrap, topic, "none"})
				},
				encode: func(w io.Writer, r Record) error { return writeJSON(w, []Record{r}) },
			})
		}
	}
	return all
}

// run produces until over is closed, and compares what arrived with what was sent.
func (s stream) run(ctx context.Context, t *testing.T, bootstrap string, over <-chan struct{}) {
	topic := "from-" + s.name
	read, write := io.Pipe()
	var sent []Record
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		var err error
		sent, err = pace(ctx, over, 0, func(r Record) error { return s.encode(write, r) })
		_ = write.CloseWithError(err)
	}()
	said, err := runBoth(ctx, read, s.command(bootstrap, topic)...)
	_ = read.Close()
	<-fed
	if err != nil {
		t.Errorf("%s produces: %v", s.name, err)
		return
	}
	if said != "" {
		t.Logf("%s said:\n%s", s.name, end([]byte(said)))
	}
	stored, _, err := ReadAll(ctx, bootstrap, topic, len(sent))
	if err == nil {
		err = CheckDense(stored)
	}
	if err == nil {
		err = CheckSent(sent, stored, false)
	}
	if err != nil {
		t.Errorf("%s: %v", s.name, err)
	}
	t.Logf("%s produced %d records", s.name, len(sent))
}
