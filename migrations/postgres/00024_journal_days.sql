-- +goose Up

-- The journal has a partition for each day (in UTC), so that old records go by dropping a
-- table, and not row by row. Gateways make the partitions of the coming days:
--
--   journal_20261126     records that began on this day
--   journal_to_20261128  records that began before this day: those from before this migration
--   journal_rest         records of days without a partition
--
-- A clock that went wrong may have made records of the far future. They would make the
-- second partition the only one for ever.
update journal set started_at = now() where started_at > now() + interval '1 day';

alter table journal rename to journal_old;
alter index journal_operation rename to journal_old_operation;
alter index journal_started rename to journal_old_started;
alter index journal_actor rename to journal_old_actor;
alter index journal_digest rename to journal_old_digest;
alter index journal_file rename to journal_old_file;
alter index journal_provider rename to journal_old_provider;
alter index journal_kind rename to journal_old_kind;
alter index journal_outcome rename to journal_old_outcome;

-- Not an identity: partitions take those of their table from Postgres 17 on only.
create sequence journal_cursors;
select setval('journal_cursors', last_value, is_called) from journal_cursor_seq;

alter table journal_old alter column cursor drop identity;
alter table journal_old drop constraint journal_pkey;

create table journal (
    cursor          bigint      not null default nextval('journal_cursors'),
    operation       text        not null collate "C",
    kind            text        not null collate "C",
    actor           text        not null collate "C",
    digest          bytea       constraint journal_digest_check check (octet_length(digest) = 32),
    file_id         text        not null collate "C",
    provider        text        not null collate "C",
    started_at      timestamptz not null,
    duration        bigint      not null, -- nanoseconds
    bytes           bigint      not null,
    outcome         text        not null collate "C",
    error_code      text        not null,
    count           bigint      not null default 0,
    last_started_at timestamptz,
    primary key (cursor, started_at)
) partition by range (started_at);

create index journal_operation on journal using hash (operation);
create index journal_started on journal (started_at, cursor);
create index journal_actor on journal (substring(decode(md5(actor), 'hex') from 1 for 4), cursor);
create index journal_digest on journal (substring(digest from 1 for 4), cursor) where digest is not null;
create index journal_file on journal (substring(decode(md5(file_id), 'hex') from 1 for 4), cursor) where file_id <> '';
create index journal_provider on journal (provider, cursor) where provider <> '';
create index journal_kind on journal (kind, cursor) where kind not in ('upload', 'download');
create index journal_outcome on journal (outcome, cursor) where outcome <> 'ok';

create table journal_rest partition of journal default;

-- +goose StatementBegin
do $$
declare
    next timestamp := date_trunc('day', now() at time zone 'utc') + interval '2 days';
    name text := 'journal_to_' || to_char(next, 'YYYYMMDD');
begin
    execute format('alter table journal_old rename to %I', name);
    execute format('alter table journal attach partition %I for values from (minvalue) to (%L)', name, next at time zone 'utc');
end
$$;
-- +goose StatementEnd

-- +goose Down

create table journal_all (
    cursor          bigint      generated always as identity primary key,
    operation       text        not null collate "C",
    kind            text        not null collate "C",
    actor           text        not null collate "C",
    digest          bytea       constraint journal_digest_check check (octet_length(digest) = 32),
    file_id         text        not null collate "C",
    provider        text        not null collate "C",
    started_at      timestamptz not null,
    duration        bigint      not null, -- nanoseconds
    bytes           bigint      not null,
    outcome         text        not null collate "C",
    error_code      text        not null,
    count           bigint      not null default 0,
    last_started_at timestamptz
);
insert into journal_all overriding system value select * from journal;
select setval('journal_all_cursor_seq', last_value, is_called) from journal_cursors;
drop table journal;
drop sequence journal_cursors;
alter table journal_all rename to journal;
alter sequence journal_all_cursor_seq rename to journal_cursor_seq;
alter index journal_all_pkey rename to journal_pkey;
create index journal_operation on journal using hash (operation);
create index journal_started on journal (started_at, cursor);
create index journal_actor on journal (substring(decode(md5(actor), 'hex') from 1 for 4), cursor);
create index journal_digest on journal (substring(digest from 1 for 4), cursor) where digest is not null;
create index journal_file on journal (substring(decode(md5(file_id), 'hex') from 1 for 4), cursor) where file_id <> '';
create index journal_provider on journal (provider, cursor) where provider <> '';
create index journal_kind on journal (kind, cursor) where kind not in ('upload', 'download');
create index journal_outcome on journal (outcome, cursor) where outcome <> 'ok';
