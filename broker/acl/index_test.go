package acl

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func rules(t testing.TB, lines ...string) []Rule {
	t.Helper()
	var rules []Rule
	for _, line := range lines {
		r, err := ParseRule(line)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, r)
	}
	return rules
}

func TestDecisions(t *testing.T) {
	alice := Client{"User:alice", "10.0.0.1"}
	tests := []struct {
		name   string
		rules  []string
		policy Policy
		who    Client
		op     Operation
		on     Resource
		want   bool
		reason Reason
	}{
		{"no rules", nil, Policy{}, alice, Read, Resource{Topic, "t"}, false, NoRuleIsOn},
		{"no rules, everybody", nil, Policy{Everybody: true}, alice, Read, Resource{Topic, "t"}, true, NoRuleIsOn},
		{"a rule of another, everybody", []string{"Topic:LITERAL:t ALLOW Write * User:bob"}, Policy{Everybody: true}, alice, Read, Resource{Topic, "t"}, false, NoRuleSays},
		{"a rule on another name, everybody", []string{"Topic:LITERAL:t ALLOW Write * User:bob"}, Policy{Everybody: true}, alice, Read, Resource{Topic, "t2"}, true, NoRuleIsOn},
		{"a rule on another type, everybody", []string{"Group:LITERAL:t ALLOW Read * User:bob"}, Policy{Everybody: true}, alice, Read, Resource{Topic, "t"}, true, NoRuleIsOn},
		{"a rule on all names, everybody", []string{"Topic:LITERAL:* ALLOW Write * User:bob"}, Policy{Everybody: true}, alice, Read, Resource{Topic, "t"}, false, NoRuleSays},
		{"a rule on a prefix, everybody", []string{"Topic:PREFIXED:t ALLOW Write * User:bob"}, Policy{Everybody: true}, alice, Read, Resource{Topic, "topic"}, false, NoRuleSays},
		{"super user over deny", []string{"Topic:LITERAL:* DENY All * User:*"}, Policy{SuperUsers: []string{"User:alice"}}, alice, Read, Resource{Topic, "t"}, true, SuperUser},
		{"literal", []string{"Topic:LITERAL:t ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, true, RuleAllows},
		{"literal is no prefix", []string{"Topic:LITERAL:t ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "t2"}, false, NoRuleIsOn},
		{"prefix", []string{"Topic:PREFIXED:t ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "topic"}, true, RuleAllows},
		{"prefix of all of the name", []string{"Topic:PREFIXED:t ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, true, RuleAllows},
		{"prefix that is longer", []string{"Topic:PREFIXED:tt ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, false, NoRuleIsOn},
		{"prefix * is not every name", []string{"Topic:PREFIXED:* ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, false, NoRuleIsOn},
		{"shorter prefix beside a longer one that does not fit", []string{"Topic:PREFIXED:a ALLOW Read * User:alice", "Topic:PREFIXED:ab ALLOW Write * User:alice"}, Policy{}, alice, Read, Resource{Topic, "ac"}, true, RuleAllows},
		{"deny on a prefix over allow on the name", []string{"Topic:PREFIXED:a DENY Read * User:alice", "Topic:LITERAL:ab ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "ab"}, false, RuleDenies},
		{"deny on * over allow on the name", []string{"Topic:LITERAL:* DENY Read * User:alice", "Topic:LITERAL:ab ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "ab"}, false, RuleDenies},
		{"deny to everybody over allow", []string{"Topic:LITERAL:t DENY Read * User:*", "Topic:LITERAL:t ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, false, RuleDenies},
		{"deny of another operation", []string{"Topic:LITERAL:t DENY Write * User:alice", "Topic:LITERAL:t ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, true, RuleAllows},
		{"allow to everybody", []string{"Topic:LITERAL:t ALLOW Read * User:*"}, Policy{}, alice, Read, Resource{Topic, "t"}, true, RuleAllows},
		{"everybody is also who is of another type", []string{"Topic:LITERAL:t ALLOW Read * User:*"}, Policy{}, Client{"Service:x", "h"}, Read, Resource{Topic, "t"}, true, RuleAllows},
		{"host", []string{"Topic:LITERAL:t ALLOW Read 10.0.0.1 User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, true, RuleAllows},
		{"another host", []string{"Topic:LITERAL:t ALLOW Read 10.0.0.2 User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, false, NoRuleSays},
		{"everybody from a host", []string{"Topic:LITERAL:t DENY Read 10.0.0.1 User:*", "Topic:LITERAL:t ALLOW Read * User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, false, RuleDenies},
		{"address as Java writes it", []string{"Topic:LITERAL:t ALLOW Read 0:0:0:0:0:0:0:1 User:alice"}, Policy{}, Client{"User:alice", "::1"}, Read, Resource{Topic, "t"}, true, RuleAllows},
		{"all operations", []string{"Topic:LITERAL:t ALLOW All * User:alice"}, Policy{}, alice, AlterConfigs, Resource{Topic, "t"}, true, RuleAllows},
		{"deny of all operations", []string{"Topic:LITERAL:t DENY All * User:alice", "Topic:LITERAL:t ALLOW Read * User:alice"}, Policy{}, alice, Describe, Resource{Topic, "t"}, false, RuleDenies},
		{"Describe by Read", []string{"Topic:LITERAL:t ALLOW Read * User:alice"}, Policy{}, alice, Describe, Resource{Topic, "t"}, true, RuleAllows},
		{"Describe by Alter", []string{"Topic:LITERAL:t ALLOW Alter * User:alice"}, Policy{}, alice, Describe, Resource{Topic, "t"}, true, RuleAllows},
		{"Describe not by Create", []string{"Topic:LITERAL:t ALLOW Create * User:alice"}, Policy{}, alice, Describe, Resource{Topic, "t"}, false, NoRuleSays},
		{"DescribeConfigs by AlterConfigs", []string{"Topic:LITERAL:t ALLOW AlterConfigs * User:alice"}, Policy{}, alice, DescribeConfigs, Resource{Topic, "t"}, true, RuleAllows},
		{"Read not by Describe", []string{"Topic:LITERAL:t ALLOW Describe * User:alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, false, NoRuleSays},
		{"deny of Read does not deny Describe", []string{"Topic:LITERAL:t DENY Read * User:alice", "Topic:LITERAL:t ALLOW Write * User:alice"}, Policy{}, alice, Describe, Resource{Topic, "t"}, true, RuleAllows},
		{"principal is a text", []string{"Topic:LITERAL:t ALLOW Read * User:Alice"}, Policy{}, alice, Read, Resource{Topic, "t"}, false, NoRuleSays},
		{"no such type", nil, Policy{Everybody: true}, alice, Read, Resource{99, "t"}, false, NotAskable},
		{"no such operation", nil, Policy{Everybody: true}, alice, 99, Resource{Topic, "t"}, false, NotAskable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := New(rules(t, tt.rules...), tt.policy)
			if got := x.Allowed(tt.who, tt.op, tt.on); got != tt.want {
				t.Errorf("allowed: %t", got)
			}
			e := x.Explain(tt.who, tt.op, tt.on)
			if e.Allowed != tt.want || e.Reason != tt.reason {
				t.Errorf("explained: %t, %s: %s", e.Allowed, e.Reason, e.Text)
			}
		})
	}
}

func TestOnAnyResource(t *testing.T) {
	alice := Client{"User:alice", "10.0.0.1"}
	tests := []struct {
		name  string
		rules []string
		op    Operation
		want  bool
	}{
		{"nothing", nil, Write, false},
		{"some name", []string{"Topic:LITERAL:t ALLOW Write * User:alice"}, Write, true},
		{"another operation", []string{"Topic:LITERAL:t ALLOW Write * User:alice"}, Read, false},
		{"what is implied does not count", []string{"Topic:LITERAL:t ALLOW Write * User:alice"}, Describe, false},
		{"all operations", []string{"Topic:PREFIXED:t ALLOW All * User:alice"}, Write, true},
		{"denied everywhere", []string{"Topic:LITERAL:* DENY Write * User:alice", "Topic:LITERAL:t ALLOW Write * User:alice"}, Write, false},
		{"the same name is denied", []string{"Topic:LITERAL:t DENY Write * User:*", "Topic:LITERAL:t ALLOW Write * User:alice"}, Write, false},
		{"a prefix of the name is denied", []string{"Topic:PREFIXED:t DENY Write * User:alice", "Topic:LITERAL:topic ALLOW Write * User:alice"}, Write, false},
		{"a prefix of the prefix is denied", []string{"Topic:PREFIXED:t DENY Write * User:alice", "Topic:PREFIXED:to ALLOW Write * User:alice"}, Write, false},
		{"the prefix is denied", []string{"Topic:PREFIXED:t DENY Write * User:alice", "Topic:PREFIXED:t ALLOW Write * User:alice"}, Write, false},
		{"a longer prefix is denied", []string{"Topic:PREFIXED:to DENY Write * User:alice", "Topic:PREFIXED:t ALLOW Write * User:alice"}, Write, true},
		{"a name is denied, its prefix is not", []string{"Topic:LITERAL:t DENY Write * User:alice", "Topic:PREFIXED:t ALLOW Write * User:alice"}, Write, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := New(rules(t, tt.rules...), Policy{}).AllowedOnAny(alice, tt.op, Topic); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// drawn are rules of few names, so that they meet.
func drawn() *rapid.Generator[Rule] {
	return rapid.Custom(func(t *rapid.T) Rule {
		return Rule{
			Type:       rapid.SampledFrom([]ResourceType{Topic, Group}).Draw(t, "type"),
			Pattern:    rapid.SampledFrom([]Pattern{Literal, Prefixed}).Draw(t, "pattern"),
			Name:       drawName(t),
			Principal:  rapid.SampledFrom([]string{"User:a", "User:b", "User:*", "Service:a"}).Draw(t, "principal"),
			Host:       rapid.SampledFrom([]string{"*", "*", "1.1.1.1", "::1"}).Draw(t, "host"),
			Operation:  rapid.SampledFrom([]Operation{All, Read, Write, Alter, Describe, DescribeConfigs, AlterConfigs}).Draw(t, "operation"),
			Permission: rapid.SampledFrom([]Permission{Deny, Allow, Allow}).Draw(t, "permission"),
		}
	})
}

func drawName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"*", "a", "aa", "ab", "aba", "abab", "ac", "b", "ba", "h", "hardcode", "ä", "a~"}).Draw(t, "name")
}

func TestIndexDecidesAsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawn := rapid.SliceOfN(drawn(), 0, 12).Draw(t, "rules")
		policy := Policy{Everybody: rapid.Bool().Draw(t, "everybody")}
		if rapid.IntRange(0, 9).Draw(t, "super") == 0 {
			policy.SuperUsers = []string{"User:b"}
		}
		x, m := New(drawn, policy), model{drawn, policy}
		for range 20 {
			who := Client{rapid.SampledFrom([]string{"User:a", "User:b", "User:c", "Service:a"}).Draw(t, "who"), rapid.SampledFrom([]string{"1.1.1.1", "2.2.2.2", "::1"}).Draw(t, "from")}
			op := rapid.SampledFrom([]Operation{Read, Write, Describe, DescribeConfigs, AlterConfigs, Create}).Draw(t, "op")
			on := Resource{rapid.SampledFrom([]ResourceType{Topic, Group}).Draw(t, "on"), drawName(t)}
			want := m.allowed(who, op, on)
			if got := x.Allowed(who, op, on); got != want {
				t.Fatalf("%v %v %v: %t, the model says %t", who, op, on, got, want)
			}
			if e := x.Explain(who, op, on); e.Allowed != want || e.Reason == RuleDenies && want || e.Reason == RuleAllows && !want {
				t.Fatalf("%v %v %v: explained as %+v", who, op, on, e)
			}
			if got, want := x.AllowedOnAny(who, op, on.Type), m.onAny(who, op, on.Type); got != want {
				t.Fatalf("%v %v any %v: %t, the model says %t", who, op, on.Type, got, want)
			}
		}
	})
}

// many are n rules as a large cluster has them: by application, with prefixes and names.
func many(n int) []Rule {
	random := rand.New(rand.NewPCG(1, 2))
	var all []Rule
	for i := 0; len(all) < n; i++ {
		user := fmt.Sprintf("User:application-%d", i%500)
		all = append(all, Rule{Topic, Literal, fmt.Sprintf("application-%d.events.%d", i%500, i/500), user, "*", Write, Allow})
		switch random.IntN(4) {
		case 0:
			all = append(all, Rule{Topic, Prefixed, fmt.Sprintf("application-%d.logs.%d.", i%500, i/500), user, "*", All, Allow})
		case 1:
			all = append(all, Rule{Group, Prefixed, fmt.Sprintf("application-%d.", i%500), user, "*", Read, Allow})
		case 2:
			all = append(all, Rule{Topic, Prefixed, fmt.Sprintf("secret.%d.", i), "User:*", "*", All, Deny})
		}
	}
	return all[:n]
}

func askedTopics() []Resource {
	topics := make([]Resource, 100)
	for i := range topics {
		topics[i] = Resource{Topic, fmt.Sprintf("application-7.%s.%d", []string{"events", "logs"}[i%2], i%10)}
		if i%2 == 1 {
			topics[i].Name += ".x"
		}
	}
	return topics
}

// BenchmarkAllowed asks for what a Produce to 100 topics asks, at 10,000 rules.
func BenchmarkAllowed(b *testing.B) {
	for _, bench := range []struct {
		name  string
		rules []Rule
	}{
		{"rules=0", nil},
		{"rules=10000", many(10_000)},
		{"rules=10000/one-principal", onePrincipal(10_000)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			x, who, topics := New(bench.rules, Policy{}), Client{"User:application-7", "10.1.2.3"}, askedTopics()
			b.ReportAllocs()
			for b.Loop() {
				for _, on := range topics {
					x.Allowed(who, Write, on)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(len(topics)), "ns/question")
		})
	}
}

// onePrincipal are the worst rules for an index that goes by principal: all are about the same, half of them on prefixes.
func onePrincipal(n int) (all []Rule) {
	for i := range n {
		all = append(all, Rule{Topic, []Pattern{Literal, Prefixed}[i%2], fmt.Sprintf("application-7.%s.%d", []string{"events", "logs"}[i%2], i), "User:application-7", "*", Write, Allow})
	}
	return all
}

func BenchmarkNew(b *testing.B) {
	all := many(10_000)
	b.ReportAllocs()
	for b.Loop() {
		New(all, Policy{})
	}
}

// What a broker asks for each topic of each request must be cheap however many rules there are.
func TestQuestionsAllocateNothing(t *testing.T) {
	x, who, topics := New(many(10_000), Policy{Everybody: true}), Client{"User:application-7", "10.1.2.3"}, askedTopics()
	allocs := testing.AllocsPerRun(100, func() {
		for _, on := range topics {
			x.Allowed(who, Write, on)
			x.Authorized(who, on)
		}
	})
	if allocs != 0 {
		t.Errorf("%.1f allocations for 100 topics", allocs)
	}
}

// A chain of prefixes, each within the next, is the most that a search walks.
func TestNestedPrefixesTakeNoLongTime(t *testing.T) {
	name, all := "", []Rule(nil)
	for range 4_000 {
		name += "a"
		all = append(all, Rule{Group, Prefixed, name, "User:a", "*", Read, Allow})
	}
	start := time.Now()
	x := New(all, Policy{})
	for range 100 {
		if !x.Allowed(Client{"User:a", "h"}, Read, Resource{Group, name + "b"}) {
			t.Fatal("denied")
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}
