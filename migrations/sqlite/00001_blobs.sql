-- +goose Up

-- One row per blob that ever was; see the Postgres migration of the same name.
-- Times are microseconds since 1970, digests their 32 raw bytes.
create table blobs (
    digest       blob    not null primary key check (length(digest) = 32),
    size         integer not null check (size >= 0),
    media_type   text    not null,
    name         text    not null,
    generation   integer not null check (generation >= 0),
    state        text    not null check (state in ('live', 'suspect', 'condemned', 'deleting', 'gone')),
    created_at   integer not null,
    touched_at   integer not null,
    condemned_at integer,
    deleting_at  integer,
    verified_at  integer,
    check (state not in ('condemned', 'deleting') or condemned_at is not null),
    check (state <> 'deleting' or deleting_at is not null)
) strict, without rowid;

-- Listing: the visible blobs, by creation.
create index blobs_visible on blobs (created_at, digest) where state in ('live', 'suspect');
-- The collector's work, the longest condemned first.
create index blobs_collectable on blobs (condemned_at) where state in ('condemned', 'deleting');

-- +goose Down
drop table blobs;
