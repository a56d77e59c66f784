-- +goose Up

-- One row: the last collection, and the lease of the collector that is at work; see the
-- Postgres migration of the same name.
create table collection (
    only_row    integer not null primary key check (only_row = 1),
    holder      text    not null check (holder <> ''),
    lease_until integer, -- null: no collector is at work
    run         text    not null
) strict;

-- The blobs from which a text was extracted.
create index extracted_texts_text on extracted_texts (text_digest);

-- +goose Down
drop index extracted_texts_text;
drop table collection;
