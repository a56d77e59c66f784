-- +goose Up

create table tokens (
    id           text        not null primary key check (id <> ''),
    secret_hash  bytea       not null check (octet_length(secret_hash) = 32),
    name         text        not null,
    scopes       text[]      not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

create table signing_keys (
    id         text        not null primary key check (id <> ''),
    secret     bytea       not null check (octet_length(secret) > 0),
    created_at timestamptz not null default now(),
    retired_at timestamptz
);

-- +goose Down
drop table signing_keys;
drop table tokens;
