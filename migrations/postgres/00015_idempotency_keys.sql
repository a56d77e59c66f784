-- +goose Up

-- The idempotency keys of uploads. A file and the key of its upload are inserted by one
-- statement, and the primary key decides between concurrent uploads with the same key. Rows
-- count for a day, and are then removed.
create table idempotency_keys (
    id         bytea       not null primary key check (octet_length(id) = 32),
    request    bytea       not null check (octet_length(request) = 32),
    digest     bytea       not null check (octet_length(digest) = 32),
    file_id    text, -- null: the upload created no file
    stored     boolean     not null, -- the upload brought the bytes; false for files
    created_at timestamptz not null default now()
);

create index idempotency_keys_created on idempotency_keys (created_at);

-- +goose Down
drop table idempotency_keys;
