package sqliteindex

import (
	"context"
	"database/sql"

	"casgate/providers"
)

const (
	sqlMakeMark = `insert into installation (id, mark, created_at) values (1, ?, ?) on conflict (id) do nothing`
	sqlMark     = `select mark from installation`
)

// Mark implements ledger.Store.
func (x *Index) Mark(ctx context.Context) (providers.Mark, error) {
	var mark providers.Mark
	err := x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlMakeMark, string(providers.NewMark()), now()); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, sqlMark).Scan(&mark)
	})
	if err != nil {
		return "", fault(ctx, "read the installation's mark", err)
	}
	return mark, nil
}

const sqlRestoreMark = `
insert into installation (id, mark, created_at) values (1, ?, ?)
on conflict (id) do update set mark = excluded.mark
where not exists (select 1 from blobs) and not exists (select 1 from files) and not exists (select 1 from copies)`

// RestoreMark implements reindexer.Index.
func (x *Index) RestoreMark(ctx context.Context, mark string) (current string, err error) {
	if err := providers.Mark(mark).Check(); err != nil {
		return "", err
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlRestoreMark, mark, now()); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, sqlMark).Scan(&current)
	})
	if err != nil {
		return "", fault(ctx, "restore the installation's mark", err)
	}
	return current, nil
}
