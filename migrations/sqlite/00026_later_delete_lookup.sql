-- +goose Up

-- The copies that later requests to delete them are about. They are few, and the index has
-- all that is needed to look through them.
create index copies_later_deletes on copies (later_deletes) where later_deletes is not null;

-- +goose Down
drop index copies_later_deletes;
