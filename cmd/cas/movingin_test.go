package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/importer"
	"casgate/cas/journal"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3source"
	"casgate/cas/s3store/s3test"
	"casgate/cmd/cas/internal/exit"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
	"casgate/scripts/old-manager/seed"
)

// oldRows is how many files the old manager had.
var oldRows = castest.Thorough(10_000, 1000)

// movingIn is an old manager, and the gateway that takes over from it.
type movingIn struct {
	t        *testing.T
	oldURL   string
	old      *pgx.Conn // the old database
	bucket   s3store.Options
	env      []string
	expected seed.Expected

	x *pgindex.Index
}

func newMovingIn(t *testing.T, rows int) *movingIn {
	t.Helper()
	m := &movingIn{t: t, oldURL: pgtest.NewEmpty(t), bucket: s3test.NewBucket(t), env: servedEnv(t)}
	m.env = append(m.env,
		"CAS_SOURCE_DATABASE_URL="+m.oldURL,
		"CAS_SOURCE_S3_ENDPOINT="+m.bucket.Endpoint, "CAS_SOURCE_S3_BUCKET="+m.bucket.Bucket,
		"CAS_SOURCE_S3_ACCESS_KEY="+m.bucket.AccessKey, "CAS_SOURCE_S3_SECRET_KEY="+m.bucket.SecretKey,
	)
	var err error
	m.expected, err = seed.Make(t.Context(), seed.Options{
		DatabaseURL: m.oldURL, Rows: rows,
		Endpoint: m.bucket.Endpoint, Bucket: m.bucket.Bucket, AccessKey: m.bucket.AccessKey, SecretKey: m.bucket.SecretKey,
	})
	m.must(err)
	m.old, err = pgx.Connect(t.Context(), m.oldURL)
	m.must(err)
	t.Cleanup(func() { m.old.Close(context.Background()) })

	m.x, err = pgindex.Open(t.Context(), pgindex.Options{URL: m.setting("CAS_DATABASE_URL")})
	m.must(err)
	t.Cleanup(m.x.Close)
	return m
}

func (m *movingIn) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *movingIn) setting(name string) string {
	for _, entry := range m.env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	m.t.Fatalf("there is no setting %s", name)
	return ""
}

func (m *movingIn) newBucket() s3store.Options {
	return s3store.Options{
		Endpoint: m.setting("CAS_S3_ENDPOINT"), Bucket: m.setting("CAS_S3_BUCKET"),
		AccessKey: m.setting("CAS_S3_ACCESS_KEY"), SecretKey: m.setting("CAS_S3_SECRET_KEY"),
	}
}

// run runs cas, which must end with this code, and reads the counts that it prints.
func (m *movingIn) run(code int, counts any, args ...string) {
	m.t.Helper()
	cmd := casCommand(m.t, m.env, append(args, "--json")...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	got := cmd.ProcessState.ExitCode()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited || got != code {
		m.t.Fatalf("cas %q exits with %d, want %d: %v\n%s%s", args, got, code, err, &out, &said)
	}
	if err := json.Unmarshal(out.Bytes(), counts); err != nil {
		m.t.Fatalf("cas %q prints %q: %v", args, &out, err)
	}
}

// oldTable is what the old table says, as one number.
func (m *movingIn) oldTable() (sum string) {
	m.t.Helper()
	m.must(m.old.QueryRow(m.t.Context(), "select md5(string_agg(f::text, '|' order by id)) from files f").Scan(&sum))
	return sum
}

// pages goes through all files.
func (m *movingIn) pages(do func(cas.File)) {
	m.t.Helper()
	q := cas.FileQuery{Limit: 1000}
	for {
		page, err := m.x.ListFiles(m.t.Context(), q)
		m.must(err)
		for _, f := range page {
			do(f)
		}
		if len(page) < q.Limit {
			return
		}
		q.After = page[len(page)-1].Cursor()
	}
}

// read reads files by way of a gateway, again and again, until ctx is done: by
// chance, as users do, whatever the backfill is about to do with them. It returns how
// many it read.
func (m *movingIn) read(ctx context.Context, gateway *process) (reads int64) {
	var ids []string
	for id := range m.expected.Digests {
		ids = append(ids, id)
	}
	var count atomic.Int64
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for since := time.Now(); ctx.Err() == nil; {
				id := ids[rand.IntN(len(ids))]
				status, b, err := gateway.request("GET", "/v1/files/"+importer.FileID("", id)+"/content", nil)
				if err == nil && status == 503 && time.Since(since) < castest.WaitLimit {
					continue // its bytes are being taken in: the client is to ask again
				}
				since = time.Now()
				if err != nil || status != 200 || cas.DigestOf(b) != m.expected.Digests[id] {
					m.t.Errorf("row %s: status %d, %d bytes, error %v", id, status, len(b), err)
					return
				}
				count.Add(1)
			}
		})
	}
	readers.Wait()
	return count.Load()
}

