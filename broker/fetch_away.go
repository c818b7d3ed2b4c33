package broker

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A broker that is cut off from the metastore has no news for consumers that read to the end, and would let them wait
// until they read the metadata for another reason: minutes. Once its lease may have run out, when the others no longer
// name it to clients, such a fetch is answered NOT_LEADER_OR_FOLLOWER, so that the consumer asks where to go. Records that
// the broker knows of are served as before.
//
// Where it is the metastore that is away, for all brokers, this moves consumers to and fro for nothing. So it is done in
// steps of awayPause: never many at a time, and all of those of a broker in some minutes.
const awayPause = 20 * time.Millisecond

// pace lets something happen no more often than it is told.
type pace struct {
	mu   sync.Mutex
	next time.Time
}

func (p *pace) allow(now time.Time, pause time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.next.Sub(now); wait > 0 && wait <= pause { // longer: the clock was set back
		return false
	}
	p.next = now.Add(pause)
	return true
}

// sendAway answers a fetch that has nothing to tell with an error, if others may have.
func (f *fetch) sendAway(ctx context.Context, plan *fetchPlan) {
	if plan.urgent || plan.bytes > 0 || ctx.Err() != nil || f.Membership.Held() || !f.knowsOthers() ||
		!f.away.allow(f.Now(), awayPause) || f.refreshed(ctx) {
		return
	}
	for i := range plan.rows {
		plan.rows[i] = plan.rows[i].failed(kerr.NotLeaderForPartition)
	}
}

func (b *Broker) knowsOthers() bool {
	live, self := b.Membership.Live(), b.Membership.Self()
	return len(live) > 1 || len(live) == 1 && live[0].NodeID != self.NodeID
}
