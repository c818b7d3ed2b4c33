package group

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestGroupBoundsWhatItsMembersSay(t *testing.T) {
	m := newMachine(limits{})
	now := time.Unix(1e9, 0)
	call := callID(0)
	join := func(id string, size int) error {
		call++
		m.join(now, call, JoinRequest{
			GroupID: "g", SessionTimeout: time.Minute, ProtocolType: "consumer",
			Protocols: []Protocol{{Name: "range", Metadata: make([]byte, size)}},
		}, id)
		for _, e := range m.takeEffects() {
			if r, ok := e.(reply); ok && r.call == call {
				return r.err
			}
		}
		return nil
	}
	for _, c := range []struct {
		id   string
		size int
		want error
	}{
		{"huge", maxGroupBytes, ErrGroupMaxSize}, {"half", maxGroupBytes/2 - 1000, nil}, {"other half", maxGroupBytes/2 - 1000, nil},
		{"third half", maxGroupBytes / 2, ErrGroupMaxSize},
	} {
		if err := join(c.id, c.size); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.id, err, c.want)
		}
	}
}

// TestGroupBoundsTheMembersThatItWaitsFor: who asks for member ids again and again, with a long client id, does not fill the
// memory.
func TestGroupBoundsTheMembersThatItWaitsFor(t *testing.T) {
	for _, known := range []bool{true, false} {
		m := newMachine(limits{initialDelay: time.Hour})
		now := time.Unix(1e9, 0)
		client := strings.Repeat("c", 32767)
		var err error
		asked := 0
		for ; err == nil; asked++ {
			if asked > maxGroupBytes/len(client)+1 {
				t.Fatalf("known %v: %d members were taken in", known, asked)
			}
			m.join(now, callID(asked+1), JoinRequest{
				GroupID: "g", ClientID: client, SessionTimeout: time.Minute, ProtocolType: "consumer",
				Protocols: []Protocol{{Name: "range"}}, RequireKnownMemberID: known,
			}, fmt.Sprint(client, asked))
			for _, e := range m.takeEffects() {
				if r, ok := e.(reply); ok && !errors.Is(r.err, ErrMemberIDRequired) {
					err = r.err
				}
			}
		}
		if !errors.Is(err, ErrGroupMaxSize) || asked < 400 {
			t.Errorf("known %v: %v after %d", known, err, asked)
		}
		m.tick(now.Add(2 * time.Minute))
		if len(m.pending) != 0 || m.pendingBytes != 0 {
			t.Errorf("%d ids of %d bytes are kept", len(m.pending), m.pendingBytes)
		}
	}
}

func TestConsumerGroupBoundsWhatItsMembersSay(t *testing.T) {
	m := newConsumerMachine(consumerLimits{assignors: DefaultAssignors()})
	join := func(id string, names ...string) error {
		_, err := m.beat(time.Unix(1e9, 0), ConsumerHeartbeatRequest{MemberID: id, RebalanceTimeout: time.Minute, TopicNames: names})
		return err
	}
	long := func(size int) string { return string(make([]byte, size)) }
	many := make([]string, maxGroupBytes/nameBytes) // that are all empty
	for _, c := range []struct {
		id    string
		names []string
		want  error
	}{
		{"huge", []string{long(maxGroupBytes)}, ErrGroupMaxSize},
		{"empty names", many, ErrGroupMaxSize},
		{"half", []string{long(maxGroupBytes / 2)}, nil},
		{"other half", []string{long(maxGroupBytes / 2)}, ErrGroupMaxSize},
		{"most of it", []string{long(maxGroupBytes/2 - 1000)}, nil},
		{"too much", []string{long(1000)}, ErrGroupMaxSize},
	} {
		if err := join(c.id, c.names...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.id, err, c.want)
		}
	}
	// Members of a full group go on.
	half := m.members["half"]
	_, err := m.beat(time.Unix(1e9, 0), ConsumerHeartbeatRequest{MemberID: half.id, Epoch: half.epoch, RebalanceTimeout: -1})
	if err != nil || len(m.members) != 2 {
		t.Errorf("%d members, want 2; heartbeat of one: %v", len(m.members), err)
	}
}

// TestConsumerGroupBoundsAllThatItsMembersSay: also what is no subscription, and what comes after the join.
func TestConsumerGroupBoundsAllThatItsMembersSay(t *testing.T) {
	long := string(make([]byte, maxGroupBytes/4))
	for what, say := range map[string]func(r *ConsumerHeartbeatRequest, member int){
		"racks":      func(r *ConsumerHeartbeatRequest, _ int) { r.Rack = &long },
		"client ids": func(r *ConsumerHeartbeatRequest, _ int) { r.ClientID = long },
		"member ids": func(r *ConsumerHeartbeatRequest, member int) { r.MemberID = fmt.Sprint(long, member) },
		"instances":  func(r *ConsumerHeartbeatRequest, member int) { r.InstanceID = fmt.Sprint(long, member) },
	} {
		m := newConsumerMachine(consumerLimits{assignors: DefaultAssignors()})
		now, refused := time.Unix(1e9, 0), 0
		for i := range 10 {
			req := ConsumerHeartbeatRequest{MemberID: fmt.Sprint("m", i), RebalanceTimeout: time.Minute, TopicNames: []string{"t"}}
			say(&req, i)
			if _, err := m.beat(now, req); errors.Is(err, ErrGroupMaxSize) {
				refused++
			}
		}
		if refused < 6 {
			t.Errorf("%s: %d of 10 members that join are refused", what, refused)
		}
	}
	m := newConsumerMachine(consumerLimits{assignors: DefaultAssignors()})
	now, refused := time.Unix(1e9, 0), 0
	for i := range 10 {
		req := ConsumerHeartbeatRequest{MemberID: fmt.Sprint("m", i), RebalanceTimeout: time.Minute, TopicNames: []string{"t"}}
		if _, err := m.beat(now, req); err != nil {
			t.Fatal(err)
		}
	}
	for _, mb := range m.order {
		_, err := m.beat(now, ConsumerHeartbeatRequest{MemberID: mb.id, Epoch: mb.epoch, RebalanceTimeout: -1, Rack: &long})
		if errors.Is(err, ErrGroupMaxSize) {
			refused++
		}
	}
	if refused < 6 {
		t.Errorf("%d of 10 members that say more later are refused", refused)
	}
}

// TestClassicMembersOfAFullConsumerGroupGoOn: to join again takes nothing.
func TestClassicMembersOfAFullConsumerGroupGoOn(t *testing.T) {
	m := newConsumerMachine(consumerLimits{assignors: DefaultAssignors()})
	now := time.Unix(1e9, 0)
	long := string(make([]byte, maxGroupBytes/3))
	if _, err := m.beat(now, ConsumerHeartbeatRequest{MemberID: "new", RebalanceTimeout: time.Minute, TopicNames: []string{long}}); err != nil {
		t.Fatal(err)
	}
	req := JoinRequest{
		MemberID: "old", SessionTimeout: time.Minute, ProtocolType: consumerType,
		Protocols: []Protocol{{Name: "range", Metadata: append(encodeSubscription(1, []string{"t"}, nil), long...)}},
	}
	for range 3 {
		if _, err := m.joinClassic(now, req, ""); err != nil {
			t.Errorf("join: %v", err)
		}
	}
	req.MemberID = "another"
	if _, err := m.joinClassic(now, req, ""); !errors.Is(err, ErrGroupMaxSize) {
		t.Errorf("join of another: %v", err)
	}
}
