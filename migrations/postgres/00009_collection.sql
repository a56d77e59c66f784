-- +goose Up

-- One row: the last collection, and the lease of the collector that is at work.
create table collection (
    only_row    boolean     not null default true primary key check (only_row),
    holder      text        not null check (holder <> ''),
    lease_until timestamptz, -- null: no collector is at work
    run         text        not null -- a collector.Run in JSON
);

-- The blobs from which a text was extracted.
create index extracted_texts_text on extracted_texts (text_digest);

-- +goose Down
drop index extracted_texts_text;
drop table collection;
