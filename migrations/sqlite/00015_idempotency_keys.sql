-- +goose Up

-- The idempotency keys of uploads. A file and the key of its upload are inserted in one
-- transaction. Rows count for a day, and are then removed.
create table idempotency_keys (
    id         blob    not null primary key check (length(id) = 32),
    request    blob    not null check (length(request) = 32),
    digest     blob    not null check (length(digest) = 32),
    file_id    text, -- null: the upload created no file
    stored     integer not null, -- the upload brought the bytes; 0 for files
    created_at integer not null
) strict, without rowid;

create index idempotency_keys_created on idempotency_keys (created_at);

-- +goose Down
drop table idempotency_keys;
