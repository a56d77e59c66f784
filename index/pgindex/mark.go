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
	call, cancel := bounded(ctx)
	defer cancel()
	var mark providers.Mark
	if err := x.pool.QueryRow(call, sqlMark, string(providers.NewMark())).Scan(&mark); err != nil {
		return "", fault(ctx, "read the installation's mark", err)
	}
	return mark, nil
}
