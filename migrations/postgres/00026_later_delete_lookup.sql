-- +goose Up

-- The copy that a later request to delete it is about.
create index copies_later_deletes on copies using gin (later_deletes) where later_deletes is not null;

-- +goose Down
drop index copies_later_deletes;
