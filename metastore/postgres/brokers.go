package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/metastore"
)

// registerSQL takes the node id $1, or chooses one if that is negative: the one that a live broker of the same address
// holds, else the lowest without a live lease. No row comes back if a live broker holds the id.
const registerSQL = `
with live as (
	select node_id, host, port from brokers where lease_until > now()),
chosen as (
	select case when $1::integer >= 0 then $1::integer
	            else coalesce(
	                (select min(node_id) from live where host = $2::text and port = $3::integer and host <> ''),
	                (select min(free) from (select 0 as free union all select node_id + 1 from live where node_id < 2147483647) as f
	                 where free not in (select node_id from live)))
	       end as node_id)
insert into brokers as held (node_id, epoch, host, port, zone, version, peer_host, peer_port, listeners, registered_at, lease_until)
select node_id, 1, $2::text, $3::integer, $4::text, $5::text, $6::text, $7::integer, $8::text::jsonb, now(), now() + $9::bigint * interval '1 microsecond'
from chosen
on conflict (node_id) do update
set epoch = held.epoch + 1, host = excluded.host, port = excluded.port, zone = excluded.zone, version = excluded.version,
    peer_host = excluded.peer_host, peer_port = excluded.peer_port, listeners = excluded.listeners,
    registered_at = excluded.registered_at, lease_until = excluded.lease_until, leaving = false
where held.lease_until is null or held.lease_until <= now()
   or (held.host = excluded.host and held.port = excluded.port and held.host <> '')
returning node_id, epoch`

// maxRegisterAttempts bounds the races for the lowest free id; each that is lost was won by another broker.
const maxRegisterAttempts = 100

// RegisterBroker implements metastore.Brokers.
func (s *Store) RegisterBroker(ctx context.Context, b metastore.Broker, lease time.Duration) (metastore.Broker, error) {
	attempts := 1
	if b.NodeID == metastore.AnyNodeID {
		attempts = maxRegisterAttempts
	}
	listeners, err := encodeListeners(b.Listeners)
	if err != nil {
		return metastore.Broker{}, fmt.Errorf("register broker %d: %w", b.NodeID, err)
	}
	err = s.call(ctx, fmt.Sprintf("register broker %d", b.NodeID), func(ctx context.Context) error {
		for range attempts {
			err := s.background.row(ctx, []any{&b.NodeID, &b.Epoch}, registerSQL,
				int32(b.NodeID), b.Host, b.Port, b.Zone, b.Version, b.PeerHost, b.PeerPort, listeners, lease.Microseconds())
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
		return metastore.ErrNodeIDInUse
	})
	if err != nil {
		return metastore.Broker{}, err
	}
	b.Leaving = false
	return b, nil
}

const clockSQL = `select clock_timestamp()`

// Clock implements metastore.Brokers.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	var now time.Time
	err := s.call(ctx, "read clock", func(ctx context.Context) error {
		return s.background.row(ctx, []any{&now}, clockSQL)
	})
	return now, err
}

const renewSQL = `
update brokers set lease_until = now() + $3::bigint * interval '1 microsecond'
where node_id = $1::integer and epoch = $2::bigint and lease_until is not null`

// RenewBroker implements metastore.Brokers.
func (s *Store) RenewBroker(ctx context.Context, id metastore.NodeID, epoch int64, lease time.Duration) error {
	return s.call(ctx, fmt.Sprintf("renew broker %d", id), func(ctx context.Context) error {
		return s.background.affects(ctx, metastore.ErrFenced, renewSQL, int32(id), epoch, lease.Microseconds())
	})
}

const leaveSQL = `
update brokers set leaving = true
where node_id = $1::integer and epoch = $2::bigint and lease_until is not null`

// LeaveBroker implements metastore.Brokers.
func (s *Store) LeaveBroker(ctx context.Context, id metastore.NodeID, epoch int64) error {
	return s.call(ctx, fmt.Sprintf("mark broker %d as leaving", id), func(ctx context.Context) error {
		return s.background.affects(ctx, metastore.ErrFenced, leaveSQL, int32(id), epoch)
	})
}

const unregisterSQL = `update brokers set lease_until = null where node_id = $1::integer and epoch = $2::bigint`

// UnregisterBroker implements metastore.Brokers.
func (s *Store) UnregisterBroker(ctx context.Context, id metastore.NodeID, epoch int64) error {
	return s.call(ctx, fmt.Sprintf("unregister broker %d", id), func(ctx context.Context) error {
		return s.background.affects(ctx, nil, unregisterSQL, int32(id), epoch)
	})
}

const liveBrokersSQL = `
select node_id, epoch, host, port, zone, version, peer_host, peer_port, leaving, listeners::text
from brokers where lease_until > now() order by node_id`

// LiveBrokers implements metastore.Brokers.
func (s *Store) LiveBrokers(ctx context.Context) ([]metastore.Broker, error) {
	var live []metastore.Broker
	err := s.call(ctx, "list live brokers", func(ctx context.Context) (err error) {
		live, err = collect(ctx, s.background, scanBroker, liveBrokersSQL)
		return err
	})
	return live, err
}

func scanBroker(row pgx.CollectableRow) (metastore.Broker, error) {
	var b metastore.Broker
	var listeners string
	err := row.Scan(&b.NodeID, &b.Epoch, &b.Host, &b.Port, &b.Zone, &b.Version, &b.PeerHost, &b.PeerPort, &b.Leaving, &listeners)
	if err == nil {
		b.Listeners, err = decodeListeners(listeners, b.Host, b.Port)
	}
	return b, err
}
