package secure

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/harness"
)

// made is a rule as Acls.java takes and tells it: "TOPIC:PREFIXED:orders-|ALLOW READ * User:alice".
func made(text string) map[string]string {
	pattern, entry, _ := strings.Cut(text, "|")
	on, says := strings.SplitN(pattern, ":", 3), strings.SplitN(entry, " ", 4)
	return map[string]string{
		"type": on[0], "pattern": on[1], "name": on[2], "permission": says[0], "operation": says[1], "host": says[2], "principal": says[3],
	}
}

func allMade(texts ...string) (all []map[string]string) {
	for _, text := range texts {
		all = append(all, made(text))
	}
	return all
}

type filter map[string]string

// TestRulesByJavasAdministrator: createAcls, describeAcls and deleteAcls of the Java AdminClient, with filters of every part,
// through one broker and the other; who may not is told so for each rule; and without rules they are disabled.
func TestRulesByJavasAdministrator(t *testing.T) {
	c := openCluster(t, clusterOptions{})
	c.user("root", password)
	c.user("bob", password)
	java := javaClient{speakerOf(t, javaSpeaker)}
	by := func(user string, broker int) login {
		return login{bootstrap: c.brokers[broker].Listeners[sasl], protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-512", user: user, password: password}
	}
	ask := func(l login, r request) map[string][]string {
		t.Helper()
		r["op"], r["config"] = "acls", java.config(l, nil)
		a, err := java.ask(within(t, clientTimeout), r)
		if err != nil {
			t.Fatal(err)
		}
		return a.Lists
	}
	root := by("root", 0)
	rules := []string{
		"CLUSTER:LITERAL:kafka-cluster|ALLOW DESCRIBE * User:bob",
		"GROUP:PREFIXED:billing-|ALLOW READ * User:bob",
		"TOPIC:LITERAL:*|ALLOW DESCRIBE * User:*",
		"TOPIC:LITERAL:orders-1|ALLOW READ * User:bob",
		"TOPIC:LITERAL:orders-1|DENY WRITE 10.0.0.1 User:bob",
		"TOPIC:PREFIXED:orders-|ALLOW ALL * User:CN=carol,O=Runnel",
		"TRANSACTIONAL_ID:PREFIXED:mover|ALLOW WRITE ::1 User:bob",
		"USER:LITERAL:bob|ALLOW DESCRIBE_TOKENS * User:root",
	}
	const wrongCluster, noName = "CLUSTER:LITERAL:other|ALLOW ALTER * User:bob", "TOPIC:LITERAL:|ALLOW READ * User:bob"
	got := ask(root, request{"create": allMade(append(rules, wrongCluster, noName)...)})["create"]
	want := append(slices.Repeat([]string{"made"}, len(rules)), "InvalidRequestException", "InvalidRequestException")
	if !slices.Equal(got, want) {
		t.Errorf("createAcls: %q, want %q", got, want)
	}
	if got := ask(root, request{"create": allMade(rules...)})["create"]; !slices.Equal(got, want[:len(rules)]) {
		t.Errorf("createAcls of what is there: %q", got)
	}
	eventually(t, "the other broker knows them", setUp, func() bool {
		return slices.Equal(ask(by("root", 1), request{"describe": filter{}})["describe"], rules)
	})

	// pick are the rules at indexes.
	pick := func(at ...int) (some []string) {
		for _, i := range at {
			some = append(some, rules[i])
		}
		return some
	}
	for name, tc := range map[string]struct {
		filter filter
		want   []string
	}{
		"all":                          {filter{}, rules},
		"a type":                       {filter{"type": "TOPIC"}, pick(2, 3, 4, 5)},
		"what matches a name":          {filter{"type": "TOPIC", "name": "orders-1", "pattern": "MATCH"}, pick(2, 3, 4, 5)},
		"what matches another":         {filter{"type": "TOPIC", "name": "other", "pattern": "MATCH"}, pick(2)},
		"a name, of any pattern":       {filter{"name": "orders-"}, pick(5)},
		"a name, literally":            {filter{"type": "TOPIC", "name": "orders-1", "pattern": "LITERAL"}, pick(3, 4)},
		"the literal star":             {filter{"name": "*", "pattern": "LITERAL"}, pick(2)},
		"prefixes":                     {filter{"pattern": "PREFIXED"}, pick(1, 5, 6)},
		"a principal":                  {filter{"principal": "User:bob"}, pick(0, 1, 3, 4, 6)},
		"a principal with commas":      {filter{"principal": "User:CN=carol,O=Runnel"}, pick(5)},
		"everybody, who is nobody":     {filter{"principal": "User:*"}, pick(2)},
		"a host":                       {filter{"host": "10.0.0.1"}, pick(4)},
		"an operation":                 {filter{"operation": "DESCRIBE"}, pick(0, 2)},
		"the operation all":            {filter{"operation": "ALL"}, pick(5)},
		"what denies":                  {filter{"permission": "DENY"}, pick(4)},
		"several parts":                {filter{"type": "TOPIC", "principal": "User:bob", "permission": "ALLOW"}, pick(3)},
		"nothing":                      {filter{"principal": "User:nobody"}, nil},
		"nothing of a type with rules": {filter{"type": "GROUP", "name": "billing-1", "pattern": "LITERAL"}, nil},
	} {
		if got := ask(root, request{"describe": tc.filter})["describe"]; !slices.Equal(got, tc.want) {
			t.Errorf("describeAcls of %s: %q, want %q", name, got, tc.want)
		}
	}

	// bob may see the cluster, and so its rules; he may change none, and is told so for each.
	denied := []string{"ClusterAuthorizationException"}
	bobs := ask(by("bob", 1), request{
		"create": allMade("TOPIC:LITERAL:*|ALLOW ALL * User:bob"), "describe": filter{"type": "GROUP"}, "delete": []filter{{"type": "TOPIC"}},
	})
	if !slices.Equal(bobs["create"], denied) || !slices.Equal(bobs["delete 0"], denied) || !slices.Equal(bobs["describe"], pick(1)) {
		t.Errorf("bob's calls: %q", bobs)
	}

	deleted := ask(root, request{"delete": []filter{{"principal": "User:nobody"}, {"type": "TOPIC", "name": "orders-1", "pattern": "LITERAL"}, {"permission": "DENY"}, {"type": "CLUSTER"}}})
	for i, want := range [][]string{nil, pick(3, 4), pick(4), pick(0)} {
		if got := deleted["delete "+string(rune('0'+i))]; !slices.Equal(got, want) {
			t.Errorf("deleteAcls by filter %d: %q, want %q", i, got, want)
		}
	}
	eventually(t, "the other broker has let them go", setUp, func() bool {
		return slices.Equal(ask(by("root", 1), request{"describe": filter{}})["describe"], pick(1, 2, 5, 6, 7))
	})
	eventually(t, "bob sees no rules any more", setUp, func() bool {
		return slices.Equal(ask(by("bob", 1), request{"describe": filter{}})["describe"], denied)
	})

	open := login{bootstrap: harness.Dev(t, harness.DevOptions{}).Addr, protocol: "PLAINTEXT"}
	disabled := []string{"SecurityDisabledException"}
	lists := ask(open, request{"create": allMade(rules[0]), "describe": filter{}, "delete": []filter{{}}})
	if !slices.Equal(lists["create"], disabled) || !slices.Equal(lists["describe"], disabled) || !slices.Equal(lists["delete 0"], disabled) {
		t.Errorf("without rules: %q", lists)
	}
}

// TestJavaIsToldWhatItMayDo: describeTopics, describeCluster and describeConsumerGroups with authorized operations, for who may
// do everything, who may do some things, and who may not even ask.
func TestJavaIsToldWhatItMayDo(t *testing.T) {
	c := openCluster(t, clusterOptions{brokers: 1})
	java := javaClient{speakerOf(t, javaSpeaker)}
	for _, user := range []string{"root", "bob", "mallory"} {
		c.user(user, password)
	}
	const topic, group = "orders", "billing"
	c.topic(topic, 1)
	literal := kmsg.ACLResourcePatternTypeLiteral
	c.rules(
		allow(kmsg.ACLResourceTypeTopic, topic, literal, "User:bob", kmsg.ACLOperationRead),
		allow(kmsg.ACLResourceTypeTopic, topic, literal, "User:bob", kmsg.ACLOperationAlterConfigs),
		allow(kmsg.ACLResourceTypeGroup, group, literal, "User:bob", kmsg.ACLOperationRead),
		allow(kmsg.ACLResourceTypeCluster, "kafka-cluster", literal, "User:bob", kmsg.ACLOperationAlter), // which implies Describe
		allow(kmsg.ACLResourceTypeCluster, "kafka-cluster", literal, "User:mallory", kmsg.ACLOperationCreate),
	)
	by := func(user string) login {
		return login{bootstrap: c.at(sasl), protocol: "SASL_PLAINTEXT", mechanism: "SCRAM-SHA-256", user: user, password: password}
	}
	full := login{bootstrap: c.at(open), protocol: "PLAINTEXT"}
	if err := java.produce(within(t, clientTimeout), full, topic, 10); err != nil {
		t.Fatal(err)
	}
	if err := java.consume(within(t, clientTimeout), by("bob"), topic, group, 10); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]map[string][]string{
		"root": {
			"topic":   {"ALTER", "ALTER_CONFIGS", "CREATE", "DELETE", "DESCRIBE", "DESCRIBE_CONFIGS", "READ", "WRITE"},
			"group":   {"ALTER_CONFIGS", "DELETE", "DESCRIBE", "DESCRIBE_CONFIGS", "READ"},
			"cluster": {"ALTER", "ALTER_CONFIGS", "CLUSTER_ACTION", "CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "IDEMPOTENT_WRITE"},
		},
		"bob": {
			"topic": {"ALTER_CONFIGS", "DESCRIBE", "DESCRIBE_CONFIGS", "READ"}, "group": {"DESCRIBE", "READ"}, "cluster": {"ALTER", "DESCRIBE"},
		},
		// Who may not describe the cluster is not told what else may be done with it, as in Kafka.
		"mallory": {"topic": {"TopicAuthorizationException"}, "group": {"GroupAuthorizationException"}, "cluster": nil},
	} {
		a, err := java.ask(within(t, clientTimeout), request{"op": "acls", "topic": topic, "group": group, "cluster": true, "config": java.config(by(user), nil)})
		if err != nil {
			t.Fatal(err)
		}
		for what, operations := range want {
			if !slices.Equal(a.Lists[what], operations) {
				t.Errorf("%s, %s: %q, want %q", user, what, a.Lists[what], operations)
			}
		}
	}
}
