-- +goose Up

-- See the Postgres migration of the same name.
alter table blobs add column scrub_claim text;
alter table blobs add column scrub_until integer;

create index blobs_unverified on blobs (coalesce(verified_at, created_at), digest) where state = 'live';
create index blobs_suspect on blobs (coalesce(verified_at, created_at), digest) where state = 'suspect';

create table scrub (
    only_row    integer not null primary key check (only_row = 1),
    holder      text    not null check (holder <> ''),
    lease_until integer,
    run         text    not null
) strict;

-- +goose Down
drop table scrub;
drop index blobs_suspect;
drop index blobs_unverified;
alter table blobs drop column scrub_claim;
alter table blobs drop column scrub_until;
