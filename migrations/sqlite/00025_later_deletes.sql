-- +goose Up

-- See the Postgres migration of the same name.
alter table copies add column later_deletes text; -- JSON

-- +goose Down
alter table copies drop column later_deletes;
