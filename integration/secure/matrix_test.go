package secure

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// matrix is who asks about what: names that patterns begin, cross and miss.
var matrix = struct{ users, topics, groups []string }{
	users:  []string{"u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7"},
	topics: []string{"a", "ab", "abc", "abd", "b", "ba", "c"},
	groups: []string{"g", "ga", "gab", "h"},
}

// TestAccessIsDecidedAsKafkaDecides makes the same rules, at random, on Apache Kafka with its StandardAuthorizer and on Runnel, and asks
// both what each user may do with each topic, with each group and with the cluster.
func TestAccessIsDecidedAsKafkaDecides(t *testing.T) {
	cache, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	jars, err := cache.JavaClasses(t.Context(), clientsOfCompat+"java/pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	users := make(map[string]string)
	for _, user := range matrix.users {
		users[user] = password
	}
	kafka := harness.OwnKafka(t, jars, servers.KafkaOptions{Users: users, Set: map[string]string{
		"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS",
	}})
	c := openCluster(t, clusterOptions{brokers: 1})
	theirs := c.client(login{bootstrap: kafka.Bootstrap, protocol: "PLAINTEXT"})
	ours := c.client(login{bootstrap: c.at(open), protocol: "PLAINTEXT"})
	for _, user := range matrix.users {
		c.user(user, password)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rules := randomRules(rand.New(rand.NewPCG(seed, 0)), 120)
	for _, client := range []*kgo.Client{theirs, ours} {
		if _, err := kadm.NewClient(client).CreateTopics(harness.Soon(t), 1, 1, nil, matrix.topics...); err != nil {
			t.Fatal(err)
		}
		if err := createRules(harness.Soon(t), client, rules...); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "Kafka has made the topic of groups", 20*time.Second, func() bool {
		return kadm.NewClient(theirs).FindGroupCoordinators(harness.Soon(t), matrix.groups...).Error() == nil
	})
	allowed, denied := 0, 0
	for _, user := range matrix.users {
		l := login{protocol: "SASL_PLAINTEXT", mechanism: "PLAIN", user: user, password: password}
		ask := func(bootstrap string) map[string]string {
			l.bootstrap = bootstrap
			return c.answers(t, l)
		}
		var kafkas, runnels map[string]string
		// Both take a moment until rules count.
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			kafkas, runnels = ask(kafka.Login), ask(c.at(sasl))
			if maps.Equal(kafkas, runnels) || time.Now().After(deadline) {
				break
			}
		}
		for _, what := range slices.Sorted(maps.Keys(kafkas)) {
			if kafkas[what] != runnels[what] {
				t.Errorf("%s asks about %s: Kafka says %s, Runnel %s", user, what, kafkas[what], runnels[what])
			}
			if kafkas[what] == "[]" || kafkas[what][0] != '[' {
				denied++
			} else {
				allowed++
			}
		}
		for _, r := range rules {
			if t.Failed() && (r.principal == "User:"+user || r.principal == "User:*") {
				t.Logf("%v %v %v %v %q %v", r.principal, r.kind, r.operation, r.resource, r.name, r.pattern)
			}
		}
	}
	if allowed < 20 || denied < 20 {
		t.Errorf("the rules allow something in %d cases and nothing in %d: they tell little", allowed, denied)
	}
}

// randomRules are rules of all kinds on names of the matrix and their beginnings.
func randomRules(rng *rand.Rand, count int) []rule {
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	ofTopics := []kmsg.ACLOperation{
		kmsg.ACLOperationAll, kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationCreate, kmsg.ACLOperationDelete,
		kmsg.ACLOperationAlter, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationAlterConfigs,
	}
	ofGroups := []kmsg.ACLOperation{kmsg.ACLOperationAll, kmsg.ACLOperationRead, kmsg.ACLOperationDelete, kmsg.ACLOperationDescribe}
	ofCluster := []kmsg.ACLOperation{
		kmsg.ACLOperationAll, kmsg.ACLOperationCreate, kmsg.ACLOperationAlter, kmsg.ACLOperationDescribe, kmsg.ACLOperationClusterAction,
		kmsg.ACLOperationAlterConfigs, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationIdempotentWrite,
	}
	var all []rule
	for range count {
		r := rule{kind: kmsg.ACLPermissionTypeAllow, pattern: kmsg.ACLResourcePatternTypeLiteral, principal: "User:" + pick(matrix.users...)}
		if rng.IntN(10) == 0 {
			r.principal = "User:*"
		}
		if rng.IntN(4) == 0 {
			r.kind = kmsg.ACLPermissionTypeDeny
		}
		var names []string
		switch rng.IntN(8) {
		case 0:
			r.resource, r.operation, names = kmsg.ACLResourceTypeCluster, ofCluster[rng.IntN(len(ofCluster))], []string{"kafka-cluster"}
		case 1, 2:
			r.resource, r.operation, names = kmsg.ACLResourceTypeGroup, ofGroups[rng.IntN(len(ofGroups))], matrix.groups
		default:
			r.resource, r.operation, names = kmsg.ACLResourceTypeTopic, ofTopics[rng.IntN(len(ofTopics))], matrix.topics
		}
		r.name = pick(names...)
		if r.resource != kmsg.ACLResourceTypeCluster {
			switch rng.IntN(3) {
			case 0:
				r.pattern = kmsg.ACLResourcePatternTypePrefixed
			case 1:
				if rng.IntN(3) == 0 {
					r.name = "*"
				}
			}
		}
		all = append(all, r)
	}
	return all
}

// answers are what a user is told that it may do, by resource: names of operations, or an error.
func (c *cluster) answers(t *testing.T, l login) map[string]string {
	t.Helper()
	client := c.client(l)
	defer client.Close()
	told := make(map[string]string)
	note := func(what string, code int16, bits int32) {
		if code != 0 {
			told[what] = kerr.ErrorForCode(code).Error()
			return
		}
		operations := []string{}
		for op := kmsg.ACLOperationAll; op <= kmsg.ACLOperationIdempotentWrite; op++ {
			if bits&(1<<op) != 0 {
				operations = append(operations, op.String())
			}
		}
		told[what] = fmt.Sprint(operations)
	}
	ask := func(req kmsg.Request) kmsg.Response {
		t.Helper()
		resp, err := client.SeedBrokers()[0].RetriableRequest(within(t, 20*time.Second), req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.IncludeTopicAuthorizedOperations = true
	for _, topic := range matrix.topics {
		m := kmsg.NewMetadataRequestTopic()
		m.Topic = &topic
		metadata.Topics = append(metadata.Topics, m)
	}
	for _, topic := range ask(metadata).(*kmsg.MetadataResponse).Topics {
		note("topic "+*topic.Topic, topic.ErrorCode, topic.AuthorizedOperations)
	}
	groups := kmsg.NewPtrDescribeGroupsRequest()
	groups.IncludeAuthorizedOperations, groups.Groups = true, matrix.groups
	groups.Version = 5
	for _, group := range ask(groups).(*kmsg.DescribeGroupsResponse).Groups {
		if group.ErrorCode == kerr.GroupIDNotFound.Code { // v6
			group.ErrorCode = 0
		}
		note("group "+group.Group, group.ErrorCode, group.AuthorizedOperations)
	}
	cluster := kmsg.NewPtrDescribeClusterRequest()
	cluster.IncludeClusterAuthorizedOperations = true
	resp := ask(cluster).(*kmsg.DescribeClusterResponse)
	note("the cluster", resp.ErrorCode, resp.ClusterAuthorizedOperations)
	return told
}
