-- +goose Up

-- One row per copy at a provider that ever was. A row is never removed: state
-- 'deleted' is the tombstone that keeps the fence growing. Texts that are compared
-- for their order have the collation "C", so that it is the same everywhere.
create table copies (
    digest          bytea       not null check (octet_length(digest) = 32),
    provider        text        not null collate "C",
    account         text        not null collate "C",
    purpose         text        not null collate "C",
    extension       text        not null collate "C",
    state           text        not null check (state in ('pending', 'uploading', 'processing', 'unverified', 'ready',
                                                          'failed', 'lost', 'evicted', 'deleting', 'deleted')),
    fence           bigint      not null check (fence >= 0),
    file_id         text        not null default '',
    remote_name     text        not null default '',
    name            text        not null,
    media_type      text        not null,
    size            bigint      not null check (size >= 0),
    uncertain       boolean     not null default false,
    attempts        integer     not null default 0 check (attempts >= 0),
    losses          integer     not null default 0 check (losses >= 0),
    error           jsonb,
    operation_id    text        not null,
    created_at      timestamptz not null default now(),
    ready_at        timestamptz,
    last_used_at    timestamptz,
    lost_at         timestamptz, -- the last loss that counts among losses
    expires_at      timestamptz,
    next_attempt_at timestamptz,
    lease_until     timestamptz,
    primary key (digest, provider, account, purpose, extension),
    check (state not in ('processing', 'unverified', 'ready') or file_id <> ''),
    check (state not in ('uploading', 'processing') or (lease_until is not null and next_attempt_at is null)),
    check (state in ('uploading', 'processing', 'unverified', 'deleting') or lease_until is null)
) with (fillfactor = 90); -- room for last_used_at to be updated within its page

-- No index has last_used_at in it, or else each use recorded would write to all of
-- them.

-- The copy that an operation is about. Ids of operations are random, so it need not
-- be unique.
create index copies_operation on copies (operation_id) where operation_id <> '';
-- Work without a lease, the longest waiting first; null is never due.
create index copies_due on copies (account, greatest(next_attempt_at, lease_until))
    where state in ('pending', 'uploading', 'processing', 'unverified', 'deleting');
-- Copies that take up room in an account: to count them, and to find the ready copy
-- that was used least recently. Both look at all of an account's rows, of which the
-- accounts where room must be made have as many as the provider allows.
create index copies_room on copies (account, purpose)
    where state in ('uploading', 'processing', 'unverified', 'ready', 'deleting');

-- The texts that providers have extracted from blobs. They are blobs themselves.
create table extracted_texts (
    digest      bytea       not null check (octet_length(digest) = 32),
    provider    text        not null collate "C",
    extension   text        not null collate "C",
    text_digest bytea       not null check (octet_length(text_digest) = 32),
    created_at  timestamptz not null default now(),
    primary key (digest, provider, extension)
);

-- +goose Down
drop table extracted_texts;
drop table copies;
