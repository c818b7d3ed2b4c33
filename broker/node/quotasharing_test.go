package node

import (
	"context"
	"testing"
	"time"

	"github.com/runnel-io/runnel/broker/quota"
)

// TestQuotasOfAClusterAreShared: what a client takes of one node leaves little of its quota at the other, until the first
// is gone.
func TestQuotasOfAClusterAreShared(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	stores := memoryStores()
	keys := map[string]string{"quota.scope": "cluster", "peer.listen": "127.0.0.1:0", "peer.secret": "a secret of the tests alone"}
	a, _ := startWith(t, stores, keys)
	b, stopB := startWith(t, stores, keys)
	eventually(t, "both are in view", func() bool { return len(a.members.Live()) == 2 && len(b.members.Live()) == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	setQuota(ctx, t, a, "consumer_byte_rate", limit)
	who := quota.Client{ID: "x"}
	eventually(t, "the quota is known", func() bool { return b.quotas.Meter(quota.Fetch, who, time.Now()).Limited() })
	room := func() float64 {
		room, _ := a.quotas.Meter(quota.Fetch, who, a.members.Now()).Room(a.members.Now())
		return room / (10 * limit) // of a window
	}
	if got := room(); got < 0.45 {
		t.Errorf("before anybody takes any, %.2f of it are there", got)
	}
	eventually(t, "little is left at the other", func() bool {
		b.quotas.Meter(quota.Fetch, who, b.members.Now()).Record(limit/100, b.members.Now())
		return room() < 0.2
	})
	stopB()
	eventually(t, "all of it is left again", func() bool { return room() > 0.9 })
}
