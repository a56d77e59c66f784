-- +goose Up

-- One row; see the Postgres migration of the same name. Times are microseconds since
-- 1970.
create table installation (
    id         integer primary key check (id = 1),
    mark       text    not null check (length(mark) = 13 and mark glob 'cas*'),
    created_at integer not null
) strict;

-- +goose Down
drop table installation;
