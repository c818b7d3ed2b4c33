package runnel_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/testcontainers/runnel"
)

// image is that of the tests. A container engine has to have it already: DOCKER_HOST says which.
var image = os.Getenv("RUNNEL_TEST_IMAGE")

// missing tells what the tests that run containers lack, "" if nothing.
func missing() string {
	for _, name := range []string{"RUNNEL_TEST_IMAGE", "DOCKER_HOST"} {
		if os.Getenv(name) == "" {
			return name + " is not set: integration/containers/module starts an engine, makes the image and sets both"
		}
	}
	return ""
}

func TestMain(m *testing.M) {
	flag.Parse()
	if why := missing(); why != "" && os.Getenv("CI") != "true" {
		fmt.Println("no examples: " + why)
		if err := flag.Set("test.skip", "^Example"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// needEngine skips a test that cannot run a container; in CI it fails.
func needEngine(t *testing.T) {
	t.Helper()
	switch why := missing(); {
	case why == "":
	case os.Getenv("CI") == "true":
		t.Fatal(why)
	default:
		t.Skip(why)
	}
}

// deadline bounds what a test waits for.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// connect makes a client on the host. Topics are made when it asks for them.
func connect(ctx context.Context, c *runnel.RunnelContainer, opts ...kgo.Opt) (*kgo.Client, error) {
	brokers, err := c.Brokers(ctx)
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...), kgo.AllowAutoTopicCreation())...)
}

// roundTrip writes a record and reads it.
func roundTrip(ctx context.Context, c *runnel.RunnelContainer, topic, value string, opts ...kgo.Opt) (string, error) {
	cl, err := connect(ctx, c, append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
		return "", err
	}
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		for _, r := range fetches.Records() {
			return string(r.Value), nil
		}
	}
}
