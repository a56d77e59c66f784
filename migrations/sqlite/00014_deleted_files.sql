-- +goose Up

-- Where deleted files stood in listings. A client that pages by the id of a file goes on
-- after it, also if the file was deleted meanwhile. Rows stay for a day.
create table deleted_files (
    id         text primary key,
    created_at integer not null, -- the file's
    deleted_at integer not null
) strict, without rowid;

create index deleted_files_at on deleted_files (deleted_at);

-- +goose Down
drop table deleted_files;
