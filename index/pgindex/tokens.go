package pgindex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/index/sqlrow"
)

// nullIfZero converts the zero time to null.
func nullIfZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// newToken has the columns of a new token. The database sets the creation time.
var newToken = tokenTable.Without("created_at", "last_used_at", "revoked_at")

// The same token again is the repetition of a call whose answer was lost, and returns
// the row. Another secret under the same id returns no row.
var sqlCreateToken = `
insert into tokens as t (` + newToken.Names() + `)
values (` + newToken.Placeholders(1) + `)
on conflict (id) do update set id = t.id where t.secret_hash = excluded.secret_hash
returning ` + tokenTable.Select()

// CreateToken stores a new token and returns it with its creation time, which the
// database sets. It is safe to repeat. Another token with the same id is an error.
func (x *Index) CreateToken(ctx context.Context, t access.Token) (access.Token, error) {
	if err := t.Check(); err != nil {
		return access.Token{}, fmt.Errorf("create token: %w", err)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	created, err := tokenTable.Scan(x.pool.QueryRow(call, sqlCreateToken, newToken.Args(t)...))
	if errors.Is(err, pgx.ErrNoRows) {
		return access.Token{}, fmt.Errorf("create token %s: the id is taken", t.ID)
	}
	if err != nil {
		return access.Token{}, fault(ctx, "create token "+t.ID, err)
	}
	return created, nil
}

var sqlToken = `
select ` + tokenTable.Select() + `
from tokens where id = $1`

// Token returns a token, even if it is expired or revoked. The error wraps
// access.ErrTokenNotFound if there is no such token.
func (x *Index) Token(ctx context.Context, id string) (access.Token, error) {
	if cas.CheckText("token id", id) != nil {
		return access.Token{}, fmt.Errorf("look up token %q: %w", id, access.ErrTokenNotFound)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	t, err := tokenTable.Scan(x.pool.QueryRow(call, sqlToken, id))
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
	page, w := sqlrow.Page{Columns: []string{"created_at", "id"}, Order: sqlrow.Descending, Limit: q.Limit}, sqlrow.NewWhere(sqlrow.Postgres)
	if q.After != (access.TokenPlace{}) {
		page.After(w, sqlrow.Postgres.Time(q.After.CreatedAt), q.After.ID)
	}
	query, args := page.Query(`select `+tokenTable.Select()+` from tokens`, w)
	tokens, err := list(ctx, x, tokenTable, query, args...)
	if err != nil {
		return nil, fault(ctx, "list tokens", err)
	}
	return tokens, nil
}

const sqlRevokeToken = `update tokens set revoked_at = coalesce(revoked_at, now()) where id = $1`

// RevokeToken revokes a token. A token that is revoked already keeps its time. The
// error wraps access.ErrTokenNotFound if there is no such token.
func (x *Index) RevokeToken(ctx context.Context, id string) error {
	if cas.CheckText("token id", id) != nil {
		return fmt.Errorf("revoke token %q: %w", id, access.ErrTokenNotFound)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	tag, err := x.pool.Exec(call, sqlRevokeToken, id)
	if err == nil && tag.RowsAffected() == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return tokenFault(ctx, "revoke", id, err)
	}
	return nil
}

// All gateways write batches to the same rows. Locking the rows in one order prevents
// deadlocks between two batches.
const sqlUseTokens = `
with used as materialized (
    select t.id, u.used_at
    from tokens t
    join unnest($1::text[], $2::timestamptz[]) as u(id, used_at) on u.id = t.id
    order by t.id
    for update of t
)
update tokens t set last_used_at = greatest(t.last_used_at, used.used_at)
from used where t.id = used.id`

// UseTokens records when tokens were last used, by id. A time never goes back. An
// unknown id is ignored.
func (x *Index) UseTokens(ctx context.Context, lastUsed map[string]time.Time) error {
	if len(lastUsed) == 0 {
		return nil
	}
	ids := make([]string, 0, len(lastUsed))
	times := make([]time.Time, 0, len(lastUsed))
	for id, at := range lastUsed {
		if cas.CheckText("token id", id) == nil {
			ids = append(ids, id)
			times = append(times, at.UTC())
		}
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlUseTokens, ids, times); err != nil {
		return fault(ctx, fmt.Sprintf("record the use of %d tokens", len(ids)), err)
	}
	return nil
}

// tokenFault is fault for an operation on one token. It turns "no row" into
// access.ErrTokenNotFound.
func tokenFault(ctx context.Context, doing, id string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%s token %q: %w", doing, id, access.ErrTokenNotFound)
	}
	return fault(ctx, doing+" token "+id, err)
}
