-- +goose Up

-- One row: since when the uses of blobs are recorded, and when a gateway last did so.
create table retention (
    only_row boolean     not null default true primary key check (only_row),
    since    timestamptz not null,
    seen_at  timestamptz not null
);

-- +goose Down
drop table retention;
