package node

import (
	"context"
	"errors"
	"time"
)

const (
	// quietFor is how long nobody has asked for anything before a broker that has handed over believes that clients are
	// elsewhere. It is longer than the pause before their next attempt, 100 ms by default in most.
	quietFor = 250 * time.Millisecond
	// longestHandOver bounds the wait for it: some clients never go away.
	longestHandOver = 3 * time.Second
)

// The drain's time is for everything: each step of the hand-over may take a third of it, and the write path has a sixth at
// the end for what nobody waits for any more.
func stepTime(drain time.Duration) time.Duration    { return drain / 3 }
func requestTime(drain time.Duration) time.Duration { return drain - writerTime(drain) }
func writerTime(drain time.Duration) time.Duration  { return drain / 6 }

// handOver sends clients to the other brokers before their connections end, if there are any of both: first the others
// are told, and everything is served as ever until they know (see cluster.Membership); then requests for partitions and
// groups are refused with errors upon which clients look for those who have them now. It returns when clients have gone,
// or when it has taken long enough.
func (n *Node) handOver(ctx context.Context, stopGroups func()) {
	step := stepTime(n.opts.Config.Drain.Timeout)
	if n.server.Connections() == 0 || step < n.members.Stale() || !n.leave(ctx, step) {
		return
	}
	n.log.Info("handing over to the other brokers")
	n.members.HandOver()
	stopGroups()
	n.writer.Hurry()
	ctx, cancel := context.WithTimeout(ctx, min(longestHandOver, step))
	defer cancel()
	n.server.AwaitQuiet(ctx, quietFor)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		n.log.Info("some clients did not go to the other brokers", "connections", n.server.Connections())
	}
}

func (n *Node) leave(ctx context.Context, atMost time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	return n.members.Leave(ctx)
}
