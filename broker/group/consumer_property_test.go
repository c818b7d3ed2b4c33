package group

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// walkClient is a consumer as clients are: it does what it is told, late, and some of its answers get lost.
type walkClient struct {
	id, instance string
	epoch        MemberEpoch
	owned        partitions // what it believes to own
	told         partitions // what it was told last, and is to have
	answer       chan reply // that it waits for; nil: none
	lost         bool       // that answer will be
}

// consumerWalk is one random run of a group and its clients.
type consumerWalk struct {
	c       *Coordinator
	g       *loaded
	now     time.Time
	topics  []*metastore.Topic
	clients []*walkClient
	last    callID
	durable metastore.GroupRecord
	made    int
	times   ConsumerTimes
}

// Topics implements Topics.
func (w *consumerWalk) Topics() []*metastore.Topic { return w.topics }

// TestConsumerGroupProperties feeds random events and lets clients behave as clients do. At all times the clients that the group
// counts as members own every partition at most once, what the group believes of them agrees, and every deadline is armed. When
// the disturbances end, the members that are left come to own everything that they subscribe to, evenly.
func TestConsumerGroupProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newConsumerWalk(t)
		t.Repeat(map[string]func(*rapid.T){
			"":          w.check,
			"start":     w.start,
			"beat":      w.beat,
			"beat too":  w.beat,
			"beat also": w.beat,
			"revoke":    w.settleOne,
			"leave":     w.leave,
			"persist":   func(*rapid.T) { w.persist() },
			"takeover":  w.takeover,
			"topic":     w.topic,
			"advance":   w.advance,
		})
		w.converge(t)
	})
}

func newConsumerWalk(t *rapid.T) *consumerWalk {
	w := &consumerWalk{now: time.Unix(1e9, 0)}
	w.c = New(memory.New(memory.Options{}), 1, Options{
		Now: func() time.Time { return w.now }, Topics: w, InitialRebalanceDelay: -1,
		ConsumerAssignors: rapid.SampledFrom([][]string{{"uniform"}, {"range"}}).Draw(t, "assignor"),
	})
	w.times = ConsumerTimes{5 * time.Second, 45 * time.Second, rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "interval")}
	for range 2 {
		w.topic(t)
	}
	w.load()
	return w
}

func (w *consumerWalk) load() {
	m, err := w.c.machineOf(w.durable)
	if err != nil {
		panic(err)
	}
	w.g = &loaded{id: "g", machine: m, waiting: make(map[callID]chan reply)}
	w.event(func() {})
}

// event does what Coordinator.act does, and gives clients their answers.
func (w *consumerWalk) event(do func()) {
	w.g.machine.observe(w.c.watch.now(), w.times)
	do()
	w.c.downgrade(w.g)
	w.g.settle()
	for _, cl := range w.clients {
		cl.hear()
	}
}

// topic makes one, or a partition more, or removes one.
func (w *consumerWalk) topic(t *rapid.T) {
	all := slices.Clone(w.topics)
	n := rapid.IntRange(0, 4).Draw(t, "topic")
	switch {
	case n < len(all) && rapid.Bool().Draw(t, "delete"):
		all = slices.Delete(all, n, n+1)
	case n < len(all):
		grown := *all[n]
		grown.Partitions++
		all[n] = &grown
	default:
		w.made++
		all = append(all, &metastore.Topic{ID: metastore.TopicID{byte(w.made)}, Name: fmt.Sprintf("t%d", w.made%4), Partitions: 3})
	}
	w.topics = slices.CompactFunc(all, func(a, b *metastore.Topic) bool { return a.Name == b.Name })
}

func (w *consumerWalk) start(t *rapid.T) {
	if len(w.clients) > 5 {
		t.Skip()
	}
	w.last++
	cl := &walkClient{id: fmt.Sprintf("m%d", w.last), instance: rapid.SampledFrom([]string{"", "", "ia", "ib"}).Draw(t, "instance")}
	w.clients = append(w.clients, cl)
	w.send(cl, false)
}

