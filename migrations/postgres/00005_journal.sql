-- +goose Up

-- One row per operation that was recorded. Cursors grow in the order in which rows
-- become visible, see pgindex.AppendRecords.
create table journal (
    cursor      bigint      generated always as identity primary key,
    operation   text        not null collate "C",
    kind        text        not null collate "C",
    actor       text        not null collate "C",
    digest      bytea       check (octet_length(digest) = 32),
    file_id     text        not null collate "C",
    provider    text        not null collate "C",
    started_at  timestamptz not null,
    duration    bigint      not null, -- nanoseconds
    bytes       bigint      not null,
    outcome     text        not null collate "C",
    error_code  text        not null
);

create index journal_operation on journal (operation, cursor);
create index journal_started on journal (started_at, cursor);
create index journal_actor on journal (actor, cursor);
-- Most rows are of downloads and uploads that went well. They are in none of these
-- but that of their digest.
create index journal_digest on journal (digest, cursor) where digest is not null;
create index journal_file on journal (file_id, cursor) where file_id <> '';
create index journal_provider on journal (provider, cursor) where provider <> '';
create index journal_kind on journal (kind, cursor) where kind not in ('upload', 'download');
create index journal_outcome on journal (outcome, cursor) where outcome <> 'ok';

-- +goose Down
drop table journal;
