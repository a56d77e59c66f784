-- +goose Up

-- Files of imports that were deleted; see the Postgres migration of the same name.
alter table deleted_files add column is_import integer not null default 0 check (is_import in (0, 1));

-- The rows that are forgotten are found without those that are kept.
drop index deleted_files_at;
create index deleted_files_at on deleted_files (deleted_at) where is_import = 0;

-- +goose Down
drop index deleted_files_at;
alter table deleted_files drop column is_import;
create index deleted_files_at on deleted_files (deleted_at);
