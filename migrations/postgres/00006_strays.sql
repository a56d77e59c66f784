-- +goose Up

-- strays are the remote files that a row doesn't name, and that exist or may turn up:
-- [{"fence": 1, "file_id": "f", "at": "2026-01-01T00:00:00Z"}]. uncertain said only
-- that there may be some.
alter table copies
    add column strays      jsonb,
    add column evicting    boolean not null default false, -- deleting makes room for another copy
    add column uploaded_at timestamptz,                    -- when the row first named file_id
    add column look_at     timestamptz;                    -- when strays are next looked for, if no other work is due
update copies
set strays = jsonb_build_array(jsonb_build_object('fence', fence, 'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))),
    look_at = case when state in ('ready', 'failed', 'lost', 'evicted', 'deleted') then now() end
where uncertain;
alter table copies drop column uncertain;
create index copies_look on copies (account, look_at) where look_at is not null;

-- +goose Down
drop index copies_look;
alter table copies add column uncertain boolean not null default false;
update copies set uncertain = true where strays is not null;
alter table copies drop column strays, drop column evicting, drop column uploaded_at, drop column look_at;
