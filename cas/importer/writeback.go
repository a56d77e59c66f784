package importer

import (
	"context"
	"fmt"
	"slices"

	"casgate/cas"
)

// OldDigest is the digest for one row of the old table.
type OldDigest struct {
	ID     string // the row's
	Digest cas.Digest
}

// DigestWriter writes digests into the table that rows were imported from.
type DigestWriter interface {
	// WriteDigests sets the digest of rows that have none, or a malformed one, and
	// returns how many it changed.
	WriteDigests(ctx context.Context, ds []OldDigest) (changed int64, err error)
}

// WriteBack writes digests into the old table: those of the files that were imported
// from one of the sources and whose bytes are taken in. It returns the number of rows
// that it changed. It may be repeated.
func WriteBack(ctx context.Context, files fileLister, sources []string, w DigestWriter) (changed int64, err error) {
	q := cas.FileQuery{Limit: defaultBatch}
	for {
		page, err := patiently(ctx, 0, func() ([]cas.File, error) { return files.ListFiles(ctx, q) })
		if err != nil {
			return changed, fmt.Errorf("list files: %w", err)
		}
		var ds []OldDigest
		for _, f := range page {
			if id := OldID(f); id != "" && !f.IsPending() && slices.Contains(sources, f.Origin.Source) {
				ds = append(ds, OldDigest{id, f.Digest})
			}
		}
		if len(ds) > 0 {
			n, err := w.WriteDigests(ctx, ds)
			changed += n
			if err != nil {
				return changed, err
			}
		}
		if len(page) < q.Limit {
			return changed, nil
		}
		q.After = page[len(page)-1].Cursor()
	}
}
