package secure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

const aclCommand = "org.apache.kafka.tools.AclCommand"

// denials are the authorization errors by what they are about.
const (
	topicDenied       = "TOPIC_AUTHORIZATION_FAILED"
	groupDenied       = "GROUP_AUTHORIZATION_FAILED"
	transactionDenied = "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
	clusterDenied     = "CLUSTER_AUTHORIZATION_FAILED"
)

// TestRulesOfKafkaAcls: kafka-acls.sh makes, lists and removes rules of each kind through one broker; real clients feel
// each, and all brokers obey, as a rule within a second.
func TestRulesOfKafkaAcls(t *testing.T) {
	c := openCluster(t, clusterOptions{})
	c.user("bob", password)
	for _, topic := range []string{"orders-1", "orders-secret", "other"} {
		c.topic(topic, 2)
	}
	java := javaClient{speakerOf(t, javaSpeaker)}
	acls := func(args ...string) string {
		t.Helper()
		return c.tool(java.speaker, aclCommand, append([]string{"--bootstrap-server", c.brokers[0].Listeners[open]}, args...)...)
	}
	bob := login{bootstrap: c.at(sasl), protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-256", user: "bob", password: password}
	prompt := prompt{t: t}
	// soon waits until all brokers let bob write to a topic, or no longer: the tool asks the controller, which is any of them.
	soon := func(topic string, may bool) {
		t.Helper()
		prompt.await(fmt.Sprintf("all brokers let bob write to %s: %v", topic, may), func() bool {
			return !slices.ContainsFunc(c.brokers, func(b *harness.Broker) bool {
				at := bob
				at.bootstrap = b.Listeners[sasl]
				return c.mayWrite(at, topic) != may
			})
		})
	}
	each := func(what string, want string, do func(name string, client client) error) {
		t.Helper()
		for name, client := range clients(t) {
			err := do(name, client)
			if want == "" && err != nil || want != "" && !client.denied(err, want) {
				t.Errorf("%s by %s: %v; want %q", what, name, err, want)
			}
		}
	}
	produce := func(topic, want string) {
		t.Helper()
		each("produce to "+topic, want, func(_ string, client client) error { return client.produce(within(t, clientTimeout), bob, topic, 50) })
	}
	consume := func(topic, want string) {
		t.Helper()
		each("consume from "+topic, want, func(name string, client client) error {
			return client.consume(within(t, clientTimeout), bob, topic, "billing-"+name, 50)
		})
	}
	transact := func(want string) {
		t.Helper()
		_, err := java.ask(within(t, clientTimeout), request{"op": "transact", "topic": "orders-1", "count": 10,
			"config": java.config(bob, map[string]string{"transactional.id": "mover-1", "max.block.ms": "20000"})})
		if want == "" && err != nil || want != "" && !java.denied(err, want) {
			t.Errorf("a transaction: %v; want %q", err, want)
		}
	}

	produce("orders-1", topicDenied)
	acls("--add", "--allow-principal", "User:bob", "--operation", "Write", "--topic", "orders-", "--resource-pattern-type", "prefixed")
	soon("orders-1", true)
	produce("orders-1", "")
	produce("other", topicDenied)

	consume("orders-1", groupDenied)
	acls("--add", "--allow-principal", "User:bob", "--operation", "Read", "--group", "billing-", "--resource-pattern-type", "prefixed")
	c.agree()
	consume("orders-1", topicDenied)
	acls("--add", "--allow-principal", "User:*", "--operation", "Read", "--topic", "*")
	c.agree()
	consume("orders-1", "")

	transact(transactionDenied)
	acls("--add", "--allow-principal", "User:bob", "--operation", "All", "--transactional-id", "mover-1")
	c.agree()
	transact("")

	acls("--add", "--deny-principal", "User:bob", "--operation", "Write", "--topic", "orders-secret")
	soon("orders-secret", false)
	produce("orders-secret", topicDenied)
	produce("orders-1", "")

	list := acls("--list", "--topic", "orders-secret", "--resource-pattern-type", "match")
	for _, want := range []string{
		"(principal=User:bob, host=*, operation=WRITE, permissionType=DENY)", "name=orders-secret, patternType=LITERAL",
		"(principal=User:bob, host=*, operation=WRITE, permissionType=ALLOW)", "name=orders-, patternType=PREFIXED",
		"(principal=User:*, host=*, operation=READ, permissionType=ALLOW)", "name=*, patternType=LITERAL",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("kafka-acls --list lacks %q:\n%s", want, list)
		}
	}
	if list := acls("--list", "--principal", "User:nobody"); strings.Contains(list, "bob") {
		t.Errorf("kafka-acls --list --principal User:nobody: %s", list)
	}

	acls("--remove", "--force", "--deny-principal", "User:bob", "--operation", "Write", "--topic", "orders-secret")
	soon("orders-secret", true)
	acls("--remove", "--force", "--topic", "orders-", "--resource-pattern-type", "prefixed")
	soon("orders-1", false)
	prompt.check()
	produce("orders-1", clusterDenied) // who may write nowhere gets no id as a producer

	// Who may not may not change what he may either.
	properties := c.file("bob.properties", java.config(bob, nil))
	a, err := java.ask(within(t, clientTimeout), request{"op": "tool", "class": aclCommand, "args": []string{
		"--bootstrap-server", c.brokers[1].Listeners[sasl], "--command-config", properties, "--add", "--allow-principal", "User:bob", "--operation", "All", "--topic", "*",
	}})
	if said := fmt.Sprint(a.Output, err); a.Code == 0 && err == nil || !strings.Contains(said, "ClusterAuthorizationException") {
		t.Errorf("bob made a rule: exit code %d: %s", a.Code, said)
	}
}

// mayWrite asks the seed of a login whether records may be produced to a topic, without producing any.
func (c *cluster) mayWrite(l login, topic string) bool {
	c.t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 1000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	ids, err := c.admin.ListTopics(harness.Soon(c.t), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	t.TopicID = ids[topic].ID
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = []byte("no batch")
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	ctx, cancel := context.WithTimeout(c.t.Context(), setUp)
	defer cancel()
	client := c.client(l)
	defer client.Close()
	resp, err := client.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode != kerr.TopicAuthorizationFailed.Code
}
