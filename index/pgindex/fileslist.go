package pgindex

import (
	"context"
	"fmt"

	"casgate/cas"
	"casgate/index"
	"casgate/index/sqlrow"
)

// listFiles returns the query for a page of files.
func listFiles(q cas.FileQuery) (query string, args []any) {
	w := sqlrow.NewWhere(sqlrow.Postgres)
	w.Add(aliveFile)
	// A condition that follows from another one names the partial index that serves the
	// query.
	if q.Purpose != "" {
		w.Add(`f.purpose = ?`, q.Purpose)
	}
	if q.Context != "" {
		w.Add(`f.context = ? and f.context <> ''`, q.Context)
	}
	if q.Tag != "" {
		w.Add(`f.tags @> ?::text[] and f.tags <> '{}'`, []string{q.Tag})
	}
	if q.NamePrefix != "" {
		w.Add(`f.name >= ?`, q.NamePrefix)
		if end, bounded := index.PrefixEnd(q.NamePrefix); bounded {
			w.Add(`f.name < ?`, end)
		}
	}
	if !q.Digest.IsZero() {
		w.Add(`f.digest = ?`, q.Digest[:])
	}
	if len(q.Metadata) > 0 && !index.IsEmptyObject(q.Metadata) {
		w.Add(`f.metadata @> ?::jsonb and f.metadata <> '{}'`, string(q.Metadata))
	}
	if q.Pending {
		w.Add(`f.digest is null`)
	}
	page := sqlrow.Page{Columns: []string{"f.created_at", "f.id"}, Order: sqlrow.Order(q.Descending), Limit: q.Limit}
	if q.After != (cas.FileCursor{}) {
		page.After(w, q.After.CreatedAt.UTC(), q.After.ID)
	}
	return page.Query(`select `+fileTable.SelectOf("f")+` from files f`, w)
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
	page, err := search(ctx, x, fileTable, query, args...)
	if err != nil {
		return nil, fault(ctx, "list files", err)
	}
	return page, nil
}
