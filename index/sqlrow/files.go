package sqlrow

import (
	"encoding/json"
	"fmt"
	"time"

	"casgate/cas"
)

// Files is the table files.
func Files(d *Dialect) Table[cas.File] {
	type row = cas.File
	return New(d,
		Text("id", func(f *row) *string { return &f.ID }),
		NullDigest("digest", func(f *row) *cas.Digest { return &f.Digest }),
		Int("size", func(f *row) *int64 { return &f.Size }),
		Text("name", func(f *row) *string { return &f.Name }),
		Text("media_type", func(f *row) *string { return &f.MediaType }),
		Text("purpose", func(f *row) *string { return &f.Purpose }),
		Text("context", func(f *row) *string { return &f.Context }),
		TextArray("tags", func(f *row) *[]string { return &f.Tags }),
		JSONObject("metadata", func(f *row) *json.RawMessage { return &f.Metadata }),
		NullTime("created_at", func(f *row) *time.Time { return &f.CreatedAt }),
		NullTime("accessed_at", func(f *row) *time.Time { return &f.AccessedAt }),
		NullTime("expires_at", func(f *row) *time.Time { return &f.ExpiresAt }),
		Text("on_expiry", func(f *row) *string { return &f.OnExpiry }),
		originSource("origin_source"),
		Text("origin_key", func(f *row) *string { return &origin(f).Key }),
		NullDigest("origin_digest", func(f *row) *cas.Digest { return &origin(f).Digest }),
		Text("origin_provider", func(f *row) *string { return &origin(f).Provider }),
		Text("origin_file_id", func(f *row) *string { return &origin(f).ProviderFileID }),
		Text("origin_error", func(f *row) *string { return &origin(f).Error }),
	)
}

// origin returns the origin of a file. It makes an empty one if there is none; a file
// is handed over by value, so the caller's stays without.
func origin(f *cas.File) *cas.Origin {
	if f.Origin == nil {
		f.Origin = new(cas.Origin)
	}
	return f.Origin
}

// originSource is the column that is null if the file has no origin. It comes before
// the other columns of an origin, which give the file one.
func originSource(name string) Column[cas.File] {
	return Column[cas.File]{Name: name, Type: TypeText,
		Target: func(_ *Dialect, f *cas.File) any { return (*fileOrigin)(f) },
		Value: func(_ *Dialect, f *cas.File) any {
			if f.Origin == nil {
				return nil
			}
			return f.Origin.Source
		}}
}

// fileOrigin scans originSource. Null takes the origin away from the file; the other
// columns of it are then scanned into an origin without a file.
type fileOrigin cas.File

// Scan implements sql.Scanner.
func (f *fileOrigin) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		f.Origin = nil
	case string:
		origin((*cas.File)(f)).Source = src
	default:
		return fmt.Errorf("scan the source of an origin from %T", src)
	}
	return nil
}
