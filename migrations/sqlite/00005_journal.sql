-- +goose Up

-- One row per operation that was recorded; see the Postgres migration of the same
-- name. Times are microseconds since 1970.
create table journal (
    cursor      integer primary key autoincrement, -- never given out twice
    operation   text    not null,
    kind        text    not null,
    actor       text    not null,
    digest      blob    check (length(digest) = 32),
    file_id     text    not null,
    provider    text    not null,
    started_at  integer not null,
    duration    integer not null, -- nanoseconds
    bytes       integer not null,
    outcome     text    not null,
    error_code  text    not null
) strict;

create index journal_operation on journal (operation, cursor);
create index journal_started on journal (started_at, cursor);
create index journal_actor on journal (actor, cursor);
create index journal_digest on journal (digest, cursor) where digest is not null;
create index journal_file on journal (file_id, cursor) where file_id <> '';
create index journal_provider on journal (provider, cursor) where provider <> '';
create index journal_kind on journal (kind, cursor) where kind not in ('upload', 'download');
create index journal_outcome on journal (outcome, cursor) where outcome <> 'ok';

-- +goose Down
drop table journal;
