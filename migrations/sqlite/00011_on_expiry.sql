-- +goose Up

-- What goes when the file expires: '' the file alone, 'everywhere' also its blob.
alter table files add column on_expiry text not null default '';

-- +goose Down
alter table files drop column on_expiry;
