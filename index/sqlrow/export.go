package sqlrow

import (
	"time"

	"casgate/cas"
	"casgate/index/export"
)

// ExportedBlobs is the table blobs with all columns that an export has.
func ExportedBlobs(d *Dialect) Table[export.Blob] {
	type row = export.Blob
	var columns []Column[row]
	for _, c := range Blobs(d).columns {
		columns = append(columns, partOf(c, func(b *row) *cas.Blob { return &b.Blob }))
	}
	return New(d, append(columns,
		Time("touched_at", func(b *row) *time.Time { return &b.TouchedAt }),
		NullTime("condemned_at", func(b *row) *time.Time { return &b.CondemnedAt }),
		NullTime("deleting_at", func(b *row) *time.Time { return &b.DeletingAt }),
		NullTime("verified_at", func(b *row) *time.Time { return &b.VerifiedAt }),
	)...)
}

// Texts is the table extracted_texts.
func Texts(d *Dialect) Table[export.Text] {
	type row = export.Text
	return New(d,
		Digest("digest", func(t *row) *cas.Digest { return &t.Digest }),
		Text("provider", func(t *row) *string { return &t.Provider }),
		Text("extension", func(t *row) *string { return &t.Extension }),
		Digest("text_digest", func(t *row) *cas.Digest { return &t.Text }),
		Time("created_at", func(t *row) *time.Time { return &t.CreatedAt }),
	)
}

// partOf makes a column of a part into a column of the whole row.
func partOf[R, P any](c Column[P], part func(*R) *P) Column[R] {
	whole := Column[R]{Name: c.Name, Type: c.Type,
		Target: func(d *Dialect, row *R) any { return c.Target(d, part(row)) },
		Value:  func(d *Dialect, row *R) any { return c.Value(d, part(row)) }}
	if c.Scanned != nil {
		whole.Scanned = func(row *R) { c.Scanned(part(row)) }
	}
	return whole
}
