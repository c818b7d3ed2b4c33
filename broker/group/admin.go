package group

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/runnel-io/runnel/metastore"
)

// List returns the groups that this broker coordinates, by id. It claims nothing.
func (c *Coordinator) List(ctx context.Context) ([]Listing, error) {
	stored, err := c.groups.ListGroups(ctx)
	if err != nil {
		return nil, c.readFailed(ctx, fmt.Errorf("list groups: %w", err))
	}
	var list []Listing
	for _, r := range stored {
		if !c.opts.Owns(r.GroupID) {
			continue
		}
		l := Listing{ProtocolType: r.ProtocolType}
		l.Type, l.State = namedState(r.StateName)
		c.inspect(r.GroupID, func(m groupMachine) { l = m.listing() })
		l.GroupID = r.GroupID
		list = append(list, l)
	}
	return list, nil
}

// storedName is how a group's type and state are named in the metastore, for listings; namedState reads it. A group that was
// never written is classic and empty.
func storedName(t Type, s State) string {
	if t == ConsumerType {
		return consumerPrefix + s.String()
	}
	return s.String()
}

const consumerPrefix = "consumer:"

func namedState(name string) (t Type, s State) {
	if rest, ok := strings.CutPrefix(name, consumerPrefix); ok {
		t, name = ConsumerType, rest
	}
	for _, known := range []State{Stable, Assigning, Reconciling} {
		if name == known.String() {
			return t, known
		}
	}
	return t, Empty
}

// Describe returns a classic group. ErrGroupNotFound, also if it is a consumer group. It claims nothing.
func (c *Coordinator) Describe(ctx context.Context, groupID string) (d Description, err error) {
	return d, c.look(ctx, groupID, func(m groupMachine) error {
		d, err = m.describeClassic(groupID)
		return err
	})
}

// DescribeConsumer returns a consumer group. ErrGroupNotFound, also if it is a classic group; ErrInvalidGroupID. It claims nothing.
func (c *Coordinator) DescribeConsumer(ctx context.Context, groupID string) (d ConsumerDescription, err error) {
	if groupID == "" {
		return d, ErrInvalidGroupID // no consumer group has that name, but a classic one may
	}
	return d, c.look(ctx, groupID, func(m groupMachine) error {
		d, err = m.describeConsumer(groupID)
		return err
	})
}

// look shows the group's machine: the one in memory, or else one made of what is stored.
func (c *Coordinator) look(ctx context.Context, groupID string, at func(groupMachine) error) error {
	switch {
	case !validGroupID(groupID):
		return ErrInvalidGroupID
	case !c.serves(groupID):
		return ErrNotCoordinator
	}
	var outcome error
	if c.inspect(groupID, func(m groupMachine) { outcome = at(m) }) {
		return outcome
	}
	stored, err := c.groups.ReadGroup(ctx, groupID)
	if errors.Is(err, metastore.ErrGroupNotFound) {
		return ErrGroupNotFound
	}
	if err != nil {
		return c.readFailed(ctx, fmt.Errorf("describe group %q: %w", groupID, err))
	}
	m, err := c.machineOf(stored)
	if err != nil {
		return c.readFailed(ctx, err)
	}
	return at(m)
}

// inspect looks at a group that is in memory; false if it is not.
func (c *Coordinator) inspect(groupID string, look func(groupMachine)) bool {
	c.mu.Lock()
	g := c.loaded[groupID]
	c.mu.Unlock()
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone != nil || g.machine == nil {
		return false
	}
	look(g.machine)
	return true
}

// Delete removes a group without members, and its offsets. ErrGroupNotFound, ErrNonEmptyGroup.
func (c *Coordinator) Delete(ctx context.Context, groupID string) error {
	if !validGroupID(groupID) {
		return ErrInvalidGroupID
	}
	var refused error
	var epoch metastore.GroupEpoch
	g, err := c.with(ctx, groupID, false, func(g *loaded) {
		epoch = g.epoch
		if c.opts.Pending(groupID) {
			refused = ErrNonEmptyGroup // what a transaction commits later would have no group
			return
		}
		refused = g.machine.kill()
	})
	switch {
	case err != nil:
		return err
	case refused != nil:
		return refused
	}
	err = c.write(ctx, g, "delete group", func(ctx context.Context) error {
		return c.groups.DeleteGroup(ctx, groupID, epoch)
	})
	if err != nil {
		return err
	}
	c.drop(g, errUnloaded)
	return nil
}

// kill makes the group Dead before it is deleted: requests that come while that happens are told to come again.
func (m *machine) kill() error {
	switch m.state {
	case Empty:
		m.fail(ErrCoordinatorUnavailable)
		return nil
	case Dead:
		return ErrGroupNotFound
	default:
		return ErrNonEmptyGroup
	}
}

// readFailed is the answer to a read that failed: the request's own end, or that of the metastore.
func (c *Coordinator) readFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrCoordinatorUnavailable, err)
}
