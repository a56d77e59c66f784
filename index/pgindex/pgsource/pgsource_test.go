package pgsource_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/importer"
	"casgate/index/pgindex/pgsource"
	"casgate/index/pgindex/pgtest"
)

const oldTable = `
create table files (
	id uuid primary key default gen_random_uuid(),
	storage_path text not null,
	original_name varchar(500),
	mime_type text,
	size_bytes bigint,
	file_type text,
	created_at timestamptz,
	sha256 text,
	provider_file_id text,
	provider text,
	accessed_at timestamp,
	metadata jsonb,
	"Some Other" bytea
)`

// database makes a database, runs the statements in it, and returns its direct URL,
// its URL through the pooler, and a connection.
func database(t *testing.T, statements ...string) (direct, pooled string, conn *pgx.Conn) {
	t.Helper()
	direct = pgtest.NewEmpty(t)
	pooled = pgtest.Pooled(t, castest.Service(t, pgtest.PoolerVariable), direct)
	conn, err := pgx.Connect(t.Context(), direct)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return direct, pooled, conn
}

func newTable(t *testing.T, o pgsource.Options) *pgsource.Table {
	t.Helper()
	if o.Table == "" {
		o.Table = "files"
	}
	table, err := pgsource.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func all(ctx context.Context, table *pgsource.Table) (rows []importer.Row, err error) {
	for row, err := range table.Rows(ctx) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func TestRows(t *testing.T) {
	t.Parallel()
	direct, pooled, _ := database(t, oldTable, `
insert into files values
('0f2b7c1e-93a4-4d4e-8a55-0123456789ab', 'a/b', 'B "1".pdf', 'application/pdf', 12, 'document', '2024-05-06 07:08:09.123456+02',
 'ABC', 'cn5', 'kimi', '2024-05-06 07:08:09', '{"a": [1, null]}', '\x00')`,
		`insert into files values ('1f2b7c1e-93a4-4d4e-8a55-0123456789ab', 'c')`)
	want := []importer.Row{
		{
			ID: "0f2b7c1e-93a4-4d4e-8a55-0123456789ab", Key: "a/b", Name: `B "1".pdf`, MediaType: "application/pdf", Size: "12", Type: "document",
			CreatedAt: "2024-05-06 05:08:09.123456+00", SHA256: "ABC", ProviderFileID: "cn5", Provider: "kimi",
			AccessedAt: "2024-05-06 07:08:09", Metadata: `{"a": [1, null]}`,
		},
		{ID: "1f2b7c1e-93a4-4d4e-8a55-0123456789ab", Key: "c"},
	}
	for name, url := range map[string]string{"direct": direct, "pooled": pooled} {
		table := newTable(t, pgsource.Options{URL: url, Table: "public.files"})
		rows, err := all(t.Context(), table)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if _, notes, err := rows[0].File("s3://old", time.Now()); err != nil || len(notes) != 1 { // the SHA-256
			t.Errorf("%s: %q, %v", name, notes, err)
		}
		if n, err := table.Count(t.Context()); n != 2 || err != nil {
			t.Errorf("%s: %d rows, %v", name, n, err)
		}
	}
}

func TestManyRowsOfAnotherShape(t *testing.T) {
	t.Parallel()
	const n = 2500
	direct, pooled, conn := database(t,
		`create schema "Old"`,
		`create table "Old"."The Files" (number int, "the path" text, content_hash char(64), added date)`,
		fmt.Sprintf(`insert into "Old"."The Files" select i, 'k' || i, null, '2024-01-02' from generate_series(1, %d) i`, n),
		`create view some_files as select number, "the path" from "Old"."The Files" where number <= 500`)
	mapping := importer.Mapping{importer.FieldID: "number", importer.FieldKey: "the path", importer.FieldSHA256: "content_hash", importer.FieldCreatedAt: "added"}
	for _, url := range []string{direct, pooled} {
		rows, err := all(t.Context(), newTable(t, pgsource.Options{URL: url, Table: "Old.The Files", Mapping: mapping}))
		if err != nil || len(rows) != n {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if want := (importer.Row{ID: "1", Key: "k1", CreatedAt: "2024-01-02"}); rows[0] != want {
			t.Errorf("%+v", rows[0])
		}
		view := importer.Mapping{importer.FieldID: "number", importer.FieldKey: "the path"}
		if rows, err := all(t.Context(), newTable(t, pgsource.Options{URL: url, Table: "some_files", Mapping: view})); err != nil || len(rows) != 500 {
			t.Errorf("a view: %d rows, %v", len(rows), err)
		}
	}

	// A reader that stops in the middle leaves no transaction open.
	for range newTable(t, pgsource.Options{URL: direct, Table: "Old.The Files", Mapping: mapping}).Rows(t.Context()) {
		break
	}
	if _, err := conn.Exec(t.Context(), `drop table "Old"."The Files" cascade`); err != nil {
		t.Error(err)
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	direct, _, _ := database(t, oldTable)
	for name, tt := range map[string]struct {
		o    pgsource.Options
		want string
	}{
		"no such table":  {pgsource.Options{URL: direct, Table: "documents"}, `there is no table "documents" in the old database; --table names another`},
		"no such column": {pgsource.Options{URL: direct, Mapping: importer.Mapping{importer.FieldSHA256: "hash"}}, "there is no column \"hash\" for sha256; the columns are id, storage_path, original_name, mime_type, size_bytes, file_type, created_at, sha256, provider_file_id, provider, accessed_at, metadata, Some Other"},
		"injection":      {pgsource.Options{URL: direct, Table: `files"; drop table files; --`}, "there is no table"},
	} {
		if _, err := all(t.Context(), newTable(t, tt.o)); !errors.Is(err, importer.ErrMapping) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := all(t.Context(), newTable(t, pgsource.Options{URL: direct})); err != nil {
		t.Error(err)
	}
}

func TestServersAndURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "mysql://a:hunter2@b/c", "postgres://a:hunter2%zz@b/c", "host=b password=hunter2", "postgres://a:hunter2@b:x/c"} {
		if _, err := pgsource.New(pgsource.Options{URL: url}); !errors.Is(err, pgsource.ErrURL) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
	away := newTable(t, pgsource.Options{URL: "postgres://someone:hunter2@127.0.0.1:1/db"})
	_, err := all(t.Context(), away)
	_, countErr := away.Count(t.Context())
	_, writeErr := away.WriteDigests(t.Context(), nil)
	for _, err := range []error{err, countErr, writeErr} {
		if !errors.Is(err, cas.ErrOriginUnavailable) || strings.Contains(err.Error(), "hunter2") {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all(ctx, away); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The old table is read in transactions that can't write: a view whose rows write
// fails.
func TestReadsWriteNothing(t *testing.T) {
	t.Parallel()
	direct, _, conn := database(t, oldTable, `insert into files (storage_path) values ('k')`, `
create function spoil() returns text language plpgsql volatile as $$
begin
	update files set original_name = 'spoiled';
	return 'k';
end $$`, `create view spoiler as select spoil() as storage_path`)
	if _, err := all(t.Context(), newTable(t, pgsource.Options{URL: direct, Table: "spoiler"})); err == nil || !strings.Contains(err.Error(), "read-only transaction") {
		t.Error(err)
	}
	var spoiled bool
	if err := conn.QueryRow(t.Context(), "select original_name is not null from files").Scan(&spoiled); err != nil || spoiled {
		t.Errorf("spoiled: %v, %v", spoiled, err)
	}
}

func TestWriteDigests(t *testing.T) {
	t.Parallel()
	a, b := cas.DigestOf([]byte("a")), cas.DigestOf([]byte("b"))
	direct, pooled, conn := database(t,
		`create table files (id uuid primary key, storage_path text, sha256 varchar(64), note text default 'kept')`,
		`create table numbered (id bigint primary key, storage_path text, hash text)`,
		`create table bare (id bigint, storage_path text)`)
	id := func(i int) string { return fmt.Sprintf("0f2b7c1e-93a4-4d4e-8a55-%012d", i) }
	for name, url := range map[string]string{"direct": direct, "pooled": pooled} {
		_, err := conn.Exec(t.Context(), `truncate files`)
		if err != nil {
			t.Fatal(err)
		}
		for i, hash := range []any{nil, "", strings.ToUpper(a.Hex()), "abc", a.Hex(), b.Hex(), nil} {
			if _, err := conn.Exec(t.Context(), "insert into files (id, storage_path, sha256) values ($1, 'k', $2)", id(i), hash); err != nil {
				t.Fatal(err)
			}
		}
		table := newTable(t, pgsource.Options{URL: url})
		var ds []importer.OldDigest
		for i := range 6 {
			ds = append(ds, importer.OldDigest{ID: strings.ToUpper(id(i)), Digest: a})
		}
		ds = append(ds, importer.OldDigest{ID: id(99), Digest: a}) // no such row any more
		for _, want := range []int64{4, 0} {
			if n, err := table.WriteDigests(t.Context(), ds); n != want || err != nil {
				t.Errorf("%s: %d rows changed, want %d: %v", name, n, want, err)
			}
		}
		rows, _ := conn.Query(t.Context(), "select coalesce(sha256, 'null') from files where note = 'kept' order by id")
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		want := []string{a.Hex(), a.Hex(), a.Hex(), a.Hex(), a.Hex(), b.Hex(), "null"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}

	if _, err := conn.Exec(t.Context(), "insert into numbered values (7, 'k', null)"); err != nil {
		t.Fatal(err)
	}
	numbered := newTable(t, pgsource.Options{URL: direct, Table: "numbered", Mapping: importer.Mapping{importer.FieldSHA256: "hash"}})
	if n, err := numbered.WriteDigests(t.Context(), []importer.OldDigest{{ID: "7", Digest: b}}); n != 1 || err != nil {
		t.Errorf("%d rows changed: %v", n, err)
	}
	bare := newTable(t, pgsource.Options{URL: direct, Table: "bare"})
	if _, err := bare.WriteDigests(t.Context(), []importer.OldDigest{{ID: "7", Digest: b}}); !errors.Is(err, importer.ErrMapping) || !strings.Contains(err.Error(), "--map sha256=COLUMN") {
		t.Error(err)
	}
}