// waitUntil waits until no more than so many files are pending.
func (m *movingIn) waitUntil(pending int64) {
	m.t.Helper()
	conn, err := pgx.Connect(m.t.Context(), m.setting("CAS_DATABASE_URL"))
	m.must(err)
	defer conn.Close(context.Background())
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(castest.WaitLimit); ; <-poll.C {
		var n int64
		m.must(conn.QueryRow(m.t.Context(), "select count(*) from files where digest is null").Scan(&n))
		if n <= pending {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("after %v %d files are pending", castest.WaitLimit, n)
		}
	}
}

// A whole move: rows registered, bytes taken in while files are read, the backfill
// killed on the way; and nothing lost, nothing doubled, and nothing left to do.
func TestMovingIn(t *testing.T) {
	castest.Slow(t)
	t.Parallel()
	start := time.Now()
	lap := func(what string) { t.Logf("%5.1fs  %s", time.Since(start).Seconds(), what) }
	m := newMovingIn(t, oldRows)
	want := m.expected
	table := m.oldTable()
	lap(fmt.Sprintf("seeded %d rows", want.Rows))

	var imported importer.ImportCounts
	m.run(exit.Partly, &imported, "import", "--from-postgres")
	lap("imported")
	if imported.Rows != want.Rows || imported.Imported != want.Imported || imported.Noted != want.Noted || imported.Failed != want.Refused || imported.Already != 0 {
		t.Errorf("imported %+v, want %+v", imported, want)
	}
	m.run(exit.Partly, &imported, "import", "--from-postgres")
	if imported.Imported != 0 || imported.Already != want.Imported {
		t.Errorf("imported again: %+v", imported)
	}
	gateway := serveProcess(t, casCommand(t, m.env, "serve"))
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	reads := make(chan int64, 1)
	go func() { reads <- m.read(reading, gateway) }()

	killed := casCommand(t, m.env, "backfill", "--json")
	m.must(killed.Start())
	m.waitUntil(want.Imported * 2 / 3)
	_ = killed.Process.Kill() // the wait tells
	if err := killed.Wait(); err == nil {
		t.Fatal("the backfill was done before it was killed")
	}
	lap("killed")

	var taken importer.BackfillCounts
	report := filepath.Join(t.TempDir(), "problems.jsonl")
	m.run(exit.Partly, &taken, "backfill", "--report", report)
	lap(fmt.Sprintf("taken in: %+v", taken))
	stop()
	if n := <-reads; n < 100 {
		t.Errorf("only %d reads: the test shows little", n)
	} else {
		lap(fmt.Sprintf("%d reads", n))
	}
	if taken.Failed+taken.FailedBefore != want.Failing || taken.PutOff+taken.Gone != 0 {
		t.Errorf("taken in %+v, want %d failing", taken, want.Failing)
	}
	if lines, err := os.ReadFile(report); err != nil || int64(bytes.Count(lines, []byte("\n"))) != taken.Failed {
		t.Errorf("%d failed, and the report says: %s, %v", taken.Failed, lines, err)
	}

	m.run(exit.OK, &taken, "backfill")
	if none := (importer.BackfillCounts{FailedBefore: want.Failing}); taken != none {
		t.Errorf("taken in once more: %+v", taken)
	}
	lap("once more")

	if m.oldTable() != table {
		t.Error("the old table has changed")
	}
	m.check()
	m.run(exit.OK, &taken, "backfill", "--write-back", "sha256", "-q")
	m.checkWrittenBack()
	lap("checked")
}

