-- +goose Up

-- The last entry that a trim has removed, or 0. The smallest key of commit_log would tell as well, but to find it the
-- index is read past all entries that were removed and that a long transaction (a dump) still keeps.
alter table meta add column trimmed_through bigint not null default 0;
update meta set trimmed_through = greatest((select min(seq) from commit_log), 1) - 1;
