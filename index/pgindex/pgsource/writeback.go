package pgsource

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"casgate/cas/importer"
)

var _ importer.DigestWriter = (*Table)(nil)

// WriteDigests implements importer.DigestWriter, in one transaction: rows whose
// SHA-256 is null, or anything but 64 lower-case digits, get the digest in that form.
// This is the only thing that ever writes into the old table.
func (t *Table) WriteDigests(ctx context.Context, ds []importer.OldDigest) (changed int64, err error) {
	ids, digests := make([]string, len(ds)), make([]string, len(ds))
	for i, d := range ds {
		ids[i], digests[i] = d.ID, d.Digest.Hex()
	}
	err = t.inTransaction(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		columns, err := t.columns(ctx, tx)
		if err != nil {
			return err
		}
		id, err := column(columns, importer.FieldID)
		if err != nil {
			return err
		}
		digest, err := column(columns, importer.FieldSHA256)
		if err != nil {
			return err
		}
		// Ids are compared in their own type, so that the table's index on them is used.
		var idType string
		const sqlType = "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = to_regclass($1) and attname = $2"
		if err := tx.QueryRow(ctx, sqlType, t.table.Sanitize(), id).Scan(&idType); err != nil {
			return t.fault(ctx, err)
		}
		id, digest = pgx.Identifier{id}.Sanitize(), pgx.Identifier{digest}.Sanitize()
		tag, err := tx.Exec(ctx, fmt.Sprintf(`
update %s as old set %s = found.digest
from unnest($1::text[], $2::text[]) as found (id, digest)
where old.%s = found.id::%s and (old.%s is null or old.%s::text !~ '^[0-9a-f]{64}$')`,
			t.table.Sanitize(), digest, id, idType, digest, digest), ids, digests)
		if err != nil {
			return t.fault(ctx, err)
		}
		changed = tag.RowsAffected()
		return nil
	})
	return changed, err
}

// column returns the name of a field's column, which must be there to be written.
func column(columns []importer.Column, field importer.Field) (string, error) {
	i := slices.IndexFunc(columns, func(c importer.Column) bool { return c.Field == field })
	if i < 0 {
		return "", fmt.Errorf("%w: the old table has no column for %s, which writing back needs (--map %s=COLUMN names one)", importer.ErrMapping, field, field)
	}
	return columns[i].Name, nil
}
