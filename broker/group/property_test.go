package group

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMachineProperties feeds random events. After each: every call was answered at most once, a generation has one
// protocol, the counters agree with the members, and everybody who does not wait has a session that will end. At the
// end every call was answered exactly once.
func TestMachineProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWalk(t)
		t.Repeat(map[string]func(*rapid.T){
			"":          w.check,
			"join":      w.join,
			"join too":  w.join,
			"sync":      w.sync,
			"sync too":  w.sync,
			"heartbeat": w.heartbeat,
			"leave":     w.leave,
			"commit":    w.commit,
			"persisted": w.persisted,
			"takeover":  w.takeover,
			"advance":   w.advance,
		})
		w.m.fail(ErrNotCoordinator)
		w.settle(t)
		if len(w.waiting) > 0 {
			t.Fatalf("calls without an answer: %v", w.waiting)
		}
	})
}

// walk is one random run.
type walk struct {
	m         *machine
	limits    limits
	now       time.Time
	lastID    int
	lastCall  callID
	waiting   map[callID]bool
	asked     []persist
	durable   record
	known     []string // member ids that were given out
	protocols map[Generation]string
}

var (
	instances = []string{"", "", "", "ia", "ib"}
	protocols = [][]Protocol{
		{{"range", nil}},
		{{"range", []byte("x")}},
		{{"range", []byte("x")}, {"sticky", nil}},
		{{"range", []byte("x")}, {"sticky", nil}},
		{{"sticky", nil}, {"range", []byte("x")}},
		{{"sticky", nil}, {"sticky", []byte("again")}},
		{{"other", nil}},
		nil,
	}
)

func newWalk(t *rapid.T) *walk {
	l := limits{
		initialDelay: rapid.SampledFrom([]time.Duration{-1, 3 * time.Second}).Draw(t, "delay"),
		maxSize:      rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "max size"),
	}
	return &walk{
		m: newMachine(l), limits: l, now: time.Unix(1e9, 0),
		waiting: make(map[callID]bool), known: []string{"", "nobody"}, protocols: make(map[Generation]string),
	}
}

// sender picks who makes a request: mostly a member, under its instance id; sometimes somebody from the past, or new, or
// with an instance id that is another's.
func (w *walk) sender(t *rapid.T) (id, instance string) {
	n := rapid.IntRange(0, 9).Draw(t, "sender")
	if n < 7 && len(w.m.order) > 0 {
		mb := w.m.order[n%len(w.m.order)]
		return mb.id, mb.instance
	}
	if n < 8 {
		return "", rapid.SampledFrom(instances).Draw(t, "instance")
	}
	return rapid.SampledFrom(w.known).Draw(t, "member"), rapid.SampledFrom(instances).Draw(t, "instance")
}

func (w *walk) generation(t *rapid.T) Generation {
	return w.m.generation + Generation(rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, -1, 1}).Draw(t, "generation"))
}

func (w *walk) call() callID {
	w.lastCall++
	w.waiting[w.lastCall] = true
	return w.lastCall
}

func (w *walk) join(t *rapid.T) {
	w.lastID++
	newID := fmt.Sprintf("m%d", w.lastID)
	w.known = append(w.known, newID)
	id, instance := w.sender(t)
	if rapid.IntRange(0, 3).Draw(t, "new") == 0 {
		id = ""
	}
	w.m.join(w.now, w.call(), JoinRequest{
		MemberID: id, InstanceID: instance, ProtocolType: "consumer",
		SessionTimeout:       rapid.SampledFrom([]time.Duration{10 * time.Second, time.Minute}).Draw(t, "session"),
		RebalanceTimeout:     rapid.SampledFrom([]time.Duration{0, 5 * time.Second, 20 * time.Minute}).Draw(t, "rebalance"),
		Protocols:            rapid.SampledFrom(protocols).Draw(t, "protocols"),
		RequireKnownMemberID: rapid.Bool().Draw(t, "require"),
		CanSkipAssignment:    rapid.Bool().Draw(t, "skip"),
	}, newID)
	w.settle(t)
}

func (w *walk) sync(t *rapid.T) {
	id, instance := w.sender(t)
	w.m.sync(w.now, w.call(), SyncRequest{
		MemberID: id, InstanceID: instance, Generation: w.generation(t), Assignments: map[string][]byte{id: {1}},
	})
	w.settle(t)
}

func (w *walk) heartbeat(t *rapid.T) {
	id, instance := w.sender(t)
	_ = w.m.heartbeat(w.now, HeartbeatRequest{MemberID: id, InstanceID: instance, Generation: w.generation(t)})
	w.settle(t)
}

func (w *walk) leave(t *rapid.T) {
	a, instance := w.sender(t)
	b, _ := w.sender(t)
	w.m.leave(w.now, []LeaveMember{{a, instance}, {b, ""}}[:rapid.IntRange(1, 2).Draw(t, "leavers")])
	w.settle(t)
}

