-- +goose Up

-- A record may stand for several operations of the same kind, actor and subject. Then it has
-- their count and the begin of the last one, and started_at is the begin of the first.
alter table journal add column count bigint not null default 0, add column last_started_at timestamptz;

-- +goose Down
alter table journal drop column last_started_at, drop column count;
