-- +goose Up

-- One row: since when the uses of blobs are recorded, and when a gateway last did so.
create table retention (
    only_row integer not null primary key check (only_row = 1),
    since    integer not null,
    seen_at  integer not null
) strict;

-- +goose Down
drop table retention;