func (w *consumerWalk) pick(t *rapid.T) *walkClient {
	if len(w.clients) == 0 {
		t.Skip()
	}
	return rapid.SampledFrom(w.clients).Draw(t, "client")
}

func (w *consumerWalk) beat(t *rapid.T) {
	if cl := w.pick(t); cl.answer == nil {
		w.send(cl, rapid.IntRange(0, 4).Draw(t, "lost") == 0)
	}
}

// send makes a heartbeat, which says everything. Every other client subscribes by an expression, too.
func (w *consumerWalk) send(cl *walkClient, lost bool) {
	w.last++
	call, regex := w.last, ""
	if cl.id[len(cl.id)-1]%2 == 0 {
		regex = "t[0-2]"
	}
	req := ConsumerHeartbeatRequest{
		GroupID: "g", MemberID: cl.id, InstanceID: cl.instance, Epoch: cl.epoch, RebalanceTimeout: 30 * time.Second,
		TopicNames: []string{"t0", "t1"}, TopicRegex: &regex, Owned: append([]metastore.TopicPartition{}, cl.owned...),
	}
	cl.answer, cl.lost = make(chan reply, 1), lost
	w.g.waiting[call] = cl.answer
	w.event(func() {
		if err := w.c.consumerHeartbeatOn(w.g, call, req, ""); err != nil {
			delete(w.g.waiting, call)
			cl.answer <- reply{call: call, err: err}
		}
	})
}

// hear takes the answer if it is there.
func (cl *walkClient) hear() {
	if len(cl.answer) == 0 { // also if it waits for none
		return
	}
	r := <-cl.answer
	cl.answer = nil
	switch {
	case cl.lost, errors.Is(r.err, ErrNotCoordinator):
		// It sends the same again.
	case r.err != nil:
		cl.epoch, cl.owned, cl.told = JoinEpoch, nil, nil // it owns nothing, and begins anew
	default:
		cl.epoch = r.consumer.Epoch
		if r.consumer.Assignment != nil {
			cl.told = partitionsOf(r.consumer.Assignment)
		}
		if cl.owned.in(cl.told) {
			cl.owned = cl.told // nothing to revoke first
		}
	}
}

// settleOne lets a client revoke what it is to give up, and take what it may have.
func (w *consumerWalk) settleOne(t *rapid.T) {
	cl := w.pick(t)
	cl.owned = cl.told
}

func (w *consumerWalk) leave(t *rapid.T) {
	cl := w.pick(t)
	epoch := LeaveEpoch
	if cl.instance != "" && rapid.Bool().Draw(t, "for a while") {
		epoch = LeaveStaticEpoch
	}
	w.event(func() {
		_ = w.c.consumerHeartbeatOn(w.g, 0, ConsumerHeartbeatRequest{GroupID: "g", MemberID: cl.id, InstanceID: cl.instance, Epoch: epoch}, "")
	})
	if cl.instance == "" || epoch == LeaveEpoch || rapid.Bool().Draw(t, "for ever") {
		w.clients = slices.DeleteFunc(w.clients, func(other *walkClient) bool { return other == cl })
		return
	}
	w.last++ // it comes back under another member id
	cl.id, cl.epoch, cl.owned, cl.told, cl.answer = fmt.Sprintf("m%d", w.last), JoinEpoch, nil, nil, nil
}

func (w *consumerWalk) persist() {
	p, r, ok := w.g.nextWrite()
	if !ok {
		return
	}
	w.durable = r
	w.event(func() {
		if p.of == w.g.machine {
			w.g.machine.persisted(w.now, p.ticket)
		}
	})
}

func (w *consumerWalk) takeover(*rapid.T) {
	w.g.machine.fail(ErrNotCoordinator)
	w.g.settle()
	w.load()
}

func (w *consumerWalk) advance(t *rapid.T) {
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Second, 10 * time.Second, time.Minute}).Draw(t, "time"))
	w.event(func() { w.g.machine.tick(w.now) })
	if at, ok := w.g.machine.deadline(); ok && !at.After(w.now) {
		t.Fatal("tick left a deadline behind: the timer would spin")
	}
}

