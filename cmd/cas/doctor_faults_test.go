package main

import (
	"database/sql"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/index/pgindex/pgtest"
)

// examine runs `cas doctor`, and returns what it says.
func examine(t *testing.T, env []string, args ...string) (code int, said string) {
	t.Helper()
	cmd := casCommand(t, env, append([]string{"doctor"}, args...)...)
	out, _ := cmd.CombinedOutput() // its state has the exit code
	return cmd.ProcessState.ExitCode(), string(out)
}

// The doctor finds a fault in a gateway's data folder or its settings, and says what to do
// about it.
func TestDoctorFindsFaults(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	used := usedFolder(t)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		args  []string
		code  int
		says  []string
	}{
		"nothing": {args: []string{"--deep=10"}, says: []string{"2 of 2 looked at are there", "opens all its parts", "all is well"}},
		"a typing error": {
			spoil: func(t *testing.T, _ string) { t.Setenv("CAS_MAX_BLOBSIZE", "1GiB") },
			says:  []string{"warn  settings", "CAS_MAX_BLOBSIZE is set, and there is no such setting"},
		},
		"a described provider": {
			spoil: func(t *testing.T, dir string) {
				file := filepath.Join(dir, "providers.json")
				if err := os.WriteFile(file, []byte(`[{"name": "stepfun", "base_url": "https://api.stepfun.com/v1", "listing": "after", "purposes": [{"name": "storage"}]}]`), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Setenv("CAS_PROVIDERS_FILE", file)
				t.Setenv("CAS_STEPFUN_API_KEY", "key")
			},
			says: []string{"ok    settings"},
		},
		"a newer schema": {
			spoil: func(t *testing.T, dir string) {
				changeIndex(t, dir, "insert into goose_db_version (version_id, is_applied) values (99999, 1)")
			},
			code: exit.Failure, says: []string{"FAIL  schema", "→ run the cas that migrated it, or a newer one"},
		},
		"a missing object": {
			spoil: func(t *testing.T, dir string) { spoilObject(t, dir, os.Remove) },
			args:  []string{"--deep=10"}, code: exit.Failure, says: []string{"FAIL  objects", "1 of 2 objects are missing", cas.DigestOf([]byte("first")).String(), "cas scrub --repair"},
		},
		"a cut object": {
			spoil: func(t *testing.T, dir string) {
				spoilObject(t, dir, func(path string) error { return errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 1)) })
			},
			args: []string{"--deep=10"}, code: exit.Failure, says: []string{"FAIL  objects", "have another size"},
		},
		"no spool folder": {
			spoil: func(t *testing.T, dir string) {
				spool := filepath.Join(dir, settings.SpoolDir)
				if err := errors.Join(os.RemoveAll(spool), os.WriteFile(spool, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			},
			code: exit.Failure, says: []string{"FAIL  spool folder", "→ make ", " or remove it: a start makes it"},
		},
		"an address in use":   {args: []string{"--listen=" + busy.Addr().String()}, code: exit.Failure, says: []string{"FAIL  address", "→ stop the program that uses it, or set CAS_LISTEN"}},
		"an open gateway":     {args: []string{"--listen=0.0.0.0:0", "--auth=none"}, code: exit.Failure, says: []string{"FAIL  start", "allowed only on a loopback address"}},
		"too large a blob":    {args: []string{"--max-blob-size=6GiB"}, code: exit.Failure, says: []string{"FAIL  start"}},
		"a list of providers": {args: []string{"--providers-file=/nowhere.json"}, code: exit.Failure, says: []string{"CAS_PROVIDERS_FILE"}},
		"URLs of a bucket":    {args: []string{"--reference-urls=bucket"}, code: exit.Failure, says: []string{"FAIL  start", "needs a bucket"}},
		"a wrong origin":      {args: []string{"--cors-origins=*"}, code: exit.Failure, says: []string{"FAIL  start"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			for _, err := range []error{os.CopyFS(dir, os.DirFS(used)), os.Chmod(filepath.Join(dir, settings.SQLiteFile), 0o600)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if c.spoil != nil {
				c.spoil(t, dir)
			}
			var out strings.Builder
			// The last of several flags of a name wins.
			args := append([]string{"doctor", "--data-dir=" + dir, "--admin-listen=", "--listen=127.0.0.1:0"}, c.args...)
			code := run(t.Context(), args, terminal.Streams{Out: &out, Err: &out})
			if code != c.code {
				t.Errorf("exit code %d, want %d:\n%s", code, c.code, out.String())
			}
			for _, text := range c.says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("it does not say %q:\n%s", text, out.String())
				}
			}
		})
	}
}

// usedFolder returns the data folder of a gateway that has stored two blobs.
func usedFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + dir}, "serve"))
	p.upload("first", "a.txt")
	p.upload("second", "b.txt")
	p.kill()
	return dir
}

func spoilObject(t *testing.T, dir string, spoil func(path string) error) {
	t.Helper()
	ref := cas.ObjectRef{Digest: cas.DigestOf([]byte("first"))}
	if err := spoil(filepath.Join(dir, settings.ObjectsDir, filepath.FromSlash(ref.Key()))); err != nil {
		t.Fatal(err)
	}
}

// changeIndex runs a statement on the index of a data folder.
func changeIndex(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, settings.SQLiteFile))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// A pooler in transaction mode takes LISTEN, and passes on nothing. Without it the
// announcements come.
func TestDoctorHearsAnnouncements(t *testing.T) {
	t.Parallel()
	for address, says := range map[string]string{pgtest.NewPooled(t): "→ set CAS_DATABASE_LISTEN_URL", pgtest.New(t): "ok    changes"} {
		if code, said := examine(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + address}); code != exit.OK || !strings.Contains(said, says) {
			t.Errorf("exit code %d; want %q:\n%s", code, says, said)
		}
	}
}

// serve warns of a misspelt variable, and starts nevertheless.
func TestServeWarnsOfUnknownVariables(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_MAX_BLOBSIZE=1GiB"}, "serve"))
	if log := p.log(); !strings.Contains(log, "CAS_MAX_BLOBSIZE") || !strings.Contains(log, "no such setting") {
		t.Errorf("the log:\n%s", log)
	}
}
