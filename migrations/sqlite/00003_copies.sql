-- +goose Up

-- One row per copy at a provider that ever was; see the Postgres migration of the
-- same name. Times are microseconds since 1970, digests their 32 raw bytes.
create table copies (
    digest          blob    not null check (length(digest) = 32),
    provider        text    not null,
    account         text    not null,
    purpose         text    not null,
    extension       text    not null,
    state           text    not null check (state in ('pending', 'uploading', 'processing', 'unverified', 'ready',
                                                      'failed', 'lost', 'evicted', 'deleting', 'deleted')),
    fence           integer not null check (fence >= 0),
    file_id         text    not null,
    remote_name     text    not null,
    name            text    not null,
    media_type      text    not null,
    size            integer not null check (size >= 0),
    uncertain       integer not null check (uncertain in (0, 1)),
    attempts        integer not null check (attempts >= 0),
    losses          integer not null check (losses >= 0),
    error           text, -- JSON
    operation_id    text    not null,
    created_at      integer not null,
    ready_at        integer,
    last_used_at    integer,
    lost_at         integer, -- the last loss that counts among losses
    expires_at      integer,
    next_attempt_at integer,
    lease_until     integer,
    primary key (digest, provider, account, purpose, extension),
    check (state not in ('processing', 'unverified', 'ready') or file_id <> ''),
    check (state not in ('uploading', 'processing') or (lease_until is not null and next_attempt_at is null)),
    check (state in ('uploading', 'processing', 'unverified', 'deleting') or lease_until is null)
) strict, without rowid;

-- The copy that an operation is about. Ids of operations are random, so it need not
-- be unique.
create index copies_operation on copies (operation_id) where operation_id <> '';
-- Work without a lease, the longest waiting first; null is never due. max is null
-- where one of its arguments is.
create index copies_due on copies (account, max(coalesce(next_attempt_at, lease_until), coalesce(lease_until, next_attempt_at)))
    where state in ('pending', 'uploading', 'processing', 'unverified', 'deleting');
-- Copies that take up room in an account: to count them, and to find the ready copy
-- that was used least recently.
create index copies_room on copies (account, purpose)
    where state in ('uploading', 'processing', 'unverified', 'ready', 'deleting');

-- The texts that providers have extracted from blobs. They are blobs themselves.
create table extracted_texts (
    digest      blob    not null check (length(digest) = 32),
    provider    text    not null,
    extension   text    not null,
    text_digest blob    not null check (length(text_digest) = 32),
    created_at  integer not null,
    primary key (digest, provider, extension)
) strict, without rowid;

-- +goose Down
drop table extracted_texts;
drop table copies;
