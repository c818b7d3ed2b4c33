package acl

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// brokers are replicas of one commit log.
func brokers(t testing.TB, n int) []*metastore.Replica {
	t.Helper()
	store := memory.New(memory.Options{})
	t.Cleanup(func() { _ = store.Close() })
	replicas := make([]*metastore.Replica, n)
	for i := range replicas {
		replicas[i] = metastore.NewReplica(store, metastore.ReplicaOptions{RefreshPause: -1})
		if err := replicas[i].Open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return replicas
}

func alter(t testing.TB, r *metastore.Replica, set bool, rules ...Rule) {
	t.Helper()
	var changes []metastore.ConfigChange
	for _, rule := range rules {
		resource, entry := rule.Pair()
		c := metastore.ConfigChange{ConfigResource: metastore.ConfigResource{Kind: metastore.AccessRules, Name: resource}}
		if set {
			c.Set = map[string]string{entry: ""}
		} else {
			c.Unset = []string{entry}
		}
		changes = append(changes, c)
	}
	if err := r.AlterConfigs(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

var (
	liveAlice = Client{"User:alice", "10.0.0.1"}
	liveTopic = Resource{Topic, "t"}
)

func TestChangesActAtOnceHereAndElsewhereWithTheFold(t *testing.T) {
	replicas := brokers(t, 2)
	here, there := NewLive(replicas[0], LiveOptions{Mode: On}), NewLive(replicas[1], LiveOptions{Mode: On})
	rule := rules(t, "Topic:LITERAL:t ALLOW Read * User:alice")
	for range 3 {
		for _, set := range []bool{true, false} {
			alter(t, replicas[0], set, rule...)
			if here.Allowed(liveAlice, Read, liveTopic) != set {
				t.Errorf("not at once: set %t", set)
			}
			if there.Allowed(liveAlice, Read, liveTopic) == set {
				t.Errorf("another broker knows by itself: set %t", set)
			}
			if err := replicas[1].Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if there.Allowed(liveAlice, Read, liveTopic) != set {
				t.Errorf("not with the fold: set %t", set)
			}
		}
	}
}

// Whoever asks after the answer to a revocation must not get an answer by what was before, however many ask.
func TestNobodyIsAnsweredByRulesThatAreGone(t *testing.T) {
	r := brokers(t, 1)[0]
	alter(t, r, true, many(2000)...)
	l := NewLive(r, LiveOptions{Mode: On})
	rule := rules(t, "Topic:LITERAL:t ALLOW Read * User:alice")
	for range 20 {
		alter(t, r, true, rule...)
		l.Allowed(liveAlice, Read, liveTopic)
		alter(t, r, false, rule...)
		var askers sync.WaitGroup
		for range 8 {
			askers.Go(func() {
				if l.Allowed(liveAlice, Read, liveTopic) {
					t.Error("allowed by a rule that is gone")
				}
			})
		}
		askers.Wait()
	}
}

// metric is the sum of a metric's series.
func metric(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestModes(t *testing.T) {
	r := brokers(t, 1)[0]
	alter(t, r, true, rules(t, "Topic:LITERAL:t ALLOW Read * User:alice")...)
	for mode, want := range map[Mode][3]bool{"": {false, true, true}, Off: {false, true, true}, On: {true, true, false}, Shadow: {true, true, true}} {
		l := NewLive(r, LiveOptions{Mode: mode})
		got := [3]bool{l.Enabled(), l.Allowed(liveAlice, Read, liveTopic), l.Allowed(liveAlice, Write, liveTopic)}
		if got != want {
			t.Errorf("%q: %v, want %v", mode, got, want)
		}
		if got := l.AllowedOnAny(liveAlice, Write, Topic); got != want[2] {
			t.Errorf("%q: on any %t", mode, got)
		}
		bits := l.Authorized(liveAlice, liveTopic)
		if onlyRead := bits == 1<<Read|1<<Describe; onlyRead != (mode == On) {
			t.Errorf("%q: operations %b", mode, bits)
		}
	}
}

func TestShadowTellsWhatWouldBeDenied(t *testing.T) {
	r := brokers(t, 1)[0]
	alter(t, r, true, rules(t, "Topic:LITERAL:t ALLOW Read * User:alice")...)
	var log bytes.Buffer
	now := time.Unix(1000, 0)
	registry := prometheus.NewRegistry()
	l := NewLive(r, LiveOptions{Mode: Shadow, Logger: slog.New(slog.NewTextHandler(&log, nil)), Registerer: registry, Now: func() time.Time { return now }})
	for range 3 {
		l.Allowed(liveAlice, Read, liveTopic)
		l.Allowed(liveAlice, Write, liveTopic)
		l.Authorized(liveAlice, liveTopic)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "principal=User:alice") || !strings.Contains(got, "resource=Topic:t") ||
		!strings.Contains(got, "operation=Write") || !strings.Contains(got, "of 1 on the resource, no rule is about this client and operation") {
		t.Errorf("log: %s", got)
	}
	if n := metric(t, registry, "runnel_acl_shadow_denials_total"); n != 3 {
		t.Errorf("counted %v", n)
	}
	if n := metric(t, registry, "runnel_acl_rules"); n != 1 {
		t.Errorf("%v rules", n)
	}
	log.Reset()
	for i := range 3 * mostNotices {
		l.Allowed(liveAlice, Write, Resource{Topic, fmt.Sprint(i)})
	}
	if n := strings.Count(log.String(), "\n"); n != mostNotices-1 {
		t.Errorf("%d lines", n)
	}
	log.Reset()
	now = now.Add(noticeEvery)
	l.AllowedOnAny(liveAlice, Write, Group)
	if got := log.String(); !strings.Contains(got, fmt.Sprintf("left_out=%d", 2*mostNotices+1)) || !strings.Contains(got, "on any resource of type Group") {
		t.Errorf("log: %s", got)
	}
}

func TestCandidatesAreToldOfWhereTheyDifferFromWhatIsInForce(t *testing.T) {
	r := brokers(t, 1)[0]
	alter(t, r, true, rules(t, "Topic:PREFIXED:t ALLOW All * User:alice")...)
	for mode, want := range map[Mode]string{Off: "t t2 u", On: "t t2", Shadow: "t t2"} { // u is denied by what is in force
		var log bytes.Buffer
		l := NewLive(r, LiveOptions{Mode: mode, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ask := func() {
			for _, name := range []string{"t", "t2", "u"} {
				for _, op := range []Operation{Read, Write} {
					l.Allowed(liveAlice, op, Resource{Topic, name})
				}
			}
		}
		ask()
		if mode != Shadow && log.Len() > 0 {
			t.Errorf("%s: told without a candidate: %s", mode, log.String())
		}
		log.Reset()
		l.SetCandidate(rules(t, "Topic:PREFIXED:t ALLOW Read * User:alice"))
		ask()
		var told []string
		for line := range strings.Lines(log.String()) {
			if _, name, ok := strings.Cut(line, "resource=Topic:"); ok && strings.Contains(line, "rules=candidate") && strings.Contains(line, "operation=Write") {
				told = append(told, strings.Fields(name)[0])
			}
		}
		if got := strings.Join(told, " "); got != want {
			t.Errorf("%s: told of %q, want %q: %s", mode, got, want, log.String())
		}
		l.SetCandidate(nil)
		if l.candidate.Load() != nil {
			t.Error("the candidate stays")
		}
	}
}

func TestRulesOfAnotherVersionAllowNothingAndAreCounted(t *testing.T) {
	r := brokers(t, 1)[0]
	err := r.AlterConfigs(t.Context(), []metastore.ConfigChange{{ConfigResource: metastore.ConfigResource{Kind: metastore.AccessRules, Name: "Topic:LITERAL:t"},
		Set: map[string]string{"ALLOW Fly * User:alice": "", "ALLOW Read * User:alice": ""}}})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	l := NewLive(r, LiveOptions{Mode: On, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !l.Allowed(liveAlice, Read, liveTopic) || l.latest().unreadable != 1 || strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("unreadable %d, log %s", l.latest().unreadable, log.String())
	}
}

// TestWhatCannotBeReadDenies: whoever made a rule that denies did not mean that it be passed over. Each case is a rule beside
// one that lets everybody do everything with topics; what cannot be read may be about anything.
func TestWhatCannotBeReadDenies(t *testing.T) {
	bob := Client{"User:bob", "10.0.0.2"}
	for _, tc := range []struct {
		resource, entry                 string
		alice, bob, aliceElsewhere, grp bool // may read: topic t as alice and as bob, topic u as alice, a group as alice
	}{
		{"Topic:LITERAL:t", "DENY Fly * User:alice", false, true, true, true},          // the operation
		{"Topic:LITERAL:t", "REFUSE Read * User:alice", false, true, true, true},       // whether it allows
		{"Topic:LITERAL:t", "DENY Read * alice", false, false, true, true},             // whom
		{"Topic:LITERAL:t", "DENY Read *", false, false, true, true},                   // the same
		{"Topic:LITERAL:t", "", false, false, true, true},                              // nothing of it
		{"Topic:LITERAL:t", "DENY Read 10.0.0.2 alice", true, false, true, true},       // whom, from a host
		{"Topic:LITERAL:t", "DENY Read  User:alice", false, true, true, true},          // from which host
		{"Topic:SUFFIXED:t", "DENY Read * User:alice", false, true, false, true},       // which topics
		{"Topic", "DENY Read * User:alice", false, true, false, true},                  // the same
		{"Topic:LITERAL:t", "DENY Fly 10.0.0.0/8 User:alice", false, true, true, true}, // from which hosts
		{"Topic:LITERAL:t", "v2 DENY Read * User:alice", false, false, true, true},     // anything: it is laid out in another way
		{"Topic:LITERAL:t", `{"permission": "DENY", "operation": "Read", "host": "*", "principal": "User:alice"}`, false, false, true, true},
		{"Topic:PREFIXED:t", "DENY Fly * User:alice", false, true, true, true},        // the operation, on names that begin so
		{"Queue:LITERAL:t", "DENY Read * User:alice", true, true, true, true},         // nothing that is here
		{"Topic:LITERAL:t", "ALLOW Fly * User:alice", true, true, true, true},         // it denies nothing
		{"Topic:LITERAL:u", "DENY Write 10.0.0.9 User:alice", true, true, true, true}, // can be read
	} {
		r := brokers(t, 1)[0]
		alter(t, r, true, rules(t, "Topic:LITERAL:* ALLOW All * User:*", "Group:LITERAL:* ALLOW All * User:*")...)
		err := r.AlterConfigs(t.Context(), []metastore.ConfigChange{{
			ConfigResource: metastore.ConfigResource{Kind: metastore.AccessRules, Name: tc.resource}, Set: map[string]string{tc.entry: ""},
		}})
		if err != nil {
			t.Fatalf("%q %q: %v", tc.resource, tc.entry, err)
		}
		l := NewLive(r, LiveOptions{Mode: On, Policy: Policy{SuperUsers: []string{"User:root"}}})
		for _, q := range []struct {
			who  Client
			on   Resource
			want bool
		}{
			{liveAlice, liveTopic, tc.alice}, {bob, liveTopic, tc.bob}, {liveAlice, Resource{Topic, "u"}, tc.aliceElsewhere}, {liveAlice, Resource{Group, "t"}, tc.grp},
			{Client{"User:root", "10.0.0.3"}, liveTopic, true},
		} {
			if got := l.Allowed(q.who, Read, q.on); got != q.want {
				t.Errorf("%q %q: %s may read %s: %t, want %t", tc.resource, tc.entry, q.who.Principal, q.on.Name, got, q.want)
			}
		}
	}
}

// TestWhatCannotBeReadIsARuleOnItsResource: what everybody may do where there are no rules, they may not do there.
func TestWhatCannotBeReadIsARuleOnItsResource(t *testing.T) {
	r := brokers(t, 1)[0]
	err := r.AlterConfigs(t.Context(), []metastore.ConfigChange{{
		ConfigResource: metastore.ConfigResource{Kind: metastore.AccessRules, Name: "Topic:LITERAL:t"}, Set: map[string]string{"ALLOW Fly * User:bob": ""},
	}})
	if err != nil {
		t.Fatal(err)
	}
	l := NewLive(r, LiveOptions{Mode: On, Policy: Policy{Everybody: true}})
	if l.Allowed(liveAlice, Read, liveTopic) || !l.Allowed(liveAlice, Read, Resource{Topic, "u"}) {
		t.Errorf("t %t, u %t", l.Allowed(liveAlice, Read, liveTopic), l.Allowed(liveAlice, Read, Resource{Topic, "u"}))
	}
}

func TestLiveQuestionsAllocateNothing(t *testing.T) {
	r := brokers(t, 1)[0]
	alter(t, r, true, many(1000)...)
	l, topics := NewLive(r, LiveOptions{Mode: On}), askedTopics()
	l.SetCandidate(rules(t, "Topic:LITERAL:* ALLOW All * User:*"))
	allocs := testing.AllocsPerRun(100, func() {
		for _, on := range topics {
			l.Allowed(Client{"User:application-7", "10.1.2.3"}, Write, on)
		}
	})
	if allocs != 0 {
		t.Errorf("%.1f allocations for 100 topics", allocs)
	}
}

func BenchmarkLive(b *testing.B) {
	r := brokers(b, 1)[0]
	alter(b, r, true, many(10_000)...)
	l, topics := NewLive(r, LiveOptions{Mode: On}), askedTopics()
	b.ReportAllocs()
	for b.Loop() {
		for _, on := range topics {
			l.Allowed(Client{"User:application-7", "10.1.2.3"}, Write, on)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(len(topics)), "ns/question")
}

// BenchmarkRebuild is what the first question after a change costs.
func BenchmarkRebuild(b *testing.B) {
	r := brokers(b, 1)[0]
	alter(b, r, true, many(10_000)...)
	set := r.ConfigsOf(metastore.AccessRules)
	b.ReportAllocs()
	for b.Loop() {
		New(FromPairs(set.All()).Rules, Policy{})
	}
}
