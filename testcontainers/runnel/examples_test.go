package runnel_test

import (
	"context"
	"fmt"
	"log"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/runnel-io/runnel/testcontainers/runnel"
)

// end ends a container.
func end(c testcontainers.Container) {
	if err := testcontainers.TerminateContainer(c); err != nil {
		log.Printf("end container: %v", err)
	}
}

func ExampleRun() {
	ctx := context.Background()
	c, err := runnel.Run(ctx, image) // such as runnel.DefaultImage
	defer end(c)
	if err != nil {
		log.Print(err)
		return
	}
	brokers, err := c.Brokers(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.AllowAutoTopicCreation())
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close()
	fmt.Println(client.ProduceSync(ctx, &kgo.Record{Topic: "greetings", Value: []byte("hello")}).FirstErr())
	// Output: <nil>
}

func ExampleWithSASL() {
	ctx := context.Background()
	c, err := runnel.Run(ctx, image, runnel.WithSASL("admin", "secret"), runnel.WithACLs())
	defer end(c)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(roundTrip(ctx, c, "greetings", "hello", kgo.SASL(scram.Auth{User: "admin", Pass: "secret"}.AsSha256Mechanism())))
	// Output: hello <nil>
}

func ExampleRunnelContainer_BrokersInNetwork() {
	ctx := context.Background()
	nw, err := network.New(ctx)
	if err != nil {
		log.Print(err)
		return
	}
	defer func() { _ = nw.Remove(ctx) }()
	c, err := runnel.Run(ctx, image, network.WithNetwork([]string{"broker"}, nw))
	defer end(c)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(c.BrokersInNetwork(ctx)) // for containers in nw; Brokers is for the host
	// Output: [broker:9093] <nil>
}
