package memory

import (
	"context"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// HoldLease implements metastore.Leases. The epoch is durable, the lease is not.
func (s *Store) HoldLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64, length time.Duration) (metastore.Lease, error) {
	var stands metastore.Lease
	err := s.update(ctx, func(now time.Time) (change, error) {
		held, ok := s.roles[name]
		mine := ok && held.HeldBy(holder, holderEpoch)
		restarted := held.Holder == holder && held.HolderEpoch < holderEpoch
		if ok && !mine && !restarted && held.until.After(now) {
			stands = held.Lease
			return nil, nil
		}
		stands = metastore.Lease{Name: name, Holder: holder, HolderEpoch: holderEpoch, Epoch: s.state.leaseEpochs[name]}
		var taken change
		if !mine {
			stands.Epoch++
			taken = &leaseEpoch{name, stands.Epoch}
		}
		s.roles[name] = role{stands, now.Add(length)}
		return taken, nil
	})
	if err != nil {
		return metastore.Lease{}, err
	}
	return stands, nil
}

// ReleaseLease implements metastore.Leases.
func (s *Store) ReleaseLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64) error {
	return s.view(ctx, func(time.Time) error {
		if held, ok := s.roles[name]; ok && held.HeldBy(holder, holderEpoch) {
			delete(s.roles, name)
		}
		return nil
	})
}
