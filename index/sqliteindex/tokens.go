package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"casgate/cas/access"
	"casgate/index/sqlrow"
)

// newToken has the columns of a new token.
var newToken = tokenTable.Without("last_used_at", "revoked_at")

// The same token again is the repetition of a call whose answer was lost, and returns
// the row. Another secret under the same id returns no row.
var sqlCreateToken = `
insert into tokens (` + newToken.Names() + `)
values (` + newToken.Placeholders(1) + `)
on conflict (id) do update set id = id where secret_hash = excluded.secret_hash
returning ` + tokenTable.Select()

// CreateToken stores a new token and returns it with its creation time, which the index
// sets. It is safe to repeat. Another token with the same id is an error.
func (x *Index) CreateToken(ctx context.Context, t access.Token) (access.Token, error) {
	if err := t.Check(); err != nil {
		return access.Token{}, fmt.Errorf("create token: %w", err)
	}
	t.CreatedAt = clock()
	var created access.Token
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		created, err = tokenTable.Scan(tx.QueryRowContext(ctx, sqlCreateToken, newToken.Args(t)...))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return access.Token{}, fmt.Errorf("create token %s: the id is taken", t.ID)
	}
	if err != nil {
		return access.Token{}, fault(ctx, "create token "+t.ID, err)
	}
	return created, nil
}

var sqlToken = `
select ` + tokenTable.Select() + `
from tokens where id = ?`

// Token returns a token, even if it is expired or revoked. The error wraps
// access.ErrTokenNotFound if there is no such token.
func (x *Index) Token(ctx context.Context, id string) (access.Token, error) {
	call, cancel := bounded(ctx)
	defer cancel()
	t, err := tokenTable.Scan(x.reader.QueryRowContext(call, sqlToken, id))
	if err != nil {
		return access.Token{}, tokenFault(ctx, "look up", id, err)
	}
	return t, nil
}

var sqlTokens = `
select ` + tokenTable.Select() + `
from tokens order by created_at, id`

// Tokens returns all tokens, including expired and revoked ones, oldest first.
func (x *Index) Tokens(ctx context.Context) ([]access.Token, error) {
	tokens, err := list(ctx, x, tokenTable, sqlTokens)
	if err != nil {
		return nil, fault(ctx, "list tokens", err)
	}
	return tokens, nil
}

// TokenPage returns a page of all tokens, including expired and revoked ones, newest first.
func (x *Index) TokenPage(ctx context.Context, q access.TokenQuery) ([]access.Token, error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("list tokens: a limit of %d; it must be at least 1", q.Limit)
	}
	page, w := sqlrow.Page{Columns: []string{"created_at", "id"}, Order: sqlrow.Descending, Limit: q.Limit}, sqlrow.NewWhere(sqlrow.SQLite)
	if q.After != (access.TokenPlace{}) {
		page.After(w, sqlrow.SQLite.Time(q.After.CreatedAt), q.After.ID)
	}
	query, args := page.Query(`select `+tokenTable.Select()+` from tokens`, w)
	tokens, err := list(ctx, x, tokenTable, query, args...)
	if err != nil {
		return nil, fault(ctx, "list tokens", err)
	}
	return tokens, nil
}

const sqlRevokeToken = `update tokens set revoked_at = coalesce(revoked_at, ?) where id = ?`

// RevokeToken revokes a token. A token that is revoked already keeps its time. The
// error wraps access.ErrTokenNotFound if there is no such token.
func (x *Index) RevokeToken(ctx context.Context, id string) error {
	if err := x.exec(ctx, sqlRevokeToken, now(), id); err != nil {
		return tokenFault(ctx, "revoke", id, err)
	}
	return nil
}

const sqlUseToken = `update tokens set last_used_at = max(coalesce(last_used_at, 0), ?) where id = ?`

// UseTokens records when tokens were last used, by id. A time never goes back. An
// unknown id is ignored.
func (x *Index) UseTokens(ctx context.Context, lastUsed map[string]time.Time) error {
	if len(lastUsed) == 0 {
		return nil
	}
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for id, at := range lastUsed {
			if _, err := tx.ExecContext(ctx, sqlUseToken, at.UnixMicro(), id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fault(ctx, fmt.Sprintf("record the use of %d tokens", len(lastUsed)), err)
	}
	return nil
}

// tokenFault is fault for an operation on one token. It turns "no row" into
// access.ErrTokenNotFound.
func tokenFault(ctx context.Context, doing, id string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s token %q: %w", doing, id, access.ErrTokenNotFound)
	}
	return fault(ctx, doing+" token "+id, err)
}
