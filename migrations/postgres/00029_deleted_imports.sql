-- +goose Up

-- An import that is repeated does not bring back files that were deleted here: their ids are kept. Deletes before this migration are not known.
alter table deleted_files add column is_import boolean not null default false;

-- +goose Down
alter table deleted_files drop column is_import;
