package secure

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestSessionsAreRenewed: sessions of two seconds, and tokens of eight, end again and again while clients produce and
// consume, and none of them notices: Java's re-authenticate, others may connect anew. Clients renew tokens when a fifth of their
// time is left; a token with less than a second left would make a session too short to be renewed, as in Kafka.
func TestSessionsAreRenewed(t *testing.T) {
	c := openCluster(t, clusterOptions{set: map[string]string{"connections.max.reauth.ms": "2000"}})
	c.user(alice, password)
	c.letAll("of-alice", "User:"+alice)
	tokens.give(t, alice, func() string {
		return c.provider.Token(alice, audience, map[string]any{"exp": time.Now().Add(8 * time.Second).Unix()})
	})
	java, rd := speakerOf(t, javaSpeaker), speakerOf(t, librdkafkaSpeaker)
	const count, rate = 2200, 200
	ctx := within(t, 2*clientTimeout)
	var load sync.WaitGroup
	for _, mechanism := range []string{"SCRAM-SHA-256", "OAUTHBEARER"} {
		l := login{bootstrap: c.at(encrypted), protocol: "SASL_SSL", mechanism: mechanism, user: alice, password: password, authority: c.trusted.Certificate}
		for name, ask := range map[string]func(op string, more map[string]string) (answer, error){
			"java": func(op string, more map[string]string) (answer, error) {
				return java.ask(ctx, request{"op": op, "topic": "of-alice-java-" + mechanism, "count": count, "rate": rate, "millis": millis(clientTimeout), "config": javaClient{}.config(l, more)})
			},
			"librdkafka": func(op string, more map[string]string) (answer, error) {
				return rd.ask(ctx, request{"op": op, "topic": "of-alice-librdkafka-" + mechanism, "count": count, "rate": rate, "millis": millis(clientTimeout), "config": librdkafka{}.config(l, more)})
			},
		} {
			c.topic("of-alice-"+name+"-"+mechanism, 2)
			renewed := func(what string, a answer, err error) {
				if err != nil || a.Count < count {
					t.Errorf("%s %s %s: %d records: %v", name, mechanism, what, a.Count, err)
				}
				if n := a.Metrics["successful-reauthentication-total"]; name == "java" && n < 2 {
					t.Errorf("%s %s %s authenticated again %v times in ten seconds: %v", name, mechanism, what, n, a.Metrics)
				}
			}
			load.Go(func() {
				a, err := ask("produce", nil)
				renewed("produce", a, err)
			})
			load.Go(func() {
				a, err := ask("consume", map[string]string{"group.id": "readers-" + name + mechanism, "auto.offset.reset": "earliest"})
				renewed("consume", a, err)
			})
		}
		topic := "of-alice-franz-" + mechanism
		c.topic(topic, 2)
		producer, consumer := c.client(l, kgo.DefaultProduceTopic(topic)), c.client(l, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		load.Go(func() {
			tick := time.NewTicker(time.Second / rate)
			defer tick.Stop()
			var first kgo.FirstErrPromise
			for range count {
				<-tick.C
				producer.Produce(ctx, &kgo.Record{Value: []byte("renewed")}, first.Promise())
			}
			if err := first.Err(); err != nil {
				t.Errorf("franz-go %s produce: %v", mechanism, err)
			}
		})
		load.Go(func() {
			for seen := 0; seen < count; {
				fetches := consumer.PollFetches(ctx)
				if err := fetches.Err(); err != nil {
					t.Errorf("franz-go %s consume: %v", mechanism, err)
					return
				}
				seen += fetches.NumRecords()
			}
		})
	}
	load.Wait()
}

// TestChangedPasswordsCountAtOnce: what kafka-configs.sh changes through one broker counts for logins at all of them, as a rule within a second.
func TestChangedPasswordsCountAtOnce(t *testing.T) {
	c := openCluster(t, clusterOptions{})
	java := speakerOf(t, javaSpeaker)
	configs := func(args ...string) {
		t.Helper()
		c.tool(java, "kafka.admin.ConfigCommand", append([]string{"--bootstrap-server", c.brokers[0].Listeners[open], "--alter", "--entity-type", "users", "--entity-name", alice}, args...)...)
	}
	at := func(b *harness.Broker, password string) error {
		return logsIn(t, login{bootstrap: b.Listeners[sasl], protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-512", user: alice, password: password})
	}
	prompt := prompt{t: t}
	soon := func(what, password string, in bool) {
		t.Helper()
		prompt.await(what, func() bool {
			return !slices.ContainsFunc(c.brokers, func(b *harness.Broker) bool { // the tool asks the controller, which is any of them
				err := at(b, password)
				if err != nil && !(franzGo{}).refused(err) {
					t.Fatalf("%s: %v", what, err)
				}
				return (err == nil) != in
			})
		})
	}
	configs("--add-config", "SCRAM-SHA-512=[iterations=4096,password=first]")
	soon("the new user is let in", "first", true)
	configs("--add-config", "SCRAM-SHA-512=[iterations=8192,password=second]")
	soon("the new password counts", "second", true)
	soon("the old password does not", "first", false)
	out := c.tool(java, "kafka.admin.ConfigCommand", "--bootstrap-server", c.brokers[1].Listeners[open], "--describe", "--entity-type", "users", "--entity-name", alice)
	if !strings.Contains(out, "SCRAM-SHA-512=iterations=8192") || strings.Contains(out, "second") {
		t.Errorf("kafka-configs --describe: %s", out)
	}
	configs("--delete-config", "SCRAM-SHA-512")
	soon("the user is gone", "second", false)
	prompt.check()
}

// tool runs a command line tool of Kafka's that is to succeed.
func (c *cluster) tool(java *speaker, class string, args ...string) string {
	c.t.Helper()
	a, err := java.ask(within(c.t, clientTimeout), request{"op": "tool", "class": class, "args": args})
	if err != nil || a.Code != 0 {
		c.t.Fatalf("%s %q: exit code %d, %v\n%s", class, args, a.Code, err, a.Output)
	}
	return a.Output
}
