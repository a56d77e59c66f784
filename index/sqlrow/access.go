package sqlrow

import (
	"fmt"
	"strings"
	"time"

	"casgate/cas/access"
)

// Tokens is the table tokens.
func Tokens(d *Dialect) Table[access.Token] {
	type row = access.Token
	return New(d,
		Text("id", func(t *row) *string { return &t.ID }),
		Hash("secret_hash", func(t *row) *[32]byte { return &t.SecretHash }),
		Text("name", func(t *row) *string { return &t.Name }),
		scopes("scopes"),
		Time("created_at", func(t *row) *time.Time { return &t.CreatedAt }),
		NullTime("expires_at", func(t *row) *time.Time { return &t.ExpiresAt }),
		NullTime("last_used_at", func(t *row) *time.Time { return &t.LastUsedAt }),
		NullTime("revoked_at", func(t *row) *time.Time { return &t.RevokedAt }),
	)
}

// SigningKeys is the table signing_keys, without the keys' end.
func SigningKeys(d *Dialect) Table[access.SigningKey] {
	type row = access.SigningKey
	return New(d,
		Text("id", func(k *row) *string { return &k.ID }),
		Bytes("secret", func(k *row) *[]byte { return &k.Secret }),
		Time("created_at", func(k *row) *time.Time { return &k.CreatedAt }),
	)
}

// scopes is a column of a token's scopes: an array in Postgres, and text with commas
// in SQLite.
func scopes(name string) Column[access.Token] {
	array := TextArray(name, func(t *access.Token) *[]access.Scope { return &t.Scopes })
	return Column[access.Token]{Name: name, Type: array.Type, Scanned: array.Scanned,
		Target: func(d *Dialect, t *access.Token) any {
			if d == Postgres {
				return array.Target(d, t)
			}
			return (*commaScopes)(&t.Scopes)
		},
		Value: func(d *Dialect, t *access.Token) any {
			if d == Postgres {
				return array.Value(d, t)
			}
			return access.JoinScopes(t.Scopes)
		}}
}

// commaScopes scans scopes separated by commas. It doesn't use access.ParseScopes: a
// scope that only a newer program knows must not make the token unreadable.
type commaScopes []access.Scope

// Scan implements sql.Scanner.
func (list *commaScopes) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("scan scopes from %T", src)
	}
	*list = nil
	if text == "" {
		return nil
	}
	for scope := range strings.SplitSeq(text, ",") {
		*list = append(*list, access.Scope(scope))
	}
	return nil
}
