-- +goose Up

-- See the Postgres migration of the same name; here a row took 331 bytes with its indexes, and takes
-- 223 now. An index has the rows of equal keys in the order of
-- their cursors, also without naming it. An operation's id ends with its random part, a token's
-- id begins behind "token:", and a file's behind "file-".
drop index journal_operation;
create index journal_operation on journal (substr(operation, -8));
drop index journal_actor;
create index journal_actor on journal (substr(actor, 7, 4));
drop index journal_digest;
create index journal_digest on journal (substr(digest, 1, 4)) where digest is not null;
drop index journal_file;
create index journal_file on journal (substr(file_id, 6, 6)) where file_id <> '';

-- +goose Down
drop index journal_operation;
create index journal_operation on journal (operation, cursor);
drop index journal_actor;
create index journal_actor on journal (actor, cursor);
drop index journal_digest;
create index journal_digest on journal (digest, cursor) where digest is not null;
drop index journal_file;
create index journal_file on journal (file_id, cursor) where file_id <> '';
