-- +goose Up

-- The broker is about to go: others take its keys over while it is still there.
alter table brokers add column leaving boolean not null default false;
