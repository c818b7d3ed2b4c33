package group

import (
	"context"
	"slices"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// offsetWrite is a change of a group's committed offsets that its machine has let through: offsets to set, or to remove, or
// none, which waits for those before it.
//
// The changes of a group are written one call after the other, in the order in which they were let through; commits that wait
// share a call. At once they would be faster, and go wrong: (1) a commit of 27 hangs on its way to the metastore; (2) its
// client, which has no answer, asks again and has one, and then commits 31, on other connections; (3) the first call arrives,
// under a claim that still stands, and the group is back at 27. A call that fails, or hangs for too long, costs the claim, so
// it does not land after what comes next.
type offsetWrite struct {
	set    []metastore.CommittedOffset
	remove []metastore.TopicPartition

	turn chan struct{} // of capacity 1: this one is to be written, and maybe others behind it
	done chan error    // of capacity 1: it was written together with one before it, or was not
}

// offsetsAtOnce is about how many offsets of commits share a call.
const offsetsAtOnce = 10_000

// enqueue puts a write into the group's line. The lock is held.
func (g *loaded) enqueue(w *offsetWrite) {
	w.turn, w.done = make(chan struct{}, 1), make(chan error, 1)
	g.line = append(g.line, w)
	if len(g.line) == 1 {
		w.turn <- struct{}{}
	}
}

// writeOffsets returns when the write, which is in g's line, is durable, or failed. It takes no longer than the call that is
// under way and the write's own.
func (c *Coordinator) writeOffsets(ctx context.Context, g *loaded, w *offsetWrite, verb string) error {
	select {
	case err := <-w.done:
		return err
	case <-w.turn:
	}
	epoch, n, err := g.front()
	if err != nil {
		g.dequeue(n, err)
		return err
	}
	ended := false
	defer func() {
		if !ended { // a panic: the outcome is in doubt, and the others must not wait for ever
			err = ErrCoordinatorUnavailable
			c.drop(g, err)
		}
		g.dequeue(n, err)
	}()
	err = c.writeFront(ctx, g, epoch, n, verb)
	ended = true
	return err
}

// front tells how many writes at the front of the line go in one call. The group may be gone, unloaded as well: a sweep that
// found it idle, or Delete, comes between a commit and its write.
func (g *loaded) front() (epoch metastore.GroupEpoch, n int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	offsets := 0
	for n < len(g.line) && (n == 0 || g.line[0].set != nil && g.line[n].set != nil && offsets < offsetsAtOnce) {
		offsets += len(g.line[n].set)
		n++
	}
	return g.epoch, n, answerOf(g.gone)
}

func (c *Coordinator) writeFront(ctx context.Context, g *loaded, epoch metastore.GroupEpoch, n int, verb string) error {
	g.mu.Lock()
	first, set := g.line[0], merged(g.line[:n])
	g.mu.Unlock()
	if set == nil && first.remove == nil {
		return nil
	}
	return c.write(ctx, g, verb, func(ctx context.Context) error {
		switch {
		case set == nil:
			return c.groups.DeleteOffsets(ctx, g.id, epoch, first.remove)
		case planted.Is(planted.OffsetsAckedEarly):
			go func() { _ = c.groups.CommitOffsets(context.WithoutCancel(ctx), g.id, epoch, set) }()
			return nil
		}
		if err := c.supersede(ctx, g, epoch, set); err != nil {
			return err
		}
		return c.groups.CommitOffsets(ctx, g.id, epoch, set)
	})
}

// supersede sees to it that what transactions hold does not replace, at their end, offsets that are about to be written: these are
// newer. It comes first, since a transaction may end in between.
func (c *Coordinator) supersede(ctx context.Context, g *loaded, epoch metastore.GroupEpoch, set []metastore.CommittedOffset) error {
	if !g.current { // nobody else has transactions hold offsets since the claim, so one look is enough
		if err := c.opts.CatchUp(ctx); err != nil {
			return err
		}
		g.current = true
	}
	if !c.opts.Pending(g.id) {
		return nil
	}
	return c.opts.Supersede(ctx, g.id, epoch, set)
}

// merged are the offsets of commits, of each partition the last.
func merged(commits []*offsetWrite) []metastore.CommittedOffset {
	if len(commits) == 1 {
		return commits[0].set
	}
	var all []metastore.CommittedOffset
	at := make(map[metastore.TopicPartition]int)
	for _, w := range commits {
		for _, o := range w.set {
			if i, ok := at[o.TopicPartition]; ok {
				all[i] = o
				continue
			}
			at[o.TopicPartition] = len(all)
			all = append(all, o)
		}
	}
	return all
}

// dequeue answers the first n writes of the line, but for the first, which is the caller's, and gives the turn to the next.
func (g *loaded) dequeue(n int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.line[1:n] {
		w.done <- err
	}
	g.line = slices.Delete(g.line, 0, n)
	if len(g.line) > 0 {
		g.line[0].turn <- struct{}{}
	}
}