// check holds the group's books against each other, and against what clients that it counts as members believe.
func (w *consumerWalk) check(t *rapid.T) {
	m, ok := w.g.machine.(*consumerMachine)
	if !ok {
		return
	}
	owners, bytes := 0, 0
	for _, mb := range m.order {
		if m.members[mb.id] != mb || mb.instance != "" && m.static[mb.instance] != mb {
			t.Fatalf("member %s is not in the tables", mb.id)
		}
		for _, p := range mb.owns() {
			if m.owners[p] != mb {
				t.Fatalf("%s owns %v, but the books say %v", mb.id, p, m.owners[p])
			}
			owners++
		}
		bytes += mb.bytes()
		if (mb.state == memberUnrevoked) != (len(mb.revoking) > 0) || (mb.state == memberUnrevoked) == mb.revokeBy.IsZero() {
			t.Fatalf("%s is %s and revokes %v by %v", mb.id, mb.state, mb.revoking, mb.revokeBy)
		}
		for _, at := range []time.Time{mb.deadline, mb.revokeBy} {
			if !at.IsZero() && (m.due.IsZero() || m.due.After(at)) {
				t.Fatalf("next tick at %s, needed at %s", m.due, at)
			}
		}
		if mb.deadline.IsZero() || mb.epoch > MemberEpoch(m.assignmentEpoch) || m.assignmentEpoch > m.epoch {
			t.Fatalf("%s: epoch %d of %d of %d, session until %s", mb.id, mb.epoch, m.assignmentEpoch, m.epoch, mb.deadline)
		}
	}
	if owners != len(m.owners) || len(m.order) != len(m.members) || bytes != m.bytes {
		t.Fatalf("%d owned partitions of %d, %d members of %d, %d bytes of %d", owners, len(m.owners), len(m.order), len(m.members), bytes, m.bytes)
	}
	w.checkClients(t, m)
}

// checkClients: nobody shares a partition with another whose epoch is good. One whose epoch is not must not commit, and will be
// told with its next heartbeat.
func (w *consumerWalk) checkClients(t *rapid.T, m *consumerMachine) {
	owner := make(map[metastore.TopicPartition]*walkClient)
	for _, cl := range w.clients {
		mb := m.members[cl.id]
		if mb == nil || mb.epoch != cl.epoch {
			continue
		}
		for _, p := range cl.owned {
			if other := owner[p]; other != nil {
				t.Fatalf("%s and %s own %v", other.id, cl.id, p)
			}
			owner[p] = cl
			if m.owners[p] != nil && m.owners[p] != mb {
				t.Fatalf("%s believes to own %v, which the group has given to %s", cl.id, p, m.owners[p].id)
			}
		}
	}
}

// converge ends the disturbances: clients send heartbeats and do what they are told.
func (w *consumerWalk) converge(t *rapid.T) {
	for range 24 {
		w.now = w.now.Add(5 * time.Second)
		w.event(func() { w.g.machine.tick(w.now) })
		for _, cl := range slices.Clone(w.clients) {
			w.quiet(cl)
			w.quiet(cl)
		}
		w.check(t)
	}
	m, ok := w.g.machine.(*consumerMachine)
	if !ok || len(w.clients) == 0 {
		return
	}
	if len(m.members) > 0 && m.state() != Stable {
		t.Fatalf("the group is %s after 2 minutes of quiet", m.state())
	}
	existing := make(map[metastore.TopicID]int32)
	for _, topic := range w.topics {
		existing[topic.ID] = topic.Partitions
	}
	topics := m.subscribedTopics()
	want := 0
	seen := make(map[metastore.TopicID]bool)
	for _, mb := range m.order {
		for _, id := range topics(mb) {
			if !seen[id] {
				want += int(existing[id])
			}
			seen[id] = true
		}
	}
	if len(m.owners) != want {
		t.Fatalf("%d partitions are owned, want %d", len(m.owners), want)
	}
}

// quiet is a heartbeat whose answer arrives, and is obeyed.
func (w *consumerWalk) quiet(cl *walkClient) {
	if cl.answer == nil {
		w.send(cl, false)
	}
	for len(w.g.queue) > 0 {
		w.persist()
	}
	cl.owned = cl.told
}
