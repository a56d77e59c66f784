package sqliteindex_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/index/sqliteindex"
)

// filePages lists pages whose cost must not grow with the number of files, and the
// index each is to be read from, in the order of the listing or not.
var filePages = map[string]struct {
	query  cas.FileQuery
	index  string
	sorted bool
}{
	"plain":       {cas.FileQuery{}, "files_created", true},
	"purpose":     {cas.FileQuery{Purpose: "vision"}, "files_purpose", true},
	"context":     {cas.FileQuery{Context: "c7"}, "files_context", true},
	"name prefix": {cas.FileQuery{NamePrefix: "g7-"}, "files_name", false},
	"digest":      {cas.FileQuery{Digest: cas.DigestOf([]byte("d7"))}, "files_digest", true},
	"pending":     {cas.FileQuery{Pending: true}, "files_pending", true},
	"tag":         {cas.FileQuery{Tag: "t7"}, "t USING PRIMARY KEY", true},
	"metadata":    {cas.FileQuery{Metadata: json.RawMessage(`{"user":7}`)}, "t USING PRIMARY KEY", true},
}

// plan returns how SQLite would run a query.
func (x testIndex) plan(t testing.TB, query string, args []any) string {
	t.Helper()
	rows, err := x.db.QueryContext(t.Context(), "explain query plan "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(steps, "; ")
}

func TestPagesAreReadFromTheirIndexes(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t)
	for name, page := range filePages {
		for _, after := range []cas.FileCursor{{}, {CreatedAt: time.Unix(1, 0), ID: "file-1"}} {
			for _, descending := range []bool{false, true} {
				q := page.query
				q.Limit, q.After, q.Descending = 100, after, descending
				query, args := sqliteindex.ListFilesQuery(t, q)
				plan := x.plan(t, query, args)
				if !strings.Contains(plan, page.index) || strings.Contains(plan, "TEMP B-TREE") == page.sorted {
					t.Errorf("%s, newest first %v: %s", name, descending, plan)
				}
			}
		}
	}
	if plan := x.plan(t, sqliteindex.RecordQuery, []any{"an id"}); !strings.Contains(plan, "journal_operation") || strings.Contains(plan, "TEMP B-TREE") {
		t.Errorf("one operation: %s", plan)
	}
	for index, q := range map[string]journal.Query{
		"SCAN journal":                {},
		"INTEGER PRIMARY KEY (rowid>": {After: 7},
		"journal_kind":                {Kind: journal.KindEvict},
		"journal_actor":               {Actor: "token:7"},
		"journal_digest":              {Digest: cas.DigestOf([]byte("d7"))},
		"journal_file":                {FileID: "file-7"},
		"journal_provider":            {Provider: "kimi"},
		"journal_outcome":             {Outcome: journal.OutcomeFailed},
	} {
		q.Limit = 100
		query, args := sqliteindex.ListRecordsQuery(q)
		if plan := x.plan(t, query, args); !strings.Contains(plan, index) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%+v: %s; want %s", q, plan, index)
		}
	}
}

// A page among ten thousand and a hundred thousand files: go test -bench ListFiles.
func BenchmarkListFiles(b *testing.B) {
	const matching = 200
	for _, files := range []int{10_000, 100_000} {
		x := newTestIndex(b)
		put(b, x.Index)
		batch := make([]cas.File, 0, 1000)
		for n := range files {
			group := n % (files / matching)
			batch = append(batch, cas.File{
				ID: fmt.Sprintf("file-%012d", n), Size: -1, Name: fmt.Sprintf("g%d-report-%d.pdf", group, n), MediaType: "application/pdf",
				Purpose: []string{"assistants", "batch", "vision", "user_data", "retrieval"}[n%5], Context: fmt.Sprintf("c%d", group),
				Tags: []string{fmt.Sprintf("t%d", group)}, Metadata: fmt.Appendf(nil, `{"user":%d}`, group),
				CreatedAt: time.Unix(int64(n), 0), Origin: &cas.Origin{Source: "old", Key: "k"},
			})
			if len(batch) < cap(batch) {
				continue
			}
			if _, err := x.ImportFiles(b.Context(), batch, cas.ImportFilesOptions{}); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
		for name, page := range filePages {
			if name == "digest" {
				continue // they are pending
			}
			page.query.Limit = 100
			b.Run(fmt.Sprintf("%s/%d", name, files), func(b *testing.B) {
				for b.Loop() {
					list, err := x.ListFiles(b.Context(), page.query)
					if err != nil || len(list) != page.query.Limit {
						b.Fatalf("a page of %d, error %v", len(list), err)
					}
				}
			})
		}
	}
}

func BenchmarkCreateFile(b *testing.B) {
	x := newTestIndex(b)
	put(b, x.Index)
	for b.Loop() {
		f := cas.File{ID: cas.NewFileID(), Digest: some.Digest, Name: "a.txt", MediaType: "text/plain", Purpose: "assistants"}
		if _, err := x.CreateFile(b.Context(), cas.NewFile{File: f}); err != nil {
			b.Fatal(err)
		}
	}
}
