package group

import (
	"context"
	"errors"
	"fmt"

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
		l := Listing{GroupID: r.GroupID, ProtocolType: r.ProtocolType, State: stateNamed(r.StateName)}
		c.inspect(r.GroupID, func(m *machine) { l.ProtocolType, l.State = m.protocolType, m.state })
		list = append(list, l)
	}
	return list, nil
}

// stateNamed reads a state as it is persisted; a group that was never written is empty.
func stateNamed(name string) State {
	if name == Stable.String() {
		return Stable
	}
	return Empty
}

// Describe returns the group. ErrGroupNotFound. It claims nothing.
func (c *Coordinator) Describe(ctx context.Context, groupID string) (Description, error) {
	switch {
	case !validGroupID(groupID):
		return Description{}, ErrInvalidGroupID
	case !c.serves(groupID):
		return Description{}, ErrNotCoordinator
	}
	var d Description
	if c.inspect(groupID, func(m *machine) { d = m.describe(groupID) }) {
		return d, nil
	}
	stored, err := c.groups.ReadGroup(ctx, groupID)
	if errors.Is(err, metastore.ErrGroupNotFound) {
		return Description{}, ErrGroupNotFound
	}
	if err != nil {
		return Description{}, c.readFailed(ctx, fmt.Errorf("describe group %q: %w", groupID, err))
	}
	r, err := decodeStored(stored)
	if err != nil {
		return Description{}, c.readFailed(ctx, err)
	}
	m := newMachine(limits{})
	m.restore(c.opts.Now(), r)
	return m.describe(groupID), nil
}

// inspect looks at a group that is in memory; false if it is not.
func (c *Coordinator) inspect(groupID string, look func(*machine)) bool {
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
