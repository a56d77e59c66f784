package pgindex_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/journal"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
)

// matching is how many files or records each selective filter lets through, however
// many there are, and pageSize how many of them are asked for.
const (
	matching = 40
	pageSize = 20
)

// sqlSeedFiles makes $1 files, and among them the files that each kind of page must find.
const sqlSeedFiles = `
insert into files (id, digest, size, name, media_type, purpose, context, tags, metadata, created_at, expires_at)
select 'file-' || md5(i::text), sha256(('d' || grp)::bytea), 1000, 'g' || grp || '-report-' || i || '.pdf', 'application/pdf',
    (array['assistants', 'batch', 'vision', 'user_data', 'retrieval'])[1 + i % 5], 'c' || grp,
    array['t' || grp, 'all'], jsonb_build_object('user', grp, 'kind', 'report'), now() - make_interval(secs => $1::integer - i),
    case when i % 10 = 0 then now() + interval '1 day' end
from (select i, i % ($1::integer / $2::integer) as grp from generate_series(1, $1::integer) as i) as seeds`

// seedFiles makes files, and lets Postgres count them.
func seedFiles(t testing.TB, x testIndex, files int) {
	t.Helper()
	for _, statement := range []string{sqlSeedFiles, "analyze files"} {
		var args []any
		if strings.Contains(statement, "$1") {
			args = []any{files, matching}
		}
		if _, err := x.db.Exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// filePages lists pages whose cost must not grow with the number of files.
func filePages() map[string]cas.FileQuery {
	pages := map[string]cas.FileQuery{
		"plain":       {},
		"purpose":     {Purpose: "vision"},
		"name prefix": {NamePrefix: "g7-"},
		"context":     {Context: "c7"},
		"digest":      {Digest: cas.DigestOf([]byte("d7"))},
		"tag":         {Tag: "t7"},
		"metadata":    {Metadata: json.RawMessage(`{"user":7}`)},
	}
	for name, q := range pages {
		q.Limit = pageSize
		pages[name] = q
		if name == "plain" || name == "purpose" {
			q.Descending = true
			pages[name+", newest first"] = q
		}
	}
	return pages
}

// plan is Postgres's description of an execution.
type plan struct {
	Node     string  `json:"Node Type"`
	Rows     float64 `json:"Actual Rows"`
	Filtered float64 `json:"Rows Removed by Filter"`
	Hit      int     `json:"Shared Hit Blocks"`
	Read     int     `json:"Shared Read Blocks"`
	Plans    []plan
}

// each calls f for a plan and all its parts.
func (p plan) each(f func(plan)) {
	f(p)
	for _, part := range p.Plans {
		part.each(f)
	}
}

// explain runs a query and returns how.
func (x testIndex) explain(t testing.TB, query string, args ...any) plan {
	t.Helper()
	var text []byte
	if err := x.db.QueryRow(t.Context(), "explain (analyze, buffers, format json) "+query, args...).Scan(&text); err != nil {
		t.Fatal(err)
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	return plans[0].Plan
}

// checkPages compares the cost of pages in two databases, one with ten times as many
// rows. The cost is in rows and blocks, which are the same every time.
func checkPages(t *testing.T, small, large testIndex, pages map[string]func() (query string, args []any)) {
	t.Helper()
	for name, page := range pages {
		query, args := page()
		before, after := small.explain(t, query, args...), large.explain(t, query, args...)
		if before.Rows != pageSize || after.Rows != pageSize {
			t.Errorf("%s: pages of %v and %v; want %d", name, before.Rows, after.Rows, pageSize)
		}
		rows := 0.0
		after.each(func(p plan) {
			if p.Node == "Seq Scan" && p.Rows+p.Filtered > 0 { // a partition may be empty
				t.Errorf("%s: it reads the whole table", name)
			}
			rows = max(rows, p.Rows+p.Filtered)
		})
		if rows > 10*pageSize {
			t.Errorf("%s: it reads %v rows", name, rows)
		}
		// Some more for the levels that indexes have grown by.
		if blocks, was := after.Hit+after.Read, before.Hit+before.Read; float64(blocks) > 1.2*float64(was)+3 {
			t.Errorf("%s: it reads %d blocks, and %d where there is a tenth", name, blocks, was)
		}
	}
}

func TestFilePagesCostTheSame(t *testing.T) {
	t.Parallel()
	small, large := newTestIndex(t, pgtest.New(t)), newTestIndex(t, pgtest.New(t))
	seedFiles(t, small, castest.Thorough(5_000, 2_000))
	seedFiles(t, large, castest.Thorough(50_000, 20_000))
	pages := map[string]func() (string, []any){}
	for name, q := range filePages() {
		pages[name] = func() (string, []any) { return pgindex.ListFilesQuery(q) }
		// The pages after the first, too.
		if name != "plain" && name != "purpose" {
			continue
		}
		q.After = cas.FileCursor{CreatedAt: time.Now().Add(-3000 * time.Second), ID: "file-5"}
		pages[name+", in the middle"] = func() (string, []any) { return pgindex.ListFilesQuery(q) }
	}
	checkPages(t, small, large, pages)
}

// sqlSeedRecords makes $1 records.
const sqlSeedRecords = `
insert into journal (operation, kind, actor, digest, file_id, provider, started_at, duration, bytes, outcome, error_code)
select 'op-' || i, case when i % ($1::integer / $2::integer) = 7 then 'evict' else 'download' end, 'token:' || i % ($1 / $2),
    sha256(('d' || i % ($1 / $2))::bytea), case when i % ($1 / $2) = 7 then 'file-7' else '' end,
    case when i % ($1 / $2) = 7 then 'kimi' else '' end, now() - make_interval(secs => $1 - i), 1000, 1000,
    case when i % ($1 / $2) = 7 then 'failed' else 'ok' end, ''
from generate_series(1, $1::integer) as i`

func TestRecordPagesCostTheSame(t *testing.T) {
	t.Parallel()
	small, large := newTestIndex(t, pgtest.New(t)), newTestIndex(t, pgtest.New(t))
	for x, records := range map[testIndex]int{small: castest.Thorough(5_000, 2_000), large: castest.Thorough(50_000, 20_000)} {
		if _, err := x.db.Exec(t.Context(), sqlSeedRecords, records, matching); err != nil {
			t.Fatal(err)
		}
		if _, err := x.db.Exec(t.Context(), "analyze journal"); err != nil {
			t.Fatal(err)
		}
	}
	pages := map[string]func() (string, []any){}
	for name, q := range map[string]journal.Query{
		"plain":    {},
		"after":    {After: 100},
		"kind":     {Kind: journal.KindEvict},
		"actor":    {Actor: "token:7"},
		"digest":   {Digest: cas.DigestOf([]byte("d7"))},
		"file":     {FileID: "file-7"},
		"provider": {Provider: "kimi"},
		"outcome":  {Outcome: journal.OutcomeFailed},
		"since":    {Since: time.Now().Add(-150 * time.Second)},
	} {
		q.Limit = pageSize
		pages[name] = func() (string, []any) { return pgindex.ListRecordsQuery(q) }
	}
	checkPages(t, small, large, pages)
}

// A page among ten thousand and a million files: go test -bench ListFiles.
func BenchmarkListFiles(b *testing.B) {
	for _, files := range []int{10_000, 1_000_000} {
		x := newTestIndex(b, pgtest.New(b))
		seedFiles(b, x, files)
		for name, q := range filePages() {
			b.Run(fmt.Sprintf("%s/%d", name, files), func(b *testing.B) {
				for b.Loop() {
					page, err := x.ListFiles(b.Context(), q)
					if err != nil || len(page) != q.Limit {
						b.Fatalf("a page of %d, error %v", len(page), err)
					}
				}
			})
		}
	}
}

func BenchmarkCreateFile(b *testing.B) {
	x := open(b, pgindex.Options{URL: pgtest.New(b)})
	put(b, x)
	for b.Loop() {
		f := cas.File{ID: cas.NewFileID(), Digest: some.Digest, Name: "a.txt", MediaType: "text/plain", Purpose: "assistants"}
		if _, err := x.CreateFile(b.Context(), cas.NewFile{File: f}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendRecords(b *testing.B) {
	x := open(b, pgindex.Options{URL: pgtest.New(b)})
	records := make([]journal.Record, 1000)
	for i := range records {
		records[i] = journal.Record{
			ID: fmt.Sprint(i), Kind: journal.KindDownload, Actor: "token:a", Digest: randomDigest(),
			Start: time.Now(), Outcome: journal.OutcomeOK,
		}
	}
	for b.Loop() {
		if err := x.AppendRecords(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
}
