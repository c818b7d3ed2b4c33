package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// ClusterID implements metastore.Brokers.
func (s *Store) ClusterID(ctx context.Context) (string, error) {
	var id string
	err := s.view(ctx, func(time.Time) error {
		id = s.state.cluster
		return nil
	})
	return id, err
}

// Clock implements metastore.Brokers.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	var clock time.Time
	err := s.view(ctx, func(now time.Time) error {
		clock = now
		return nil
	})
	return clock, err
}

// RegisterBroker implements metastore.Brokers. The epoch is durable, the lease is not.
func (s *Store) RegisterBroker(ctx context.Context, b metastore.Broker, length time.Duration) (metastore.Broker, error) {
	err := s.update(ctx, func(now time.Time) (change, error) {
		if b.NodeID == metastore.AnyNodeID {
			b.NodeID = s.freeNodeID(b, now)
		}
		if held, ok := s.leases[b.NodeID]; ok && held.until.After(now) && !sameAddress(held.Broker, b) {
			return nil, fmt.Errorf("register broker %d: held by %s:%d: %w",
				b.NodeID, held.Host, held.Port, metastore.ErrNodeIDInUse)
		}
		b.Listeners = slices.Clone(b.Listeners)
		b.Epoch, b.Leaving = s.state.brokerEpochs[b.NodeID]+1, false
		s.leases[b.NodeID] = lease{b, now.Add(length)}
		return &brokerEpoch{b.NodeID, b.Epoch}, nil
	})
	if err != nil {
		return metastore.Broker{}, err
	}
	return b, nil
}

// freeNodeID is the id that a live broker of the same address holds, else the lowest without a live lease.
func (s *Store) freeNodeID(b metastore.Broker, now time.Time) metastore.NodeID {
	var lowest metastore.NodeID
	for _, held := range s.live(now) {
		if sameAddress(held, b) {
			return held.NodeID
		}
		if held.NodeID == lowest {
			lowest++
		}
	}
	return lowest
}

// sameAddress tells whether b can only be a restart of a. Brokers that name no address are never the same.
func sameAddress(a, b metastore.Broker) bool {
	return a.Host != "" && a.Host == b.Host && a.Port == b.Port
}

// RenewBroker implements metastore.Brokers.
func (s *Store) RenewBroker(ctx context.Context, id metastore.NodeID, epoch int64, length time.Duration) error {
	return s.view(ctx, func(now time.Time) error {
		held, ok := s.leases[id]
		if !ok || held.Epoch != epoch {
			return fmt.Errorf("renew broker %d: %w", id, metastore.ErrFenced)
		}
		held.until = now.Add(length)
		s.leases[id] = held
		return nil
	})
}

// LeaveBroker implements metastore.Brokers.
func (s *Store) LeaveBroker(ctx context.Context, id metastore.NodeID, epoch int64) error {
	return s.view(ctx, func(time.Time) error {
		held, ok := s.leases[id]
		if !ok || held.Epoch != epoch {
			return fmt.Errorf("mark broker %d as leaving: %w", id, metastore.ErrFenced)
		}
		held.Leaving = true
		s.leases[id] = held
		return nil
	})
}

// UnregisterBroker implements metastore.Brokers.
func (s *Store) UnregisterBroker(ctx context.Context, id metastore.NodeID, epoch int64) error {
	return s.view(ctx, func(time.Time) error {
		if held, ok := s.leases[id]; ok && held.Epoch == epoch {
			delete(s.leases, id)
		}
		return nil
	})
}

// LiveBrokers implements metastore.Brokers.
func (s *Store) LiveBrokers(ctx context.Context) ([]metastore.Broker, error) {
	var live []metastore.Broker
	err := s.view(ctx, func(now time.Time) error {
		live = s.live(now)
		return nil
	})
	return live, err
}

func (s *Store) live(now time.Time) []metastore.Broker {
	var live []metastore.Broker
	for _, held := range s.leases {
		if held.until.After(now) {
			live = append(live, held.Broker)
		}
	}
	slices.SortFunc(live, func(a, b metastore.Broker) int { return int(a.NodeID) - int(b.NodeID) })
	return live
}
