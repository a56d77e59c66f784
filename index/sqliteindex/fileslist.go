package sqliteindex

import (
	"context"
	"fmt"
	"slices"

	"casgate/cas"
	"casgate/index"
)

// fileFilter is what a query asks for that only Go can tell.
type fileFilter struct {
	tag      string
	metadata map[string]any
}

// terms returns the terms of all files that the filter lets through.
func (l fileFilter) terms() []term {
	terms := metadataTerms(l.metadata)
	if l.tag != "" {
		terms = slices.Insert(terms, 0, tagTerm(l.tag))
	}
	return terms
}

// passes decides about one file.
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

// listFiles returns the query for a page of files, some of which may not pass the
// filter.
func listFiles(q cas.FileQuery, filter fileFilter) (query string, args []any) {
	var w where
	from, createdAt, id := `files f`, `f.created_at`, `f.id`
	// One of the terms leads to the files, in their order; unless there is a digest,
	// which is narrower than any.
	if terms := filter.terms(); len(terms) > 0 && q.Digest.IsZero() {
		from, createdAt, id = `file_terms t cross join files f on f.id = t.file_id`, `t.created_at`, `t.file_id`
		w.add(`t.term = ?`, terms[0])
		for _, other := range terms[1:] {
			w.add(`exists (select 1 from file_terms o where o.term = ? and o.created_at = t.created_at and o.file_id = t.file_id)`, other)
		}
	}
	w.add(`(f.expires_at is null or f.expires_at > ?)`, now())
	// Conditions that follow from others are there to name the partial index that
	// serves them.
	if q.Purpose != "" {
		w.add(`f.purpose = ?`, q.Purpose)
	}
	if q.Context != "" {
		w.add(`f.context = ? and f.context <> ''`, q.Context)
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
	if q.Pending {
		w.add(`f.digest is null`)
	}
	beyond, order := ">", ""
	if q.Descending {
		beyond, order = "<", " desc"
	}
	if q.After != (cas.FileCursor{}) {
		w.add(`(`+createdAt+`, `+id+`) `+beyond+` (?, ?)`, q.After.CreatedAt.UnixMicro(), q.After.ID)
	}
	query = `select ` + fileFields + ` from ` + from + w.text() + `
order by ` + createdAt + order + `, ` + id + order + `
limit ?`
	return query, append(w.args, q.Limit)
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
	var list []cas.File
	for limit := q.Limit; ; {
		q.Limit = limit - len(list)
		query, args := listFiles(q, filter)
		page, err := collect(ctx, x, scanFile, query, args...)
		if err != nil {
			return nil, fault(ctx, "list files", err)
		}
		for _, f := range page {
			pass, err := filter.passes(f)
			if err != nil {
				return nil, fault(ctx, "list files", err)
			}
			if pass {
				list = append(list, f)
			}
		}
		if len(page) < q.Limit || len(list) == limit {
			return list, nil
		}
		q.After = page[len(page)-1].Cursor()
	}
}
