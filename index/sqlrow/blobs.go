package sqlrow

import (
	"time"

	"casgate/cas"
)

// Blobs has the columns of the table blobs that readers see.
func Blobs(d *Dialect) Table[cas.Blob] {
	type row = cas.Blob
	return New(d,
		Digest("digest", func(b *row) *cas.Digest { return &b.Digest }),
		Int("size", func(b *row) *int64 { return &b.Size }),
		Text("media_type", func(b *row) *string { return &b.MediaType }),
		Text("name", func(b *row) *string { return &b.Name }),
		Text("state", func(b *row) *cas.State { return &b.State }),
		Int("generation", func(b *row) *int32 { return &b.Generation }),
		Time("created_at", func(b *row) *time.Time { return &b.CreatedAt }),
	)
}
