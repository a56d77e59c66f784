-- +goose Up

-- An import that is repeated does not bring back files that were deleted here: their ids are kept. Deletes before this migration are not known.
alter table deleted_files add column is_import boolean not null default false;

-- The rows that are forgotten are found without those that are kept.
drop index deleted_files_at;
create index deleted_files_at on deleted_files (deleted_at) where not is_import;

-- +goose Down
drop index deleted_files_at;
alter table deleted_files drop column is_import;
create index deleted_files_at on deleted_files (deleted_at);
