-- +goose Up

-- The ready copies of a purpose by their expiry. Those that have expired are the first ones
-- to make room for others. A use writes no row of this index.
create index copies_expiring on copies (account, purpose, expires_at) where state = 'ready' and expires_at is not null;

-- +goose Down
drop index copies_expiring;