// check looks at all files and blobs.
func (m *movingIn) check() {
	m.t.Helper()
	var resolved, failed int64
	m.pages(func(f cas.File) {
		id := importer.OldID(f)
		if want, ok := m.expected.Digests[id]; ok {
			resolved++
			if f.Digest != want || f.ID != importer.FileID("", id) || f.Origin.Error != "" {
				m.t.Errorf("file %s of row %s has %s, want %s (%s)", f.ID, id, f.Digest, want, f.Origin.Error)
			}
			return
		}
		failed++
		if !f.IsPending() || f.Origin.Error == "" {
			m.t.Errorf("file %s of row %s has %s, error %q", f.ID, id, f.Digest, f.Origin.Error)
		}
	})
	if resolved != m.expected.Taken || failed != m.expected.Failing {
		m.t.Errorf("%d files have their bytes, and %d have not; want %d and %d", resolved, failed, m.expected.Taken, m.expected.Failing)
	}
	var blobs, bytes int64
	q := cas.Query{Limit: 1000}
	for {
		page, err := m.x.List(m.t.Context(), q)
		m.must(err)
		for _, b := range page {
			blobs++
			bytes += b.Size
		}
		if len(page) < q.Limit {
			break
		}
		q.After = cas.Cursor{CreatedAt: page[len(page)-1].CreatedAt, Digest: page[len(page)-1].Digest}
	}
	if blobs != m.expected.Blobs {
		m.t.Errorf("%d blobs, want %d", blobs, m.expected.Blobs)
	}
	m.checkJournal()
	var objects int64
	o := m.newBucket()
	client, err := s3source.New(s3source.Options{Endpoint: o.Endpoint, Bucket: o.Bucket, AccessKey: o.AccessKey, SecretKey: o.SecretKey})
	m.must(err)
	defer client.Close()
	for row, err := range client.Rows(m.t.Context()) {
		m.must(err)
		if _, err := cas.ParseKey(row.Key); err == nil {
			objects++
		}
	}
	if objects != m.expected.Blobs {
		m.t.Errorf("%d objects, want %d", objects, m.expected.Blobs)
	}
}

// checkJournal looks for a record of each import and of each file that the backfills
// which were not killed took in.
func (m *movingIn) checkJournal() {
	m.t.Helper()
	for kind, least := range map[journal.Kind]int64{journal.KindImport: 2, journal.KindBackfill: m.expected.Failing / 2} {
		records, err := m.x.Records(m.t.Context(), journal.Query{Limit: 20_000, Kind: kind, Actor: journal.ActorCLI})
		m.must(err)
		if int64(len(records)) < least {
			m.t.Errorf("the journal has %d records of kind %s", len(records), kind)
		}
	}
}

// checkWrittenBack looks at the digests in the old table.
func (m *movingIn) checkWrittenBack() {
	m.t.Helper()
	rows, _ := m.old.Query(m.t.Context(), "select id::text, coalesce(sha256, '') from files") // its error comes out of ForEachRow
	var id, digest string
	var right int
	_, err := pgx.ForEachRow(rows, []any{&id, &digest}, func() error {
		if want, ok := m.expected.Digests[id]; ok && digest == want.Hex() {
			right++
		} else if ok {
			m.t.Errorf("row %s has digest %q, want %s", id, digest, want.Hex())
		}
		return nil
	})
	m.must(err)
	if right != len(m.expected.Digests) {
		m.t.Errorf("%d rows have their digest, of %d", right, len(m.expected.Digests))
	}
}
