package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/importer"
	"casgate/cas/s3store/s3test"
	"casgate/cmd/cas/internal/exit"
	"casgate/gateway/client"
	"casgate/index/pgindex/pgtest"
	"casgate/scripts/old-manager/seed"
)

// supabase has the shape of a Supabase project: its Storage below a path, its transaction
// pooler, and its direct connection.
type supabase struct {
	t        *testing.T
	direct   string // URL of the database
	settings map[string]string
	old      *movingIn // an old manager in the same project
}

func newSupabase(t *testing.T) *supabase {
	t.Helper()
	s := &supabase{t: t, direct: pgtest.NewEmpty(t)}
	storage, source := s3test.NewBucket(t), s3test.NewBucket(t)
	below := s3test.NewBelowPath(t, storage)
	s.settings = map[string]string{
		"CAS_S3_ENDPOINT": below.Endpoint, "CAS_S3_REGION": below.Region, "CAS_S3_BUCKET": below.Bucket,
		"CAS_S3_ACCESS_KEY": below.AccessKey, "CAS_S3_SECRET_KEY": below.SecretKey,
		"CAS_DATABASE_URL":        pgtest.Pooled(t, castest.Service(t, pgtest.PoolerVariable), s.direct),
		"CAS_DATABASE_LISTEN_URL": s.direct,
	}
	s.old = &movingIn{t: t, oldURL: pgtest.NewEmpty(t)}
	var err error
	s.old.expected, err = seed.Make(t.Context(), seed.Options{
		DatabaseURL: s.old.oldURL, Rows: 1000,
		Endpoint: source.Endpoint, Bucket: source.Bucket, AccessKey: source.AccessKey, SecretKey: source.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	below = s3test.NewBelowPath(t, source)
	maps.Copy(s.settings, map[string]string{
		"CAS_SOURCE_DATABASE_URL": s.old.oldURL, "CAS_SOURCE_S3_ENDPOINT": below.Endpoint, "CAS_SOURCE_S3_REGION": below.Region,
		"CAS_SOURCE_S3_BUCKET": below.Bucket, "CAS_SOURCE_S3_ACCESS_KEY": below.AccessKey, "CAS_SOURCE_S3_SECRET_KEY": below.SecretKey,
	})
	return s
}

// env returns the settings and a data folder of their own.
func (s *supabase) env() []string {
	env := []string{"CAS_AUTH=tokens", "CAS_DATA_DIR=" + s.t.TempDir()}
	for name, value := range s.settings {
		env = append(env, name+"="+value)
	}
	return env
}

// cas runs a command, which must end with this code.
func (s *supabase) cas(code int, args ...string) string {
	s.t.Helper()
	cmd := casCommand(s.t, s.env(), args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		s.t.Fatalf("cas %q: %v, want the exit code %d\n%s", args, err, code, out)
	}
	return string(out)
}

// The recipe of docs/supabase.md works, with two gateways and an old manager.
func TestOnSupabase(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("CAS_TEST_THOROUGH=1 runs it")
	}
	t.Parallel()
	s := newSupabase(t)
	page, err := os.ReadFile("../../docs/supabase.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`(CAS_[A-Z0-9_]+)`").FindAllStringSubmatch(string(page), -1)
	for _, name := range names {
		if s.settings[name[1]] == "" && name[1] != "CAS_S3_CHECKSUMS" {
			t.Errorf("docs/supabase.md names %s, and the test does not set it", name[1])
		}
	}

	if out := s.cas(exit.Failure, "doctor"); !strings.Contains(out, "run `cas migrate up`") || !strings.Contains(out, "1 to fix") {
		t.Errorf("before the migration: %s", out)
	}
	s.cas(exit.OK, "migrate", "up")
	s.cas(exit.OK, "doctor")
	token := strings.TrimSpace(s.cas(exit.OK, "token", "create", "--name", "ops", "--scopes", "admin"))
	var gateways []*client.Client
	for range 2 {
		p := serveProcess(t, casCommand(t, s.env(), "serve"))
		c, err := client.New(p.url, client.Options{Token: token})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		gateways = append(gateways, c)
	}
	s.listens()
	s.storeAndDelete(gateways)
	s.moveIn(gateways[1])
}

// listens waits until both gateways listen on the direct connection.
func (s *supabase) listens() {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.direct)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(s.t.Context())
	castest.Eventually(s.t, "both gateways listen", func() bool {
		var n int
		err := conn.QueryRow(s.t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen %'`).Scan(&n)
		return err == nil && n == 2
	})
}

// storeAndDelete stores files by one gateway, reads them by the other, and deletes them.
func (s *supabase) storeAndDelete(gateways []*client.Client) {
	t, ctx := s.t, s.t.Context()
	for i, size := range []int{5, 100_000, 3 << 20} {
		content := castest.RandomBytes(size)
		d := cas.DigestOf(content)
		file, err := gateways[0].CreateFile(ctx, strings.NewReader(string(content)), client.NewFile{Name: fmt.Sprintf("%d.bin", i), Purpose: "user_data"})
		if err != nil || file.Digest() != d {
			t.Fatalf("%d bytes: %+v, %v", size, file, err)
		}
		for range 2 { // the second time from what the gateway remembers
			got, err := gateways[1].Blob(d).Open(ctx, client.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			read, err := io.ReadAll(got.Body)
			got.Body.Close()
			if err != nil || !slices.Equal(read, content) {
				t.Errorf("%d bytes: %d bytes, %v", size, len(read), err)
			}
		}
		if err := gateways[0].Blob(d).Delete(ctx, client.DeleteOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		castest.Eventually(t, "the other gateway forgets the blob", func() bool {
			_, err := gateways[1].Blob(d).Stat(ctx, client.OpenOptions{})
			return errors.Is(err, cas.ErrBlobNotFound)
		})
	}
}

// moveIn takes over from the old manager.
func (s *supabase) moveIn(gateway *client.Client) {
	t, want := s.t, s.old.expected
	s.old.env = s.env()
	var imported importer.ImportCounts
	s.old.run(exit.Partly, &imported, "import", "--from-postgres")
	var taken importer.BackfillCounts
	s.old.run(exit.Partly, &taken, "backfill")
	if imported.Imported != want.Imported || taken.Failed != want.Failing {
		t.Errorf("imported %+v, taken in %+v; want %+v", imported, taken, want)
	}
	for id, d := range want.Digests {
		content, err := gateway.File(importer.FileID("", id)).Open(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(content.Body)
		content.Body.Close()
		if err != nil || cas.DigestOf(got) != d {
			t.Errorf("file %s: %d bytes, %v", id, len(got), err)
		}
		break // one of them; TestMovingIn looks at all
	}
}
