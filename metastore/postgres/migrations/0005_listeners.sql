-- +goose Up

-- Where clients reach the broker by the name of each listener: a JSON array of objects of name, host, port and protocol. Empty: a
-- binary from before there were any, which has the one of host and port.
alter table brokers add column listeners jsonb not null default '[]';
