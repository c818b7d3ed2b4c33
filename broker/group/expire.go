package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Committed offsets expire as in Kafka: all of a group OffsetsRetention after its last member left; each on its own after
// its commit in a group that never had members, and in a group of consumers that is Stable if no member is subscribed to
// the topic. An empty group without offsets goes with them.
//
// The owner of a group sees to it. It looks at the metastore's groups page by page, and loads those that may have
// something to expire, so groups that nobody has used since the last owner died expire too, and members that died with it.
// Nothing is decided by what a page says: the machine decides, and the statement that deletes looks at the time of each
// offset again.

const (
	expirePage = 256  // groups per look
	expireMost = 2000 // groups that are seen to in a round; the next goes on from there
)

// expireLoop runs until ctx ends.
func (c *Coordinator) expireLoop(ctx context.Context) {
	tick := time.NewTicker(c.opts.ExpireInterval)
	defer tick.Stop()
	from := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var err error
		if from, err = c.expireOnce(ctx, from); err != nil && ctx.Err() == nil {
			c.opts.Logger.Warn("expiry of offsets failed", "error", err)
		}
	}
}

// expireOnce sees to the groups from an id on, and returns where the next round begins: at the first, if it came to the
// end. A group that fails does not keep the others from it.
func (c *Coordinator) expireOnce(ctx context.Context, from string) (next string, err error) {
	for seen := 0; seen < expireMost; {
		ages, pageErr := c.groups.GroupAges(ctx, from, expirePage)
		if pageErr != nil {
			return from, errors.Join(err, pageErr)
		}
		for _, age := range ages {
			if ctx.Err() != nil {
				return from, ctx.Err()
			}
			from = age.GroupID + "\x01" // no text lies between
			if !c.opts.Owns(age.GroupID) || !mayExpire(age, c.opts.Clock(), c.opts.OffsetsRetention) {
				continue
			}
			seen++
			if groupErr := ignoreMoved(c.expireGroup(ctx, age.GroupID)); groupErr != nil {
				err = errors.Join(err, fmt.Errorf("expire offsets of group %q: %w", age.GroupID, groupErr))
			}
		}
		if len(ages) < expirePage {
			return "", err
		}
	}
	return from, err
}

// mayExpire tells whether a group is worth loading.
func mayExpire(age metastore.GroupAge, now time.Time, retention time.Duration) bool {
	old := func(t time.Time) bool { return !t.IsZero() && now.Sub(t) >= retention }
	kind, state := namedState(age.StateName)
	switch empty := state == Empty; {
	case empty && age.OldestCommit.IsZero():
		return true
	case empty && kind == ClassicType && age.ProtocolType != "" && !age.WrittenAt.IsZero():
		return old(age.WrittenAt)
	default:
		// With members, also one that nobody has loaded since they died with their coordinator: that starts their sessions.
		return old(age.OldestCommit) || old(age.WrittenAt)
	}
}

// expireGroup forgets what is old, and the group if that was all.
func (c *Coordinator) expireGroup(ctx context.Context, id string) error {
	if c.opts.Pending(id) {
		return nil
	}
	var due expiry
	var some bool
	var epoch metastore.GroupEpoch
	var end func()
	g, err := c.with(ctx, id, false, func(g *loaded) {
		if due, some = g.machine.expiry(c.opts.Now(), c.opts.OffsetsRetention); some {
			due.through = c.opts.shared(due.through)
			epoch, end = g.epoch, g.begin()
		}
	})
	if err != nil || !some {
		return err
	}
	left, err := c.expireOffsets(ctx, g, epoch, due)
	end()
	if err != nil || left > 0 {
		return err
	}
	return c.vanish(ctx, g, epoch, due)
}

func (c *Coordinator) expireOffsets(ctx context.Context, g *loaded, epoch metastore.GroupEpoch, due expiry) (left int, err error) {
	err = c.write(ctx, g, "expire offsets", func(ctx context.Context) (err error) {
		left, err = c.groups.ExpireOffsets(ctx, g.id, epoch, due.through, due.except)
		return err
	})
	return left, err
}

// vanish deletes a group without members or offsets. It is made Dead first, so that nobody commits from here on; whoever
// did before, after the offsets were counted, is found by counting again.
func (c *Coordinator) vanish(ctx context.Context, g *loaded, epoch metastore.GroupEpoch, due expiry) error {
	idle := false
	err := c.act(g, func(m groupMachine) {
		// What a transaction commits later would have no group.
		if idle = m.idle() && g.busy == 0 && !c.opts.Pending(g.id); idle {
			_ = m.kill() // an idle group is empty
		}
	})
	if err != nil || !idle {
		return err
	}
	left, err := c.expireOffsets(ctx, g, epoch, due)
	if err == nil && left == 0 {
		err = c.write(ctx, g, "delete group", func(ctx context.Context) error { return c.groups.DeleteGroup(ctx, g.id, epoch) })
	}
	c.drop(g, errUnloaded)
	if err == nil && left == 0 {
		c.opts.Logger.Info("group without members and offsets removed", "group", g.id)
	}
	return err
}

// ignoreMoved: a group that is gone, or that another broker has now, is not ours to expire.
func ignoreMoved(err error) error {
	if errors.Is(err, ErrGroupNotFound) || errors.Is(err, ErrNotCoordinator) || errors.Is(err, errUnloaded) {
		return nil
	}
	return err
}
