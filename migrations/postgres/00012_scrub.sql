-- +goose Up

-- The scrub that checks a blob's object now, and until when its claim counts. A commit
-- of the blob ends the claim: it has written the object anew.
alter table blobs add column scrub_claim text, add column scrub_until timestamptz;

-- The scrub's work, the longest unverified first. An upload verifies what it writes, so
-- a blob without a verification counts from its creation.
create index blobs_unverified on blobs ((coalesce(verified_at, created_at)), digest) where state = 'live';
create index blobs_suspect on blobs ((coalesce(verified_at, created_at)), digest) where state = 'suspect';

-- One row: the last scrub by command, and the lease of the one that is at work.
create table scrub (
    only_row    boolean     not null default true primary key check (only_row),
    holder      text        not null check (holder <> ''),
    lease_until timestamptz, -- null: none is at work
    run         text        not null -- a scrubber.Run in JSON
);

-- +goose Down
drop table scrub;
drop index blobs_suspect;
drop index blobs_unverified;
alter table blobs drop column scrub_claim, drop column scrub_until;
