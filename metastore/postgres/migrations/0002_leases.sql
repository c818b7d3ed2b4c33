-- +goose Up

-- Where other brokers reach a broker; '' and 0 if they cannot.
alter table brokers
	add column peer_host text not null default '',
	add column peer_port integer not null default 0;

-- Roles that one broker holds for a time. Rows stay when a lease ends, for the epoch. Extensions are updates that no
-- index sees.
create table leases (
	name         text collate "C" primary key,
	holder       integer not null,
	holder_epoch bigint not null,
	epoch        bigint not null,
	taken_at     timestamptz not null,
	lease_until  timestamptz -- null: released
) with (
	fillfactor = 50,
	autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_threshold = 500
);
