package pgindex

import (
	"context"
	"fmt"

	"casgate/cas"
	"casgate/index"
)

// listFiles returns the query for a page of files.
func listFiles(q cas.FileQuery) (query string, args []any) {
	var w where
	w.add(aliveFile)
	// Conditions that follow from others are there to name the partial index that
	// serves them.
	if q.Purpose != "" {
		w.add(`f.purpose = ?`, q.Purpose)
	}
	if q.Context != "" {
		w.add(`f.context = ? and f.context <> ''`, q.Context)
	}
	if q.Tag != "" {
		w.add(`f.tags @> ?::text[] and f.tags <> '{}'`, []string{q.Tag})
	}
	if q.NamePrefix != "" {
		w.add(`f.name >= ?`, q.NamePrefix)
		if end, bounded := index.PrefixEnd(q.NamePrefix); bounded {
			w.add(`f.name < ?`, end)
		}
	}
	if !q.Digest.IsZero() {
		w.add(`f.digest = ?`, q.Digest[:])
	}
	if len(q.Metadata) > 0 && !index.IsEmptyObject(q.Metadata) {
		w.add(`f.metadata @> ?::jsonb and f.metadata <> '{}'`, string(q.Metadata))
	}
	if q.Pending {
		w.add(`f.digest is null`)
	}
	beyond, order := ">", ""
	if q.Descending {
		beyond, order = "<", " desc"
	}
	if q.After != (cas.FileCursor{}) {
		w.add(`(f.created_at, f.id) `+beyond+` (?::timestamptz, ?::text)`, q.After.CreatedAt.UTC(), q.After.ID)
	}
	query = `
select ` + fileColumns + ` from files f` + w.text() + `
order by f.created_at` + order + `, f.id` + order + `
limit ` + w.arg(int64(q.Limit))
	return query, w.args
}

// ListFiles implements cas.FileIndex.
func (x *Index) ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error) {
	if err := q.Check(); err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	if !q.CanMatch() {
		return nil, nil
	}
	query, args := listFiles(q)
	list, err := x.files(ctx, query, args...)
	if err != nil {
		return nil, fault(ctx, "list files", err)
	}
	return list, nil
}
