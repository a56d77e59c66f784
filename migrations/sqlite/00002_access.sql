-- +goose Up

create table tokens (
    id           text    not null primary key check (id <> ''),
    secret_hash  blob    not null check (length(secret_hash) = 32),
    name         text    not null,
    scopes       text    not null, -- comma-separated
    created_at   integer not null,
    expires_at   integer,
    last_used_at integer,
    revoked_at   integer
) strict, without rowid;

create table signing_keys (
    id         text    not null primary key check (id <> ''),
    secret     blob    not null check (length(secret) > 0),
    created_at integer not null,
    retired_at integer
) strict, without rowid;

-- +goose Down
drop table signing_keys;
drop table tokens;
