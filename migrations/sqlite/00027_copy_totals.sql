-- +goose Up

-- copy_totals counts the copies that take up room in an account; see the Postgres migration
-- of the same name. There is one writer at a time, so it needs no slots.
create table copy_totals (
    account         text    not null,
    purpose         text    not null,
    files           integer not null,
    bytes           integer not null,
    uploading_files integer not null,
    uploading_bytes integer not null,
    primary key (account, purpose)
) strict, without rowid;

-- What each copy counts for.
create view copy_counts as
select digest, provider, account, purpose, extension, files, files * size as bytes, uploading as uploading_files, uploading * size as uploading_bytes
from (
    select digest, provider, account, purpose, extension, size,
        case when state = 'deleting' and file_id = '' then 0 else 1 end
            + case when strays is null then 0 else (select count(*) from json_each(strays) where json_extract(value, '$.keep_until') is not null) end as files,
        case when state = 'uploading' and file_id = '' then 1 else 0 end as uploading
    from copies
    where state in ('uploading', 'processing', 'unverified', 'ready', 'deleting')
);

insert into copy_totals
select account, purpose, sum(files), sum(bytes), sum(uploading_files), sum(uploading_bytes) from copy_counts group by account, purpose;

-- A row goes with what the view says before a change, and comes with what it says after it.
-- +goose StatementBegin
create trigger copies_inserted after insert on copies begin
    insert into copy_totals
    select account, purpose, files, bytes, uploading_files, uploading_bytes from copy_counts
    where (digest, provider, account, purpose, extension) = (new.digest, new.provider, new.account, new.purpose, new.extension)
    on conflict (account, purpose) do update set
        files = files + excluded.files, bytes = bytes + excluded.bytes,
        uploading_files = uploading_files + excluded.uploading_files, uploading_bytes = uploading_bytes + excluded.uploading_bytes;
end;
-- +goose StatementEnd

-- +goose StatementBegin
create trigger copies_removed before delete on copies begin
    update copy_totals set
        files = copy_totals.files - c.files, bytes = copy_totals.bytes - c.bytes,
        uploading_files = copy_totals.uploading_files - c.uploading_files, uploading_bytes = copy_totals.uploading_bytes - c.uploading_bytes
    from copy_counts c
    where (c.digest, c.provider, c.account, c.purpose, c.extension) = (old.digest, old.provider, old.account, old.purpose, old.extension)
      and copy_totals.account = c.account and copy_totals.purpose = c.purpose;
end;
-- +goose StatementEnd

-- +goose StatementBegin
create trigger copies_before_change before update on copies
when (old.account, old.purpose, old.size, old.state, old.file_id, old.strays) is not (new.account, new.purpose, new.size, new.state, new.file_id, new.strays)
begin
    update copy_totals set
        files = copy_totals.files - c.files, bytes = copy_totals.bytes - c.bytes,
        uploading_files = copy_totals.uploading_files - c.uploading_files, uploading_bytes = copy_totals.uploading_bytes - c.uploading_bytes
    from copy_counts c
    where (c.digest, c.provider, c.account, c.purpose, c.extension) = (old.digest, old.provider, old.account, old.purpose, old.extension)
      and copy_totals.account = c.account and copy_totals.purpose = c.purpose;
end;
-- +goose StatementEnd

-- +goose StatementBegin
create trigger copies_changed after update on copies
when (old.account, old.purpose, old.size, old.state, old.file_id, old.strays) is not (new.account, new.purpose, new.size, new.state, new.file_id, new.strays)
begin
    insert into copy_totals
    select account, purpose, files, bytes, uploading_files, uploading_bytes from copy_counts
    where (digest, provider, account, purpose, extension) = (new.digest, new.provider, new.account, new.purpose, new.extension)
    on conflict (account, purpose) do update set
        files = files + excluded.files, bytes = bytes + excluded.bytes,
        uploading_files = uploading_files + excluded.uploading_files, uploading_bytes = uploading_bytes + excluded.uploading_bytes;
end;
-- +goose StatementEnd

-- The ready copies of a purpose by their last use, and the deletes whose file may still be
-- there.
drop index copies_room;
create index copies_used on copies (account, purpose, max(coalesce(last_used_at, ready_at), ready_at)) where state = 'ready';
create index copies_deletes on copies (account) where state = 'deleting' and file_id <> '';

-- +goose Down
drop index copies_deletes;
drop index copies_used;
create index copies_room on copies (account, purpose)
    where state in ('uploading', 'processing', 'unverified', 'ready', 'deleting');
drop trigger copies_changed;
drop trigger copies_before_change;
drop trigger copies_removed;
drop trigger copies_inserted;
drop view copy_counts;
drop table copy_totals;