func (w *walk) commit(t *rapid.T) {
	id, instance := w.sender(t)
	_ = w.m.commit(w.now, CommitRequest{MemberID: id, InstanceID: instance, Generation: w.generation(t)})
	w.settle(t)
}

func (w *walk) persisted(t *rapid.T) {
	if len(w.asked) == 0 {
		t.Skip()
	}
	p := w.asked[0]
	w.asked = w.asked[1:]
	r, err := decodeRecord(p.record.encode())
	if err != nil {
		t.Fatal(err)
	}
	w.durable = r
	w.m.persisted(w.now, p.ticket)
	w.settle(t)
}

func (w *walk) takeover(t *rapid.T) {
	w.m.fail(ErrNotCoordinator)
	w.settle(t)
	w.m, w.asked = newMachine(w.limits), nil
	w.m.restore(w.now, w.durable)
	clear(w.protocols) // generations that were not persisted come again
	w.settle(t)
}

func (w *walk) advance(t *rapid.T) {
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, time.Second, 4 * time.Second, 30 * time.Second, 10 * time.Minute}).Draw(t, "time"))
	w.m.tick(w.now)
	w.settle(t)
	if at, ok := w.m.deadline(); ok && !at.After(w.now) {
		t.Fatalf("tick left a deadline behind: the timer would spin")
	}
}

func (w *walk) settle(t *rapid.T) {
	for _, e := range w.m.takeEffects() {
		switch e := e.(type) {
		case persist:
			w.asked = append(w.asked, e)
		case reply:
			if !w.waiting[e.call] {
				t.Fatalf("call %d answered twice, or never made", e.call)
			}
			delete(w.waiting, e.call)
			if e.err == nil && e.join.MemberID != "" {
				w.joined(t, e.join)
			}
		}
	}
}

func (w *walk) joined(t *rapid.T, resp JoinResponse) {
	if was, ok := w.protocols[resp.Generation]; ok && was != resp.Protocol {
		t.Fatalf("generation %d has protocols %q and %q", resp.Generation, was, resp.Protocol)
	}
	w.protocols[resp.Generation] = resp.Protocol
	mb := w.m.members[resp.MemberID]
	if mb == nil || !mb.supports(resp.Protocol) {
		t.Fatalf("member %s joined with protocol %q, which it does not support", resp.MemberID, resp.Protocol)
	}
	if len(resp.Members) > 0 && resp.LeaderID != resp.MemberID {
		t.Fatalf("%s got the member list although %s leads", resp.MemberID, resp.LeaderID)
	}
}

// check holds the machine's own books against each other.
func (w *walk) check(t *rapid.T) {
	m := w.m
	joining, owing := 0, 0
	supporters := make(map[string]int)
	for _, mb := range m.order {
		if m.members[mb.id] != mb || mb.instance != "" && m.static[mb.instance] != mb.id {
			t.Fatalf("member %s is not in the tables", mb.id)
		}
		for _, p := range mb.protocols {
			supporters[p.Name]++
		}
		if mb.joinCall != 0 {
			joining++
		}
		if mb.owesSync {
			owing++
		}
		if mb.syncCall != 0 && m.state != CompletingRebalance {
			t.Fatalf("%s waits in Sync while %s", mb.id, m.state)
		}
		if mb.joinCall != 0 && m.state != PreparingRebalance && len(m.writes) == 0 {
			t.Fatalf("%s waits in Join while %s and nothing is being persisted", mb.id, m.state)
		}
		if mb.joinCall == 0 && mb.syncCall == 0 && mb.deadline.IsZero() {
			t.Fatalf("%s neither waits nor expires", mb.id)
		}
	}
	if joining != m.joining || owing != m.owing || !maps.Equal(supporters, m.supporters) || len(m.members) != len(m.order) {
		t.Fatalf("joining %d owing %d supporters %v, counted %d %d %v", m.joining, m.owing, m.supporters, joining, owing, supporters)
	}
	if (m.members[m.leader] == nil) != (len(m.order) == 0) {
		t.Fatalf("leader %q of %d members", m.leader, len(m.order))
	}
	if m.state == PreparingRebalance && m.joinDeadline.IsZero() {
		t.Fatal("the rebalance has no end")
	}
	if first := m.earliest(); !first.IsZero() && (m.due.IsZero() || m.due.After(first)) {
		t.Fatalf("next tick at %s, needed at %s", m.due, first)
	}
	if m.state == Empty && len(m.order) > 0 || m.state == Stable && len(m.order) == 0 {
		t.Fatalf("%s with %d members", m.state, len(m.order))
	}
	if m.state == Stable || m.state == CompletingRebalance {
		if i := slices.IndexFunc(m.order, func(mb *member) bool { return !mb.supports(m.protocol) && mb.joinCall == 0 }); i >= 0 {
			t.Fatalf("%s does not support the generation's protocol %q", m.order[i].id, m.protocol)
		}
	}
}
