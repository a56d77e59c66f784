-- +goose Up

-- One row: what the gateways that share this database have in common. The mark is in
-- the name of every remote file. The first gateway that needs it makes it.
create table installation (
    id         smallint    primary key default 1 check (id = 1),
    mark       text        not null check (mark ~ '^cas[a-z0-9]{10}$'),
    created_at timestamptz not null default now()
);

-- +goose Down
drop table installation;
