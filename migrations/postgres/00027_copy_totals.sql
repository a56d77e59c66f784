-- +goose Up

-- copy_totals counts the copies that take up room in an account, so that nothing has to read
-- them all. Triggers keep it, in the transaction of each change and whatever makes it. Each
-- purpose has 16 slots, by the digest, so that changes at the same time rarely wait for each
-- other: its totals are sums. A slot whose copies are gone stays, with zeros.
create table copy_totals (
    account         text     not null collate "C",
    purpose         text     not null collate "C",
    slot            smallint not null,
    files           bigint   not null,
    bytes           bigint   not null,
    uploading_files bigint   not null, -- being uploaded, without an earlier file
    uploading_bytes bigint   not null,
    primary key (account, purpose, slot)
) with (fillfactor = 50); -- room for updates within a page

-- The files that a copy counts for: its own, unless that is deleted, and those that it keeps
-- beside it until they expire.
create function copy_files(state text, file_id text, strays jsonb) returns bigint language sql immutable as $$
select case when state not in ('uploading', 'processing', 'unverified', 'ready', 'deleting') then 0
    else case when state = 'deleting' and file_id = '' then 0 else 1 end
        + case when strays is null then 0 else jsonb_array_length(jsonb_path_query_array(strays, '$[*] ? (exists(@.keep_until))')) end
    end::bigint
$$;

-- Counted rows may change at any time otherwise.
lock table copies in share row exclusive mode;

insert into copy_totals
select account, purpose, get_byte(digest, 0) % 16, sum(files), sum(files * size), sum(uploading), sum(uploading * size)
from (
    select account, purpose, digest, size, copy_files(state, file_id, strays) as files,
        (state = 'uploading' and file_id = '')::integer as uploading
    from copies
) as c
where files > 0
group by 1, 2, 3;

-- The triggers work with the rights of the table's owner: a role that may change copies needs
-- no right to the totals.

-- Rows that were inserted or deleted are counted at the end of the statement, which has them
-- all by then, and in the order of the slots. So two statements never wait for each other in
-- a circle.
-- +goose StatementBegin
create function count_copies() returns trigger language plpgsql security definer set search_path from current as $$
begin
    insert into copy_totals as t
    select account, purpose, get_byte(digest, 0) % 16 as slot, sum(sign * files), sum(sign * files * size),
        sum(sign * uploading), sum(sign * uploading * size)
    from (
        select account, purpose, digest, size, copy_files(state, file_id, strays) as files,
            (state = 'uploading' and file_id = '')::integer as uploading, case tg_op when 'DELETE' then -1 else 1 end as sign
        from changed
    ) as c
    where files > 0
    group by account, purpose, slot
    order by account, purpose, slot
    on conflict (account, purpose, slot) do update set
        files = t.files + excluded.files, bytes = t.bytes + excluded.bytes,
        uploading_files = t.uploading_files + excluded.uploading_files, uploading_bytes = t.uploading_bytes + excluded.uploading_bytes;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function recount_copy() returns trigger language plpgsql security definer set search_path from current as $$
begin
    insert into copy_totals as t
    select account, purpose, get_byte(digest, 0) % 16 as slot, sum(sign * files), sum(sign * files * size),
        sum(sign * uploading), sum(sign * uploading * size)
    from (
        select sign, account, purpose, digest, size, copy_files(state, file_id, strays) as files,
            (state = 'uploading' and file_id = '')::integer as uploading
        from (values
            (-1, old.account, old.purpose, old.digest, old.size, old.state, old.file_id, old.strays),
            (1, new.account, new.purpose, new.digest, new.size, new.state, new.file_id, new.strays)
        ) as r(sign, account, purpose, digest, size, state, file_id, strays)
    ) as c
    group by account, purpose, slot
    having sum(sign * files) <> 0 or sum(sign * files * size) <> 0 or sum(sign * uploading) <> 0 or sum(sign * uploading * size) <> 0
    order by account, purpose, slot
    on conflict (account, purpose, slot) do update set
        files = t.files + excluded.files, bytes = t.bytes + excluded.bytes,
        uploading_files = t.uploading_files + excluded.uploading_files, uploading_bytes = t.uploading_bytes + excluded.uploading_bytes;
    return null;
end
$$;
-- +goose StatementEnd

create trigger copies_inserted after insert on copies referencing new table as changed
    for each statement execute function count_copies();
create trigger copies_removed after delete on copies referencing old table as changed
    for each statement execute function count_copies();
create trigger copies_changed after update on copies for each row
    when ((old.account, old.purpose, old.digest, old.size, old.state, old.file_id, old.strays)
        is distinct from (new.account, new.purpose, new.digest, new.size, new.state, new.file_id, new.strays))
    execute function recount_copy();

-- The ready copies of a purpose by the minute of their last use; those of a minute are few
-- enough to be sorted. With the time itself in an index each use that is recorded would write
-- to all indexes. Now only the first one of a minute does.
drop index copies_room;
alter table copies add column used_minute timestamp
    generated always as (date_trunc('minute', greatest(last_used_at, ready_at) at time zone 'utc')) stored;
create index copies_used on copies (account, purpose, used_minute) where state = 'ready';
-- The deletes whose file may still be there.
create index copies_deletes on copies (account) where state = 'deleting' and file_id <> '';

-- Who may read the copies may read their totals.
-- +goose StatementBegin
do $$
declare
    reader record;
begin
    for reader in
        select case a.grantee when 0 then 'public' else a.grantee::regrole::text end as role
        from pg_class c, aclexplode(c.relacl) a
        where c.oid = 'copies'::regclass and a.privilege_type = 'SELECT' and a.grantee <> c.relowner
    loop
        execute format('grant select on copy_totals to %s', reader.role);
    end loop;
    for reader in
        select c.relowner::regrole::text as role from pg_class c
        where c.oid = 'copies'::regclass and c.relowner <> current_user::regrole
    loop
        execute format('alter table copy_totals owner to %s', reader.role);
        execute format('alter function count_copies() owner to %s', reader.role);
        execute format('alter function recount_copy() owner to %s', reader.role);
    end loop;
end
$$;
-- +goose StatementEnd

-- +goose Down
drop index copies_deletes;
drop index copies_used;
alter table copies drop column used_minute;
create index copies_room on copies (account, purpose)
    where state in ('uploading', 'processing', 'unverified', 'ready', 'deleting');
drop trigger copies_changed on copies;
drop trigger copies_removed on copies;
drop trigger copies_inserted on copies;
drop function recount_copy();
drop function count_copies();
drop function copy_files(text, text, jsonb);
drop table copy_totals;
