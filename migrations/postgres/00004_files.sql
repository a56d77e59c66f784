-- +goose Up

-- How many rows of files refer to the blob. A delete of a blob, and a first reference
-- to it, depend on this number: being in the row it is looked at again in the row's
-- newest version, once that is locked. A look at the table files would be as of the
-- beginning of the statement, and miss the file that was made meanwhile.
alter table blobs add column files integer not null default 0 check (files >= 0);

-- Texts that are compared for their order have the collation "C", so that it is the
-- same everywhere, and so that their indexes serve prefixes.
create table files (
    id               text        not null collate "C" primary key check (id <> ''),
    digest           bytea       check (octet_length(digest) = 32), -- null: pending
    size             bigint      not null check (size >= -1),       -- -1: not known yet
    name             text        not null collate "C",
    media_type       text        not null,
    purpose          text        not null collate "C",
    context          text        not null collate "C",
    tags             text[]      not null,
    metadata         jsonb       not null check (jsonb_typeof(metadata) = 'object'),
    created_at       timestamptz not null default now(),
    accessed_at      timestamptz,
    expires_at       timestamptz,
    origin_source    text, -- null: not imported
    origin_key       text        not null default '',
    origin_digest    bytea       check (octet_length(origin_digest) = 32),
    origin_provider  text        not null default '',
    origin_file_id   text        not null default '',
    origin_error     text        not null default '',
    check (digest is not null or origin_source is not null),
    check (digest is null or size >= 0)
) with (fillfactor = 90); -- room for accessed_at to be updated within its page

-- No index has accessed_at in it, or else each read recorded would write to all of
-- them. Indexes are partial where most files have nothing to enter.

-- Listing, by creation.
create index files_created on files (created_at, id);
create index files_purpose on files (purpose, created_at, id);
create index files_context on files (context, created_at, id) where context <> '';
create index files_digest on files (digest, created_at, id) where digest is not null;
create index files_pending on files (created_at, id) where digest is null;
create index files_name on files (name);
-- Without fastupdate, so that no read has to scan the list of pending entries.
create index files_tags on files using gin (tags) with (fastupdate = off) where tags <> '{}';
create index files_metadata on files using gin (metadata jsonb_path_ops) with (fastupdate = off) where metadata <> '{}';
-- Files to remove, the longest expired first.
create index files_expiring on files (expires_at, id) where expires_at is not null;

-- +goose Down
drop table files;
alter table blobs drop column files;
