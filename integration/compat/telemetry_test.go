package compat

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
)

// subscribeToProducers has every producer that is called teller push its metrics each second, as an operator would.
func subscribeToProducers(o tools) {
	o.t.Helper()
	out := o.must(metricsCommand, "--alter", "--name", "tellers", "--metrics", "org.apache.kafka.producer.",
		"--interval", "1000", "--match", "client_id=teller,client_software_name=apache-kafka-java")
	contains(o.t, out, "tellers")
	eventually(o.t, "the subscription is shown", func() bool {
		out := o.must(metricsCommand, "--describe", "--name", "tellers")
		return strings.Contains(out, "interval.ms=1000") && strings.Contains(out, "client_id=teller,client_software_name=apache-kafka-java")
	})
	eventually(o.t, "it is listed", func() bool { return strings.Contains(o.must(metricsCommand, "--list"), "tellers") }) // by any broker
	for _, refused := range [][]string{{"--interval", "99"}, {"--match", "client_id=["}, {"--match", "client_name=x"}} {
		contains(o.t, o.fails(metricsCommand, append([]string{"--alter", "--name", "wrong"}, refused...)...), "Invalid")
	}
}

// startTeller has a Java producer send for as long as the test goes on, pushing its metrics as its defaults have it.
func startTeller(t *testing.T, c Clients, bootstrap string) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() {
		_, err := c.java.run(ctx, nil, performance, "--topic", "told", "--num-records", "1000000", "--record-size", "100", "--throughput", "50",
			"--bootstrap-server", bootstrap, "--command-property", "client.id=teller", "reconnect.backoff.max.ms=200")
		done <- err
	}()
	t.Cleanup(func() {
		ended := len(done) > 0
		cancel()
		if err := <-done; ended {
			t.Errorf("the producer ended by itself: %v", err)
		}
	})
}

// pushed are the series of a broker that the teller pushed.
var pushed = regexp.MustCompile(`(?m)^kafka_client_producer_\w+\{.*client_id="teller".*client_instance_id="([^"]+)".*client_software_name="apache-kafka-java".*$`)

// TestJavaProducersPushMetrics: what kafka-client-metrics.sh asks for, an unmodified producer pushes.
func TestJavaProducersPushMetrics(t *testing.T) {
	t.Parallel()
	c := clients(t)
	broker := harness.Dev(t, harness.DevOptions{})
	createTopic(t, broker.Addr, "told", 1)
	o := tools{t, c.java, broker.Addr}
	subscribeToProducers(o)
	startTeller(t, c, broker.Addr)
	eventually(t, "the producer's metrics are among the broker's", func() bool { return pushed.MatchString(broker.Metrics()) })
	if text := broker.Metrics(); !strings.Contains(text, "kafka_client_producer_connection_creation_total{") || strings.Contains(text, "kafka_client_consumer_") {
		t.Errorf("other metrics than were asked for: %s", strings.Join(pushed.FindAllString(text, -1), "\n"))
	}
	o.must(metricsCommand, "--delete", "--name", "tellers")
	eventually(t, "nobody is asked", func() bool { return !strings.Contains(o.must(metricsCommand, "--list"), "tellers") })
}

// TestJavaProducersPushMetricsToAnotherBroker: a producer that loses the broker which told it what to push goes on with
// another one, which takes its metrics for what they are.
func TestJavaProducersPushMetricsToAnotherBroker(t *testing.T) {
	t.Parallel()
	c := clients(t)
	brokers := trio(t)
	createTopic(t, brokers[0].Addr, "told", 6)
	subscribeToProducers(tools{t, c.java, brokers[0].Addr})
	startTeller(t, c, brokers[0].Addr+","+brokers[1].Addr+","+brokers[2].Addr)
	var first *harness.Broker
	var instance string
	find := func(among []*harness.Broker) bool {
		for _, b := range among {
			if series := pushed.FindStringSubmatch(b.Metrics()); series != nil && (instance == "" || instance == series[1]) {
				first, instance = b, series[1]
				return true
			}
		}
		return false
	}
	eventually(t, "a broker has the producer's metrics", func() bool { return find(brokers) })
	gone := first
	var others []*harness.Broker
	for _, b := range brokers {
		if b != gone {
			others = append(others, b)
		}
	}
	gone.Stop()
	eventually(t, fmt.Sprintf("another broker has the metrics of instance %s", instance), func() bool { return find(others) })
	for _, b := range others {
		if text := b.Metrics(); strings.Contains(text, `runnel_telemetry_pushes_total{outcome="unknown_subscription"}`) {
			t.Errorf("%s did not know the subscription that another broker told of", b.Addr)
		}
	}
}
