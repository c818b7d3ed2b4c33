package group

import (
	"bytes"
	"context"
	"errors"
	"maps"

	"github.com/google/uuid"
)

// Join waits until the member's generation is complete, which takes up to its rebalance timeout, or until ctx ends; the
// member then stays in the group until its session ends.
func (c *Coordinator) Join(ctx context.Context, req JoinRequest) (JoinResponse, error) {
	switch {
	case req.GroupID == "" || !validGroupID(req.GroupID):
		return refusal(req), ErrInvalidGroupID
	case req.SessionTimeout < c.opts.MinSessionTimeout || req.SessionTimeout > c.opts.MaxSessionTimeout:
		return refusal(req), ErrInvalidSessionTimeout
	case !isText(req.ProtocolType):
		return refusal(req), ErrInconsistentProtocol
	}
	req.Protocols = cloneProtocols(req.Protocols)
	newID := newMemberID(req)
	r, err := c.callOn(ctx, req.GroupID, req.MemberID == "", func(call callID, g *loaded) {
		c.classicIfEmpty(g)
		g.machine.join(c.opts.Now(), call, req, newID)
	})
	err = memberless(err)
	if err != nil && r.join.MemberID == "" {
		return refusal(req), err
	}
	return r.join, err
}

// refusal is what Join answers beside most errors.
func refusal(req JoinRequest) JoinResponse {
	return JoinResponse{MemberID: req.MemberID, Generation: NoGeneration}
}

// newMemberID makes a member id as Kafka does: something that a person recognises, and a UUID.
func newMemberID(req JoinRequest) string {
	name := req.ClientID
	if req.InstanceID != "" {
		name = req.InstanceID
	}
	return name + "-" + uuid.NewString()
}

func cloneProtocols(from []Protocol) []Protocol {
	to := make([]Protocol, len(from))
	for i, p := range from {
		to[i] = Protocol{p.Name, bytes.Clone(p.Metadata)}
	}
	return to
}

// Sync waits until the leader's assignment is durable, or until ctx ends.
func (c *Coordinator) Sync(ctx context.Context, req SyncRequest) (SyncResponse, error) {
	if req.GroupID == "" || !validGroupID(req.GroupID) {
		return SyncResponse{}, ErrInvalidGroupID
	}
	req.Assignments = maps.Clone(req.Assignments)
	for id, a := range req.Assignments {
		req.Assignments[id] = bytes.Clone(a)
	}
	r, err := c.call(ctx, req.GroupID, false, func(call callID, m groupMachine) { m.sync(c.opts.Now(), call, req) })
	return r.sync, err
}

// call feeds an event that is answered later, and waits for the answer.
func (c *Coordinator) call(ctx context.Context, id string, create bool, event func(callID, groupMachine)) (reply, error) {
	r, err := c.callOn(ctx, id, create, func(call callID, g *loaded) { event(call, g.machine) })
	return r, memberless(err)
}

// callOn is call for events that may change the group's protocol.
func (c *Coordinator) callOn(ctx context.Context, id string, create bool, event func(callID, *loaded)) (reply, error) {
	g, asked, err := c.ask(ctx, id, create, event)
	if err != nil {
		return reply{}, err
	}
	return g.await(ctx, asked)
}

// ask feeds an event that is answered now or later.
func (c *Coordinator) ask(ctx context.Context, id string, create bool, event func(callID, *loaded)) (*loaded, *call, error) {
	asked := &call{id: callID(c.calls.Add(1))}
	g, err := c.with(ctx, id, create, func(g *loaded) {
		g.asking = asked
		event(asked.id, g)
	})
	return g, asked, err
}

// await returns the answer.
func (g *loaded) await(ctx context.Context, asked *call) (reply, error) {
	if asked.answered {
		return asked.reply, answerOf(asked.reply.err)
	}
	select {
	case r := <-asked.later:
		return r, answerOf(r.err)
	case <-ctx.Done():
		g.forget(asked.id)
		return reply{}, ctx.Err()
	}
}

// answerOf is what the client is told: a call waits only in a group with members, or that is written to, which is not
// unloaded, but for a race with Delete or a sweep.
func answerOf(err error) error {
	if errors.Is(err, errUnloaded) {
		return ErrCoordinatorUnavailable
	}
	return err
}

// memberless turns the absence of the group into that of the member.
func memberless(err error) error {
	if errors.Is(err, ErrGroupNotFound) {
		return ErrUnknownMember
	}
	return err
}

// Heartbeat keeps a member's session alive and tells whether it has to join again. It waits only for its group to be loaded.
func (c *Coordinator) Heartbeat(ctx context.Context, req HeartbeatRequest) error {
	if req.GroupID == "" || !validGroupID(req.GroupID) {
		return ErrInvalidGroupID
	}
	var outcome error
	_, err := c.with(ctx, req.GroupID, false, func(g *loaded) { outcome = g.machine.heartbeat(c.opts.Now(), req) })
	if err != nil {
		return memberless(err)
	}
	return outcome
}

// Leave removes members at once and returns the outcome for each.
func (c *Coordinator) Leave(ctx context.Context, req LeaveRequest) ([]error, error) {
	if req.GroupID == "" || !validGroupID(req.GroupID) {
		return nil, ErrInvalidGroupID
	}
	var outcomes []error
	_, err := c.with(ctx, req.GroupID, false, func(g *loaded) { outcomes = g.machine.leave(c.opts.Now(), req.Members) })
	if errors.Is(err, ErrGroupNotFound) {
		outcomes, err = make([]error, len(req.Members)), nil
		for i := range outcomes {
			outcomes[i] = ErrUnknownMember
		}
	}
	return outcomes, err
}
