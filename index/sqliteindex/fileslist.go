package sqliteindex

import (
	"context"
	"fmt"
	"slices"

	"casgate/cas"
	"casgate/index"
	"casgate/index/sqlrow"
)

// fileFilter has the conditions of a query that are checked in Go, not in SQL.
type fileFilter struct {
	tag      string
	metadata map[string]any
}

// terms returns terms that every file has that passes the filter.
func (l fileFilter) terms() []term {
	terms := metadataTerms(l.metadata)
	if l.tag != "" {
		terms = slices.Insert(terms, 0, tagTerm(l.tag))
	}
	return terms
}

// passes reports whether a file passes the filter.
func (l fileFilter) passes(f cas.File) (bool, error) {
	if l.tag != "" && !slices.Contains(f.Tags, l.tag) {
		return false, nil
	}
	if len(l.metadata) == 0 {
		return true, nil
	}
	object, err := decodeMetadata(f.Metadata)
	return contains(object, l.metadata), err
}

// listFiles returns the query for a page of files. Some of them may not pass the
// filter.
func listFiles(q cas.FileQuery, filter fileFilter) (query string, args []any) {
	w := sqlrow.NewWhere(sqlrow.SQLite)
	from, createdAt, id := `files f`, `f.created_at`, `f.id`
	// The first term selects the files, in their order, unless there is a digest, which
	// selects fewer.
	if terms := filter.terms(); len(terms) > 0 && q.Digest.IsZero() {
		from, createdAt, id = `file_terms t cross join files f on f.id = t.file_id`, `t.created_at`, `t.file_id`
		w.Add(`t.term = ?`, terms[0])
		for _, other := range terms[1:] {
			w.Add(`exists (select 1 from file_terms o where o.term = ? and o.created_at = t.created_at and o.file_id = t.file_id)`, other)
		}
	}
	w.Add(`(f.expires_at is null or f.expires_at > ?)`, now())
	// A condition that follows from another one names the partial index that serves the
	// query.
	if q.Purpose != "" {
		w.Add(`f.purpose = ?`, q.Purpose)
	}
	if q.Context != "" {
		w.Add(`f.context = ? and f.context <> ''`, q.Context)
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
	if q.Pending {
		w.Add(`f.digest is null`)
	}
	page := sqlrow.Page{Columns: []string{createdAt, id}, Order: sqlrow.Order(q.Descending), Limit: q.Limit}
	if q.After != (cas.FileCursor{}) {
		page.After(w, q.After.CreatedAt.UnixMicro(), q.After.ID)
	}
	return page.Query(`select `+fileTable.SelectOf("f")+` from `+from, w)
}

// ListFiles implements cas.FileIndex.
func (x *Index) ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error) {
	if err := q.Check(); err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	if !q.CanMatch() {
		return nil, nil
	}
	metadata, err := decodeMetadata(q.Metadata)
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	filter := fileFilter{tag: q.Tag, metadata: metadata}
	var passed []cas.File
	for limit := q.Limit; ; {
		q.Limit = limit - len(passed)
		query, args := listFiles(q, filter)
		page, err := search(ctx, x, fileTable, query, args...)
		if err != nil {
			return nil, fault(ctx, "list files", err)
		}
		for _, f := range page {
			pass, err := filter.passes(f)
			if err != nil {
				return nil, fault(ctx, "list files", err)
			}
			if pass {
				passed = append(passed, f)
			}
		}
		if len(page) < q.Limit || len(passed) == limit {
			return passed, nil
		}
		q.After = page[len(page)-1].Cursor()
	}
}
