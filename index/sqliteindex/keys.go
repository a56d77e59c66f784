package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"casgate/cas/access"
)

var sqlSigningKeys = `
select ` + signingKeyTable.Select() + ` from signing_keys
where retired_at is null
order by created_at desc, id desc`

// SigningKeys returns the keys that are not retired, newest first.
func (x *Index) SigningKeys(ctx context.Context) ([]access.SigningKey, error) {
	keys, err := list(ctx, x, signingKeyTable, sqlSigningKeys)
	if err != nil {
		return nil, fault(ctx, "list signing keys", err)
	}
	return keys, nil
}

const sqlAddSigningKey = `
insert into signing_keys (id, secret, created_at) values (?, ?, ?)
on conflict (id) do update set id = id where secret = excluded.secret`

// AddSigningKey stores a new key. The index sets the creation time. It is safe to
// repeat. Another key with the same id is an error.
func (x *Index) AddSigningKey(ctx context.Context, k access.SigningKey) error {
	if err := k.Check(); err != nil {
		return fmt.Errorf("add signing key: %w", err)
	}
	err := x.exec(ctx, sqlAddSigningKey, k.ID, k.Secret, now())
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("add signing key %s: the id is taken", k.ID)
	}
	if err != nil {
		return fault(ctx, "add signing key "+k.ID, err)
	}
	return nil
}

const sqlRetireSigningKey = `update signing_keys set retired_at = coalesce(retired_at, ?) where id = ?`

// RetireSigningKey makes every URL invalid that the key signed. The error wraps
// access.ErrKeyNotFound if there is no such key.
func (x *Index) RetireSigningKey(ctx context.Context, id string) error {
	err := x.exec(ctx, sqlRetireSigningKey, now(), id)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("retire signing key %q: %w", id, access.ErrKeyNotFound)
	}
	if err != nil {
		return fault(ctx, "retire signing key "+id, err)
	}
	return nil
}
