-- +goose Up

-- The journal has a partition for each day (in UTC), so that old records go by dropping a
-- table, and not row by row. Gateways make the partitions of the coming days:
--
--   journal_20261126     records that began on this day
--   journal_to_20261128  records that began before this day: those from before this migration
--   journal_rest         records of days without a partition
--
-- No record moves. But the journal is locked while Postgres reads all of it, twice: to make
-- the index of the new primary key, and to check the times.
--
-- A clock that went wrong may have made records of the far future. They would make the
-- second partition the only one for ever.
update journal set started_at = now() where started_at > now() + interval '1 day';

-- +goose StatementBegin
do $$
declare
    name text;
begin
    alter table journal rename to journal_old;
    foreach name in array array['operation', 'started', 'actor', 'digest', 'file', 'provider', 'kind', 'outcome'] loop
        execute format('alter index journal_%s rename to journal_old_%1$s', name);
    end loop;
end
$$;
-- +goose StatementEnd

-- Not an identity: partitions take those of their table from Postgres 17 on only.
create sequence journal_cursors;
select setval('journal_cursors', last_value, is_called) from journal_cursor_seq;

alter table journal_old alter column cursor drop identity;
alter table journal_old drop constraint journal_pkey;

create table journal (like journal_old including constraints, primary key (cursor, started_at)) partition by range (started_at);
alter table journal alter column cursor set default nextval('journal_cursors'), alter column count set default 0;

create index journal_operation on journal using hash (operation);
create index journal_started on journal (started_at, cursor);
create index journal_actor on journal (substring(decode(md5(actor), 'hex') from 1 for 4), cursor);
create index journal_digest on journal (substring(digest from 1 for 4), cursor) where digest is not null;
create index journal_file on journal (substring(decode(md5(file_id), 'hex') from 1 for 4), cursor) where file_id <> '';
create index journal_provider on journal (provider, cursor) where provider <> '';
create index journal_kind on journal (kind, cursor) where kind not in ('upload', 'download');
create index journal_outcome on journal (outcome, cursor) where outcome <> 'ok';

create table journal_rest partition of journal default;

-- The owner and the rights are those of the table before, whatever the defaults of new
-- tables are. Who may insert records also needs the sequence now.
-- +goose StatementBegin
do $$
declare
    given record;
begin
    for given in
        select case a.grantee when 0 then 'public' else a.grantee::regrole::text end as role, a.privilege_type as right,
            case when a.is_grantable then ' with grant option' else '' end as option, c.relname = 'journal_old' as is_old
        from pg_class c, aclexplode(c.relacl) a
        where c.oid in ('journal'::regclass, 'journal_old'::regclass) and a.grantee <> c.relowner
        order by is_old
    loop
        if not given.is_old then
            execute format('revoke all on journal, journal_rest from %s', given.role);
            execute format('revoke all on sequence journal_cursors from %s', given.role);
            continue;
        end if;
        execute format('grant %s on journal, journal_rest to %s%s', given.right, given.role, given.option);
        if given.right = 'INSERT' then
            execute format('grant usage on sequence journal_cursors to %s', given.role);
        end if;
    end loop;
    for given in
        select c.relowner::regrole::text as role from pg_class c
        where c.oid = 'journal_old'::regclass and c.relowner <> current_user::regrole
    loop
        execute format('alter table journal owner to %s', given.role);
        execute format('alter table journal_rest owner to %s', given.role);
        execute format('alter sequence journal_cursors owner to %s', given.role);
    end loop;
end
$$;
-- +goose StatementEnd

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

-- The partition of the other days becomes the journal, and keeps its rights. The records of
-- all days are copied to it.
alter table journal detach partition journal_rest;
-- +goose StatementBegin
do $$
declare
    name text;
begin
    for name in select indexrelid::regclass::text from pg_index where indrelid = 'journal_rest'::regclass and not indisprimary loop
        execute format('drop index %s', name);
    end loop;
end
$$;
-- +goose StatementEnd
alter table journal_rest drop constraint journal_rest_pkey;
insert into journal_rest select * from journal;
alter table journal_rest alter column cursor drop default;
alter table journal_rest alter column cursor add generated always as identity;
select setval('journal_rest_cursor_seq', last_value, is_called) from journal_cursors;
drop table journal;
drop sequence journal_cursors;
alter table journal_rest rename to journal;
alter sequence journal_rest_cursor_seq rename to journal_cursor_seq;
alter table journal add primary key (cursor);
create index journal_operation on journal using hash (operation);
create index journal_started on journal (started_at, cursor);
create index journal_actor on journal (substring(decode(md5(actor), 'hex') from 1 for 4), cursor);
create index journal_digest on journal (substring(digest from 1 for 4), cursor) where digest is not null;
create index journal_file on journal (substring(decode(md5(file_id), 'hex') from 1 for 4), cursor) where file_id <> '';
create index journal_provider on journal (provider, cursor) where provider <> '';
create index journal_kind on journal (kind, cursor) where kind not in ('upload', 'download');
create index journal_outcome on journal (outcome, cursor) where outcome <> 'ok';
