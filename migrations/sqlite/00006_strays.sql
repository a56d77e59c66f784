-- +goose Up

-- See the Postgres migration of the same name.
alter table copies add column strays text; -- JSON
alter table copies add column evicting integer not null default 0 check (evicting in (0, 1));
alter table copies add column uploaded_at integer;
alter table copies add column look_at integer;
update copies
set strays = json_array(json_object('fence', fence, 'at', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))),
    look_at = case when state in ('ready', 'failed', 'lost', 'evicted', 'deleted') then cast(strftime('%s', 'now') as integer) * 1000000 end
where uncertain = 1;
alter table copies drop column uncertain;
create index copies_look on copies (account, look_at) where look_at is not null;

-- +goose Down
drop index copies_look;
alter table copies add column uncertain integer not null default 0 check (uncertain in (0, 1));
update copies set uncertain = 1 where strays is not null;
alter table copies drop column strays;
alter table copies drop column evicting;
alter table copies drop column uploaded_at;
alter table copies drop column look_at;
