-- +goose Up

-- How many rows of files refer to the blob; see the Postgres migration of the same
-- name.
alter table blobs add column files integer not null default 0 check (files >= 0);

-- Times are microseconds since 1970, digests their 32 raw bytes.
create table files (
    id               text    not null primary key check (id <> ''),
    digest           blob    check (length(digest) = 32), -- null: pending
    size             integer not null check (size >= -1), -- -1: not known yet
    name             text    not null,
    media_type       text    not null,
    purpose          text    not null,
    context          text    not null,
    tags             text    not null, -- a JSON array
    metadata         text    not null, -- a JSON object
    created_at       integer not null,
    accessed_at      integer,
    expires_at       integer,
    origin_source    text, -- null: not imported
    origin_key       text    not null,
    origin_digest    blob    check (length(origin_digest) = 32),
    origin_provider  text    not null,
    origin_file_id   text    not null,
    origin_error     text    not null,
    check (digest is not null or origin_source is not null),
    check (digest is null or size >= 0)
) strict;

-- Listing, by creation.
create index files_created on files (created_at, id);
create index files_purpose on files (purpose, created_at, id);
create index files_context on files (context, created_at, id) where context <> '';
create index files_digest on files (digest, created_at, id) where digest is not null;
create index files_pending on files (created_at, id) where digest is null;
create index files_name on files (name);
-- Files to remove, the longest expired first.
create index files_expiring on files (expires_at, id) where expires_at is not null;

-- Search terms of files, beside their columns: one row for each tag and each value in
-- the metadata. A term is a hash, so a query checks the file itself, too.
create table file_terms (
    term       integer not null,
    created_at integer not null,
    file_id    text    not null references files (id) on delete cascade,
    primary key (term, created_at, file_id)
) strict, without rowid;
create index file_terms_file on file_terms (file_id); -- for the cascade

-- +goose Down
drop table file_terms;
drop table files;
alter table blobs drop column files;
