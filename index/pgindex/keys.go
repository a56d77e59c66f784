package pgindex

import (
	"context"
	"fmt"

	"casgate/cas"
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
insert into signing_keys as k (id, secret) values ($1, $2)
on conflict (id) do update set id = k.id where k.secret = excluded.secret`

// AddSigningKey stores a new key. The database sets the creation time. It is safe to
// repeat. Another key with the same id is an error.
func (x *Index) AddSigningKey(ctx context.Context, k access.SigningKey) error {
	if err := k.Check(); err != nil {
		return fmt.Errorf("add signing key: %w", err)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	tag, err := x.pool.Exec(call, sqlAddSigningKey, k.ID, k.Secret)
	if err != nil {
		return fault(ctx, "add signing key "+k.ID, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("add signing key %s: the id is taken", k.ID)
	}
	return nil
}

const sqlRetireSigningKey = `update signing_keys set retired_at = coalesce(retired_at, now()) where id = $1`

// RetireSigningKey makes every URL invalid that the key signed. The error wraps
// access.ErrKeyNotFound if there is no such key.
func (x *Index) RetireSigningKey(ctx context.Context, id string) error {
	if cas.CheckText("signing key id", id) != nil {
		return fmt.Errorf("retire signing key %q: %w", id, access.ErrKeyNotFound)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	tag, err := x.pool.Exec(call, sqlRetireSigningKey, id)
	if err != nil {
		return fault(ctx, "retire signing key "+id, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("retire signing key %q: %w", id, access.ErrKeyNotFound)
	}
	return nil
}
