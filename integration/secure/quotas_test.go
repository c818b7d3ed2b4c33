package secure

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestQuotasHoldRealClientsBack: producers and consumers that would take more get what their quota says, to within 10 % over
// half a minute, by waiting as they are told: no connection ends, and their own metrics show it.
func TestQuotasHoldRealClientsBack(t *testing.T) {
	t.Parallel()
	const (
		limit = 1 << 20 // bytes a second of each
		size  = 1000
		// What the first window allows, ten seconds' worth, may be spent at once, as in Kafka, and whatever was under way by then comes
		// on top of it. It is made up for before anything is counted.
		warm, steady = 20 * time.Second, 30 * time.Second
	)
	c := openCluster(t, clusterOptions{brokers: 1})
	java, rd := javaClient{speakerOf(t, javaSpeaker)}, librdkafka{speakerOf(t, librdkafkaSpeaker)}
	users := []string{"java-producer", "java-consumer", "librdkafka-producer", "librdkafka-consumer"}
	for _, user := range users {
		c.user(user, password)
		c.letAll(user, "User:"+user)
		c.topic(user, 1)
		c.tool(java.speaker, "kafka.admin.ConfigCommand", "--bootstrap-server", c.at(open), "--alter", "--entity-type", "users", "--entity-name", user,
			"--add-config", fmt.Sprintf("producer_byte_rate=%d,consumer_byte_rate=%d", limit, limit))
	}
	full := c.client(login{bootstrap: c.at(open), protocol: "PLAINTEXT"}, kgo.ProducerBatchCompression(kgo.NoCompression()))
	var first kgo.FirstErrPromise
	ctx := harness.Soon(t)
	for i := range 2 * int((warm+steady)/time.Second+15) * limit / size {
		full.Produce(ctx, &kgo.Record{Topic: []string{"java-consumer", "librdkafka-consumer"}[i%2], Value: make([]byte, size)}, first.Promise())
	}
	if err := first.Err(); err != nil {
		t.Fatal(err)
	}

	l := func(user string) login {
		return login{bootstrap: c.at(sasl), protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-256", user: user, password: password}
	}
	run := func(user string) (answer, error) {
		r := request{"op": "produce", "topic": user, "count": 1 << 30, "size": size, "millis": millis(warm + steady), "skip": millis(warm), "metrics": true}
		ctx := within(t, 2*time.Minute)
		switch user {
		case "java-producer":
			r["config"] = java.config(l(user), map[string]string{"delivery.timeout.ms": "60000", "request.timeout.ms": "30000", "buffer.memory": "2097152"})
			return java.ask(ctx, r)
		case "librdkafka-producer":
			r["config"] = rd.config(l(user), map[string]string{"queue.buffering.max.kbytes": "2048"})
			return rd.ask(ctx, r)
		case "java-consumer":
			r["op"], r["config"] = "consume", java.config(l(user), map[string]string{"group.id": user, "auto.offset.reset": "earliest", "request.timeout.ms": "30000", "fetch.max.bytes": "262144", "max.partition.fetch.bytes": "262144"})
			return java.ask(ctx, r)
		default:
			r["op"], r["config"] = "consume", rd.config(l(user), map[string]string{"group.id": user, "auto.offset.reset": "earliest", "fetch.max.bytes": "1000000", "max.partition.fetch.bytes": "262144", "queued.max.messages.kbytes": "1024"})
			return rd.ask(ctx, r)
		}
	}
	var load sync.WaitGroup
	var slow atomic.Int32
	for _, user := range users {
		load.Go(func() {
			a, err := run(user)
			if err != nil {
				t.Errorf("%s: %v", user, err)
				return
			}
			rate := float64(a.Steady*size) / steady.Seconds()
			t.Logf("%s: %.3f of the quota, metrics %v", user, rate/limit, a.Metrics)
			throttled := max(a.Metrics["throttle"], a.Metrics["produce-throttle-time-max"], a.Metrics["fetch-throttle-time-max"])
			switch {
			case rate < 0.9*limit && throttled == 0: // on a machine that is busy with something else, and not held back by anybody
				slow.Add(1)
			case math.Abs(rate/limit-1) > 0.10:
				t.Errorf("%s takes %.0f bytes a second, its quota is %d", user, rate, limit)
			case throttled == 0:
				t.Errorf("%s does not know that it is throttled: %v", user, a.Metrics)
			}
			if n := a.Metrics["connection-close-total"]; n > 1 { // the first, to the seed, may go when the broker is known
				t.Errorf("%v connections of %s ended", n, user)
			}
		})
	}
	load.Wait()
	if n := slow.Load(); n > 1 {
		t.Errorf("%d clients do not get to their quotas by themselves", n)
	}
}
