package runneltest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/runnel-io/runnel/runneltest"
)

// inTest stands for the *testing.T that a test is given, and for its end.
func inTest() (t testing.TB, end func()) {
	f := newFake(nil)
	return f, func() {
		if log := f.run(func() {}); f.Failed() {
			fmt.Println(log)
		}
	}
}

// connect makes a client, whose topics are made when it asks for them, and which looks for brokers that took over at once: by default
// this one does after some seconds.
func connect(c *runneltest.Cluster, opts ...kgo.Opt) *kgo.Client {
	opts = append(opts, kgo.SeedBrokers(c.Brokers()...), kgo.AllowAutoTopicCreation(), kgo.MetadataMinAge(50*time.Millisecond))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		panic(err)
	}
	return cl
}

// write produces one record and tells what became of it.
func write(cl *kgo.Client, topic, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr()
}

// read gets so many records of a topic.
func read(c *runneltest.Cluster, topic string, n int, opts ...kgo.Opt) []string {
	cl := connect(c, append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var values []string
	for len(values) < n && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func ExampleStart() {
	t, end := inTest() // in a test, t is the test's own, and this line is not needed
	defer end()

	c := runneltest.Start(t)
	client := connect(c)
	defer client.Close()
	fmt.Println(write(client, "greetings", "hello"))
	fmt.Println(read(c, "greetings", 1))
	// Output:
	// <nil>
	// [hello]
}

func ExampleWithTopic() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithTopic("orders", 3), runneltest.WithTopic("state", 1, "cleanup.policy=compact"))
	client := connect(c)
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(context.Background())
	fmt.Println(topics.Names(), len(topics["orders"].Partitions), err)
	// Output: [orders state] 3 <nil>
}

func ExampleWithClusterDefault() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithClusterDefault("auto.create.topics.enable", "false"))
	client := connect(c, kgo.UnknownTopicRetries(0))
	defer client.Close()
	fmt.Println(errors.Is(write(client, "nobody-made-it", "hello"), kerr.UnknownTopicOrPartition))
	// Output: true
}

func ExampleWithConfig() {
	t, end := inTest()
	defer end()

	// Consumers read what is in the object store, and not what the broker remembers of what it wrote.
	c := runneltest.Start(t, runneltest.WithConfig("memory.cache", "0"))
	client := connect(c)
	defer client.Close()
	fmt.Println(write(client, "t", "hello"), read(c, "t", 1))
	// Output: <nil> [hello]
}

func ExampleWithBrokers() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithBrokers(3), runneltest.WithTopic("t", 1))
	client := connect(c)
	defer client.Close()
	fmt.Println(write(client, "t", "one"))
	c.Broker(0).Stop() // the others take over
	fmt.Println(write(client, "t", "two"))
	fmt.Println(len(c.Brokers()), read(c, "t", 2))
	// Output:
	// <nil>
	// <nil>
	// 3 [one two]
}

func ExampleWithDir() {
	dir, err := os.MkdirTemp("", "runneltest") // in a test: t.TempDir()
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	for _, value := range []string{"first", "second"} {
		func() { // each a test of its own
			t, end := inTest()
			defer end()
			c := runneltest.Start(t, runneltest.WithDir(dir))
			client := connect(c)
			defer client.Close()
			fmt.Println(write(client, "t", value))
			if value == "second" {
				fmt.Println(read(c, "t", 2))
			}
		}()
	}
	// Output:
	// <nil>
	// <nil>
	// [first second]
}

func ExampleWithTLS() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithTLS())
	client := connect(c, kgo.DialTLSConfig(c.TLS()))
	defer client.Close()
	fmt.Println(write(client, "t", "hello"))
	// Output: <nil>
}

func ExampleWithUser() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithUser("alice", "secret"))
	client := connect(c, kgo.SASL(scram.Auth{User: "alice", Pass: "secret"}.AsSha256Mechanism()))
	defer client.Close()
	fmt.Println(write(client, "t", "hello"))
	// Output: <nil>
}

func ExampleWithACLs() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithUser("alice", "secret"), runneltest.WithTopic("orders", 1), runneltest.WithTopic("salaries", 1),
		runneltest.WithACLs("Topic:LITERAL:orders ALLOW Write * User:alice"))
	client := connect(c, kgo.SASL(scram.Auth{User: "alice", Pass: "secret"}.AsSha256Mechanism()))
	defer client.Close()
	fmt.Println(write(client, "orders", "a book"))
	fmt.Println(errors.Is(write(client, "salaries", "more"), kerr.TopicAuthorizationFailed))
	// Output:
	// <nil>
	// true
}

func ExampleWithSuperUsers() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithUser("root", "secret"), runneltest.WithSuperUsers("root"), runneltest.WithTopic("t", 1))
	client := connect(c, kgo.SASL(scram.Auth{User: "root", Pass: "secret"}.AsSha512Mechanism()))
	defer client.Close()
	fmt.Println(write(client, "t", "hello"))
	// Output: <nil>
}

func ExampleWithGiveUpAfter() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithTopic("t", 1), runneltest.WithGiveUpAfter(100*time.Millisecond))
	c.Faults().FailPuts(runneltest.Always)
	client := connect(c, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0))
	defer client.Close()
	fmt.Println(errors.Is(write(client, "t", "hello"), kerr.KafkaStorageError))
	// Output: true
}

func ExampleWithLogs() {
	t, end := inTest()
	defer end()

	runneltest.Start(t, runneltest.WithLogs(slog.LevelWarn)) // nothing to warn of
	// Output:
}

func ExampleFaults() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithTopic("t", 1))
	client := connect(c)
	defer client.Close()
	c.Faults().FailPuts(2)
	c.Faults().LoseCommitAnswers(1)
	fmt.Println(write(client, "t", "hello"), c.Faults().Struck()) // late, once, and nobody is the wiser
	fmt.Println(read(c, "t", 1))
	// Output:
	// <nil> 3
	// [hello]
}

func ExampleBroker_Kill() {
	t, end := inTest()
	defer end()

	c := runneltest.Start(t, runneltest.WithTopic("t", 1))
	client := connect(c)
	defer client.Close()
	fmt.Println(write(client, "t", "before"))
	c.Broker(0).Kill()
	c.Broker(0).Start()
	fmt.Println(write(client, "t", "after"))
	fmt.Println(read(c, "t", 2))
	// Output:
	// <nil>
	// <nil>
	// [before after]
}
