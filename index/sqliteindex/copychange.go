package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"casgate/index/sqlrow"
	"casgate/providers/ledger"
)

var copyTable = sqlrow.Copies(sqlrow.SQLite)

// thisCopy is the condition that a row is that of keyArgs.
const thisCopy = `digest = ?1 and provider = ?2 and account = ?3 and purpose = ?4 and extension = ?5`

// keyArgs returns the first five arguments of a statement about one row, before more.
func keyArgs(k ledger.Key, more ...any) []any {
	return append([]any{k.Digest[:], k.Provider, k.Account, k.Purpose, k.Extension}, more...)
}

var (
	sqlCopy = `select ` + copyTable.Select() + ` from copies where ` + thisCopy

	sqlPutCopy = `
insert into copies (` + copyTable.Names() + `) values (` + copyTable.Placeholders(1) + `)
on conflict (digest, provider, account, purpose, extension) do update set ` +
		copyTable.Without(sqlrow.CopyKey...).Assignments("excluded") + `
returning ` + copyTable.Select()
)

// Change implements ledger.Store. It applies the transition twice: first to a row that
// a read returns, so that a refused one does not wait for the write lock; then, with
// that lock, to the row that it writes.
func (x *Index) Change(ctx context.Context, t ledger.Transition) (c ledger.Copy, done bool, err error) {
	if err := t.Check(); err != nil {
		return ledger.Copy{}, false, err
	}
	seen, err := x.readCopy(ctx, t.Key)
	if err != nil {
		return ledger.Copy{}, false, fault(ctx, t.String(), err)
	}
	c, outcome, refused := apply(t, seen)
	if refused != nil || outcome != ledger.Changed {
		return c, outcome == ledger.Repeated, refused
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		current, err := scanCopy(tx.QueryRowContext(ctx, sqlCopy, keyArgs(t.Key)...))
		if err != nil {
			return err
		}
		if c, outcome, refused = apply(t, current); refused != nil || outcome != ledger.Changed {
			return nil
		}
		c, err = copyTable.Scan(tx.QueryRowContext(ctx, sqlPutCopy, copyTable.Args(c)...))
		return err
	})
	if err != nil {
		return ledger.Copy{}, false, fault(ctx, t.String(), err)
	}
	return c, refused == nil && outcome != ledger.Refused, refused
}

// apply is t.Apply at the time of the index's clock, as precise as rows are.
func apply(t ledger.Transition, c ledger.Copy) (ledger.Copy, ledger.Outcome, error) {
	return t.Apply(c, time.UnixMicro(now()).UTC())
}

// readCopy reads a row by the reader. It returns the zero Copy if there is none.
func (x *Index) readCopy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return scanCopy(x.reader.QueryRowContext(ctx, sqlCopy, keyArgs(k)...))
}

// scanCopy reads a row. It returns the zero Copy if there is none.
func scanCopy(row *sql.Row) (ledger.Copy, error) {
	c, err := copyTable.Scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.Copy{}, nil
	}
	return c, err
}

// noCopy returns the error for a row that doesn't exist.
func noCopy(doing string, k ledger.Key) error {
	return fmt.Errorf("%s copy %s: %w", doing, k, ledger.ErrNotFound)
}
