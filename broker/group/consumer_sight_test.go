package group

import (
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// sightRig is the machine of a consumer group, with topics "alpha", "beta" and "secret" of one partition each.
type sightRig struct {
	t *testing.T
	m *consumerMachine
	// hidden are the topics that each principal may not know of.
	hidden map[string]map[string]bool
	now    time.Time
	call   callID
}

var sightTopics = []*metastore.Topic{
	{ID: metastore.TopicID{1}, Name: "alpha", Partitions: 1}, {ID: metastore.TopicID{2}, Name: "beta", Partitions: 1},
	{ID: metastore.TopicID{3}, Name: "secret", Partitions: 1},
}

func newSightRig(t *testing.T) *sightRig {
	r := &sightRig{t: t, hidden: make(map[string]map[string]bool), now: time.Unix(1000, 0)}
	r.m = r.machine(newTopicView(sightTopics))
	return r
}

func (r *sightRig) machine(topics *topicView) *consumerMachine {
	m := newConsumerMachine(consumerLimits{assignors: DefaultAssignors()})
	m.observe(topics, ConsumerTimes{5 * time.Second, 45 * time.Second, 0})
	return m
}

func (r *sightRig) hide(who string, topics ...string) {
	r.hidden[who] = make(map[string]bool)
	for _, topic := range topics {
		r.hidden[who][topic] = true
	}
}

func (r *sightRig) sight(who string) Sight {
	return Sight{Who: who, Sees: func(topic string) bool { return !r.hidden[who][topic] }}
}

// beat sends a heartbeat of a member, with an expression if it joins, and makes what it changed durable.
func (r *sightRig) beat(member, who, expression string) {
	r.t.Helper()
	r.call++
	req := ConsumerHeartbeatRequest{GroupID: "g", MemberID: member, RebalanceTimeout: -1, Sight: r.sight(who)}
	if mb := r.m.members[member]; mb != nil {
		req.Epoch, req.Owned = mb.epoch, mb.assigned
	} else {
		req.RebalanceTimeout, req.TopicRegex, req.Owned = time.Minute, &expression, []metastore.TopicPartition{}
	}
	if r.m.consumerHeartbeat(r.now, r.call, req, "") {
		r.t.Fatalf("refused: %+v", r.m.takeEffects())
	}
	for _, e := range r.m.takeEffects() {
		if p, ok := e.(persist); ok {
			r.m.persisted(r.now, p.ticket)
		}
	}
}

// targets are the topics of each member.
func (r *sightRig) targets() string {
	var all []string
	for _, mb := range r.m.order {
		var names []string
		for _, p := range mb.target {
			names = append(names, r.m.topics.byID[p.Topic].Name)
		}
		all = append(all, mb.id+": "+strings.Join(names, " "))
	}
	return strings.Join(all, "; ")
}

func (r *sightRig) want(what, targets string) {
	r.t.Helper()
	if got := r.targets(); got != targets {
		r.t.Errorf("%s: %q, want %q", what, got, targets)
	}
}

func TestExpressionsMatchWhatTheirMembersMayKnowOf(t *testing.T) {
	r := newSightRig(t)
	r.hide("alice", "secret")
	r.beat("a", "alice", ".*")
	r.want("alice", "a: alpha beta")
	r.beat("b", "bob", ".*")
	r.want("bob has what alice may not", "a: alpha beta; b: secret")
}

func TestExpressionsAreMatchedAnewWhenRulesChange(t *testing.T) {
	r := newSightRig(t)
	r.beat("a", "alice", ".*")
	r.want("at first", "a: alpha beta secret")
	epoch := r.m.epoch
	r.hide("alice", "secret")
	r.now = r.now.Add(sightAge / 2)
	r.beat("a", "alice", "")
	r.want("within a minute", "a: alpha beta secret")
	r.now = r.now.Add(sightAge)
	r.beat("a", "alice", "")
	r.want("then", "a: alpha beta")
	if r.m.epoch != epoch+1 {
		t.Errorf("epoch %d, was %d", r.m.epoch, epoch)
	}
	r.hide("alice")
	r.now = r.now.Add(2 * sightAge)
	r.beat("a", "alice", "")
	r.want("allowed again", "a: alpha beta secret")
	// Another principal under the same member id sees something else at once.
	r.hide("carol", "alpha", "beta")
	r.beat("a", "carol", "")
	r.want("carol", "a: secret")
}

// TestAnotherCoordinatorDisturbsNobody: it has not heard of the members, and does not know what they see.
func TestAnotherCoordinatorDisturbsNobody(t *testing.T) {
	r := newSightRig(t)
	r.hide("alice", "secret")
	r.hide("bob", "alpha", "beta")
	r.beat("a", "alice", "[a-s].*")
	r.beat("b", "bob", ".*")
	for range 3 { // until both have what they are to have
		r.beat("a", "alice", "")
		r.beat("b", "bob", "")
	}
	want := "a: alpha beta; b: secret"
	r.want("at first", want)
	record, err := decodeConsumerRecord(func() []byte { rec := r.m.record(); return rec.encode() }())
	if err != nil {
		t.Fatal(err)
	}
	epoch := r.m.epoch
	r.m = r.machine(newTopicView(sightTopics))
	r.m.restore(r.now, record)
	for range 3 {
		r.now = r.now.Add(sightAge)
		r.beat("a", "alice", "")
		r.want("one was heard of", want)
		r.beat("b", "bob", "")
		r.want("both were", want)
	}
	if r.m.epoch != epoch {
		t.Errorf("epoch %d, was %d", r.m.epoch, epoch)
	}
	// Who joins before the others were heard of gets nothing of what these had only, and they keep it.
	r.m = r.machine(newTopicView(sightTopics))
	record, _ = decodeConsumerRecord(record.encode())
	r.m.restore(r.now, record)
	r.hide("carol", "alpha", "beta", "secret")
	r.beat("c", "carol", "[a-z].*")
	r.want("a third", want+"; c: ")
}
