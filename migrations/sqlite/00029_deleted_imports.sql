-- +goose Up

-- Files of imports that were deleted; see the Postgres migration of the same name.
alter table deleted_files add column is_import integer not null default 0 check (is_import in (0, 1));

-- +goose Down
alter table deleted_files drop column is_import;
