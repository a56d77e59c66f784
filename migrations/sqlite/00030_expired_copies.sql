-- +goose Up

-- The ready copies of a purpose by their expiry; see the Postgres migration of the same name.
create index copies_expiring on copies (account, purpose, expires_at) where state = 'ready' and expires_at is not null;

-- +goose Down
drop index copies_expiring;
