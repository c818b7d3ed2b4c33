package fault

import (
	"context"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

func ofBroker(op Op, id metastore.NodeID) Call { return Call{Op: op, NodeID: id} }

// ClusterID implements metastore.Brokers.
func (s *Store) ClusterID(ctx context.Context) (string, error) {
	return ask(ctx, s, about(ClusterID), s.inner.ClusterID, nil)
}

// Clock implements metastore.Brokers.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	return ask(ctx, s, about(Clock), s.inner.Clock, nil)
}

// RegisterBroker implements metastore.Brokers.
func (s *Store) RegisterBroker(ctx context.Context, b metastore.Broker, lease time.Duration) (metastore.Broker, error) {
	return ask(ctx, s, ofBroker(RegisterBroker, b.NodeID), func(ctx context.Context) (metastore.Broker, error) {
		return s.inner.RegisterBroker(ctx, b, lease)
	}, nil)
}

// RenewBroker implements metastore.Brokers.
func (s *Store) RenewBroker(ctx context.Context, id metastore.NodeID, epoch int64, lease time.Duration) error {
	return s.tell(ctx, ofBroker(RenewBroker, id), func(ctx context.Context) error {
		return s.inner.RenewBroker(ctx, id, epoch, lease)
	}, nil)
}

// LeaveBroker implements metastore.Brokers.
func (s *Store) LeaveBroker(ctx context.Context, id metastore.NodeID, epoch int64) error {
	return s.tell(ctx, ofBroker(LeaveBroker, id), func(ctx context.Context) error {
		return s.inner.LeaveBroker(ctx, id, epoch)
	}, nil)
}

// UnregisterBroker implements metastore.Brokers.
func (s *Store) UnregisterBroker(ctx context.Context, id metastore.NodeID, epoch int64) error {
	return s.tell(ctx, ofBroker(UnregisterBroker, id), func(ctx context.Context) error {
		return s.inner.UnregisterBroker(ctx, id, epoch)
	}, nil)
}

// LiveBrokers implements metastore.Brokers.
func (s *Store) LiveBrokers(ctx context.Context) ([]metastore.Broker, error) {
	return ask(ctx, s, about(LiveBrokers), s.inner.LiveBrokers, nil)
}

// HoldLease implements metastore.Leases.
func (s *Store) HoldLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64, length time.Duration) (metastore.Lease, error) {
	return ask(ctx, s, Call{Op: HoldLease, Lease: name, NodeID: holder}, func(ctx context.Context) (metastore.Lease, error) {
		return s.inner.HoldLease(ctx, name, holder, holderEpoch, length)
	}, nil)
}

// ReleaseLease implements metastore.Leases.
func (s *Store) ReleaseLease(ctx context.Context, name string, holder metastore.NodeID, holderEpoch int64) error {
	return s.tell(ctx, Call{Op: ReleaseLease, Lease: name, NodeID: holder}, func(ctx context.Context) error {
		return s.inner.ReleaseLease(ctx, name, holder, holderEpoch)
	}, nil)
}
