package pgindex

import (
	"context"

	"casgate/providers"
)

// The update changes nothing, but makes the statement return the existing row. It
// also waits for the row of a concurrent first call.
const sqlMark = `
insert into installation as i (mark) values ($1)
on conflict (id) do update set mark = i.mark
returning mark`

// Mark implements ledger.Store.
func (x *Index) Mark(ctx context.Context) (providers.Mark, error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	var mark providers.Mark
	if err := x.pool.QueryRow(call, sqlMark, string(providers.NewMark())).Scan(&mark); err != nil {
		return "", fault(ctx, "read the installation's mark", err)
	}
	return mark, nil
}

const sqlRestoreMark = `
insert into installation as i (mark) values ($1)
on conflict (id) do update set mark = case
    when exists (select from blobs) or exists (select from files) or exists (select from copies) then i.mark
    else excluded.mark
end
returning mark`

// RestoreMark implements reindexer.Index.
func (x *Index) RestoreMark(ctx context.Context, mark string) (current string, err error) {
	if err := providers.Mark(mark).Check(); err != nil {
		return "", err
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	if err := x.pool.QueryRow(call, sqlRestoreMark, mark).Scan(&current); err != nil {
		return "", fault(ctx, "restore the installation's mark", err)
	}
	return current, nil
}
