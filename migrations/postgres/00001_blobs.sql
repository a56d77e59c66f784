-- +goose Up

-- One row per blob that ever was. A row is never removed: state 'gone' is the
-- tombstone that keeps a late delete of an old object off the bytes of a new one.
create table blobs (
    digest       bytea       not null primary key check (octet_length(digest) = 32),
    size         bigint      not null check (size >= 0),
    media_type   text        not null,
    name         text        not null,
    generation   integer     not null check (generation >= 0),
    state        text        not null check (state in ('live', 'suspect', 'condemned', 'deleting', 'gone')),
    created_at   timestamptz not null default now(),
    touched_at   timestamptz not null default now(),
    condemned_at timestamptz,
    deleting_at  timestamptz,
    verified_at  timestamptz,
    -- A random number drawn by the commit that last made the blob readable: how
    -- that commit, and no other, recognises its own work in the row it gets back.
    commit_id    bigint      not null,
    check (state not in ('condemned', 'deleting') or condemned_at is not null),
    check (state <> 'deleting' or deleting_at is not null)
) with (fillfactor = 90); -- room for touched_at to be updated within its page

-- Listing: the visible blobs, by creation.
create index blobs_visible on blobs (created_at, digest) where state in ('live', 'suspect');
-- The collector's work, the longest condemned first.
create index blobs_collectable on blobs (condemned_at) where state in ('condemned', 'deleting');

-- +goose Down
drop table blobs;
