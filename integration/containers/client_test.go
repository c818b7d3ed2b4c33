package containers

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// newClient makes a client that gives up on brokers that do not answer after a few seconds.
func newClient(t *testing.T, brokers ...string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.AllowAutoTopicCreation(), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.UnknownTopicRetries(20), kgo.ProduceRequestTimeout(5*time.Second),
		kgo.RequestTimeoutOverhead(3*time.Second), kgo.DialTimeout(3*time.Second), kgo.MetadataMinAge(500*time.Millisecond), kgo.RecordDeliveryTimeout(2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// produce writes records 0 to n-1 and waits until they are acknowledged.
func produce(t *testing.T, client *kgo.Client, topic string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)})
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

// consume reads a topic from its beginning until it has n records, and tells how often it met each value.
func consume(t *testing.T, client *kgo.Client, topic string, n int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client.AddConsumeTopics(topic)
	got := make(map[string]int)
	for total := 0; total < n; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("consumed %d of %d records of %s: %v", total, n, topic, fetches.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)]++; total++ })
	}
	return got
}

// stream is a producer that goes on until it is stopped: one record after the other.
type stream struct {
	topic        string
	acknowledged atomic.Int64
	stop         context.CancelFunc
	done         chan error
}

func startStream(t *testing.T, client *kgo.Client, topic string) *stream {
	ctx, cancel := context.WithCancel(t.Context())
	s := &stream{topic: topic, stop: cancel, done: make(chan error, 1)}
	t.Cleanup(cancel)
	go func() {
		for ctx.Err() == nil {
			n := s.acknowledged.Load()
			// A record that is on its way is seen through, so that all that is there is acknowledged.
			if err := client.ProduceSync(context.WithoutCancel(ctx), &kgo.Record{Topic: topic, Value: fmt.Append(nil, n)}).FirstErr(); err != nil {
				s.done <- fmt.Errorf("record %d: %w", n, err)
				return
			}
			s.acknowledged.Add(1)
		}
		s.done <- nil
	}()
	return s
}

// goesOn waits until more records were acknowledged.
func (s *stream) goesOn(t *testing.T, during string) {
	t.Helper()
	from, began := s.acknowledged.Load(), time.Now()
	eventually(t, "records are acknowledged "+during, 90*time.Second, func() (bool, string) {
		n := s.acknowledged.Load() - from
		return n >= 50, fmt.Sprintf("%d were", n)
	})
	t.Logf("%s: 50 more records within %v", during, time.Since(began).Round(10*time.Millisecond))
}

// end stops it and returns how many records were acknowledged.
func (s *stream) end(t *testing.T) int {
	t.Helper()
	s.stop()
	select {
	case err := <-s.done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(3 * time.Minute):
		t.Fatal("the last record is not acknowledged")
	}
	return int(s.acknowledged.Load())
}

// isThereOnce ends it, reads the topic, and returns how many records were acknowledged, of which each must be there once.
func (s *stream) isThereOnce(t *testing.T, brokers ...string) int {
	t.Helper()
	n := s.end(t)
	got := consume(t, newClient(t, brokers...), s.topic, n)
	for i := range n {
		if times := got[fmt.Sprint(i)]; times != 1 {
			t.Errorf("record %d is there %d times", i, times)
		}
	}
	return n
}

func kcat(t *testing.T, input string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("kcat")
	if err != nil {
		t.Fatal("needs kcat (apt-get install kcat)")
	}
	return command(t, input, nil, path, args...)
}

// command runs a program and returns its output.
func command(t *testing.T, input string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if env != nil {
		cmd.Env = env
	}
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
