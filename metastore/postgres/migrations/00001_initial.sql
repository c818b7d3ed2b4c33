-- +goose Up

-- One row. The cluster id is Kafka's form of a UUID: URL-safe base64 without padding, not beginning with a dash.
create table meta (
	only_row   boolean primary key default true check (only_row),
	cluster_id text not null,
	created_at timestamptz not null default now()
);
insert into meta (cluster_id)
select id
from (select translate(rtrim(encode(uuid_send(gen_random_uuid()), 'base64'), '='), '+/', '-_') as id
      from generate_series(1, 100)) as ids
where id not like '-%'
limit 1;

-- The commit log. Rows are inserted at one end, deleted at the other and never updated. Payloads up to a page stay in
-- the row: they are written once and read once or never, and are dense already.
create table commit_log (
	seq         bigint primary key,
	checksum    bigint not null,
	payload     bytea not null,
	appended_at timestamptz not null default now()
) with (
	fillfactor = 100,
	toast_tuple_target = 8160,
	autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_threshold = 20000,
	autovacuum_vacuum_insert_scale_factor = 0,
	autovacuum_vacuum_insert_threshold = 50000,
	autovacuum_analyze_scale_factor = 0,
	autovacuum_analyze_threshold = 50000,
	toast.autovacuum_vacuum_scale_factor = 0,
	toast.autovacuum_vacuum_threshold = 20000
);
alter table commit_log alter column payload set storage external;
-- The genesis row: the empty log. Append finds the end of the log there, as behind any other entry.
insert into commit_log (seq, checksum, payload) values (0, 0, '');

create table snapshots (
	seq      bigint primary key,
	checksum bigint not null,
	state    bytea not null,
	saved_at timestamptz not null default now()
);
alter table snapshots alter column state set storage external;

-- Rows stay when a lease ends, for the epoch. Renewals are updates that no index sees.
create table brokers (
	node_id       integer primary key,
	epoch         bigint not null,
	host          text not null,
	port          integer not null,
	zone          text not null,
	version       text not null,
	registered_at timestamptz not null,
	lease_until   timestamptz -- null: unregistered
) with (
	fillfactor = 50,
	autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_threshold = 500
);

-- Epochs of all groups come from one sequence: a group that is deleted and made again never sees an old one.
create sequence group_epochs as bigint;

create table groups (
	group_id      text collate "C" primary key,
	epoch         bigint not null,
	coordinator   integer not null,
	protocol_type text not null default '',
	state_name    text not null default '',
	state         bytea,
	claimed_at    timestamptz not null default now(),
	written_at    timestamptz
) with (
	fillfactor = 70,
	autovacuum_vacuum_scale_factor = 0.05,
	autovacuum_vacuum_threshold = 1000
);

-- metadata is bytea since clients put any bytes there: convert_from(metadata, 'UTF8') shows it.
create table group_offsets (
	group_id         text collate "C" not null,
	topic_id         uuid not null,
	partition        integer not null,
	topic_name       text not null,
	committed_offset bigint not null,
	leader_epoch     integer not null,
	metadata         bytea not null,
	committed_at     timestamptz not null,
	primary key (group_id, topic_id, partition)
) with (
	fillfactor = 70,
	autovacuum_vacuum_scale_factor = 0.05,
	autovacuum_vacuum_threshold = 5000
);
create index group_offsets_by_topic on group_offsets (topic_id);
