-- The schema that all migrations make, to be read, not run. Written by go test -run TestSchemaFile -write-schema.

create sequence group_epochs as bigint start 1 increment 1;

create table brokers (
	node_id integer not null,
	epoch bigint not null,
	host text not null,
	port integer not null,
	zone text not null,
	version text not null,
	registered_at timestamp with time zone not null,
	lease_until timestamp with time zone,
	peer_host text not null default ''::text,
	peer_port integer not null default 0,
	leaving boolean not null default false,
	listeners jsonb not null default '[]'::jsonb,
	constraint brokers_pkey PRIMARY KEY (node_id)
) with (
	fillfactor=50,
	autovacuum_vacuum_scale_factor=0,
	autovacuum_vacuum_threshold=500
);

create table commit_log (
	seq bigint not null,
	checksum bigint not null,
	payload bytea storage external not null,
	appended_at timestamp with time zone not null default now(),
	constraint commit_log_pkey PRIMARY KEY (seq)
) with (
	fillfactor=100,
	toast_tuple_target=8160,
	autovacuum_vacuum_scale_factor=0,
	autovacuum_vacuum_threshold=20000,
	autovacuum_vacuum_insert_scale_factor=0,
	autovacuum_vacuum_insert_threshold=50000,
	autovacuum_analyze_scale_factor=0,
	autovacuum_analyze_threshold=50000,
	toast.autovacuum_vacuum_scale_factor=0,
	toast.autovacuum_vacuum_threshold=20000
);

create table group_offsets (
	group_id text collate "C" not null,
	topic_id uuid not null,
	partition integer not null,
	topic_name text not null,
	committed_offset bigint not null,
	leader_epoch integer not null,
	metadata bytea not null,
	committed_at timestamp with time zone not null,
	constraint group_offsets_pkey PRIMARY KEY (group_id, topic_id, partition)
) with (
	fillfactor=70,
	autovacuum_vacuum_scale_factor=0.05,
	autovacuum_vacuum_threshold=5000
);
CREATE INDEX group_offsets_by_topic ON group_offsets USING btree (topic_id);

create table groups (
	group_id text collate "C" not null,
	epoch bigint not null,
	coordinator integer not null,
	protocol_type text not null default ''::text,
	state_name text not null default ''::text,
	state bytea,
	claimed_at timestamp with time zone not null default now(),
	written_at timestamp with time zone,
	constraint groups_pkey PRIMARY KEY (group_id)
) with (
	fillfactor=70,
	autovacuum_vacuum_scale_factor=0.05,
	autovacuum_vacuum_threshold=1000
);

create table leases (
	name text collate "C" not null,
	holder integer not null,
	holder_epoch bigint not null,
	epoch bigint not null,
	taken_at timestamp with time zone not null,
	lease_until timestamp with time zone,
	constraint leases_pkey PRIMARY KEY (name)
) with (
	fillfactor=50,
	autovacuum_vacuum_scale_factor=0,
	autovacuum_vacuum_threshold=500
);

create table meta (
	only_row boolean not null default true,
	cluster_id text not null,
	created_at timestamp with time zone not null default now(),
	trimmed_through bigint not null default 0,
	constraint meta_pkey PRIMARY KEY (only_row),
	constraint meta_only_row_check CHECK (only_row)
);

create table snapshots (
	seq bigint not null,
	checksum bigint not null,
	state bytea storage external not null,
	saved_at timestamp with time zone not null default now(),
	constraint snapshots_pkey PRIMARY KEY (seq)
);
