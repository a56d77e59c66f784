package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
)

// doctorSays runs `cas doctor` in this process. The last of several flags of a name wins.
func doctorSays(t *testing.T, dir string, args ...string) (code int, said string) {
	t.Helper()
	var out strings.Builder
	args = append([]string{"doctor", "--data-dir=" + dir, "--admin-listen=", "--listen=127.0.0.1:0"}, args...)
	code = run(t.Context(), args, terminal.Streams{Out: &out, Err: &out})
	return code, out.String()
}

// The doctor finds settings that a gateway refuses also before the first start, and leaves
// nothing behind.
func TestDoctorBeforeTheFirstStart(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		says string
	}{
		"too large a blob":     {args: []string{"--max-blob-size=6GiB"}, says: "FAIL  start"},
		"no URL":               {args: []string{"--public-url=foo"}, says: "FAIL  start"},
		"no list of models":    {env: map[string]string{"CAS_MODELS_FILE": "/nope"}, says: "FAIL  start"},
		"no certificate":       {args: []string{"--tls-cert-file=/nope", "--tls-key-file=/nope"}, says: "FAIL  start"},
		"no key":               {args: []string{"--tls-cert-file=/nope"}, says: "CAS_TLS_KEY_FILE"},
		"open to all":          {args: []string{"--listen=0.0.0.0:0", "--auth=none"}, says: "allowed only on a loopback address"},
		"no origin":            {args: []string{"--cors-origins=foo"}, says: "FAIL  start"},
		"too short a keep":     {env: map[string]string{"CAS_CHAT_KEEP": "1m"}, says: "FAIL  start"},
		"an address no port":   {args: []string{"--listen=foo"}, says: "→ set CAS_LISTEN to an address"},
		"a socket no folder":   {args: []string{"--listen=unix:/nope/x.sock"}, says: "→ make the folder of the socket"},
		"another database":     {env: map[string]string{"CAS_DATABASE_URL": "mysql://x"}, says: "→ correct CAS_DATABASE_URL or"},
		"nothing to find":      {says: "all is well"},
		"nothing on all hosts": {args: []string{"--listen=0.0.0.0:0", "--public-url=https://gateway.test"}, says: "the index is new"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			above := t.TempDir()
			code, said := doctorSays(t, filepath.Join(above, "new", "data"), c.args...)
			if want := strings.HasPrefix(name, "nothing"); (code == exit.OK) != want || strings.Contains(said, "all is well") != want || !strings.Contains(said, c.says) {
				t.Errorf("exit code %d; want %q:\n%s", code, c.says, said)
			}
			if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
				t.Errorf("it left %v, %v", left, err)
			}
		})
	}
}

// The URLs of a gateway on all addresses name localhost, unless it knows its own.
func TestDoctorOnAllAddresses(t *testing.T) {
	const says = "warn  public URL"
	for listen, isLocal := range map[string]bool{"0.0.0.0:0": false, "[::]:0": false, ":0": false, "127.0.0.1:0": true, "localhost:0": true} {
		if code, said := doctorSays(t, t.TempDir(), "--listen="+listen); code != exit.OK || strings.Contains(said, says) == isLocal {
			t.Errorf("%s: exit code %d:\n%s", listen, code, said)
		}
	}
	if code, said := doctorSays(t, t.TempDir(), "--listen=0.0.0.0:0", "--public-url=https://gateway.test"); code != exit.OK || strings.Contains(said, says) {
		t.Errorf("with a URL: exit code %d:\n%s", code, said)
	}
}

// An older index hides no fault of the settings, and is not called new.
func TestDoctorOnAnOlderIndex(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, settings.ObjectsDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := casCommand(t, []string{"CAS_DATA_DIR=" + dir}, "reindex", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	changeIndex(t, dir, "delete from goose_db_version where version_id = (select max(version_id) from goose_db_version)")
	if code, said := doctorSays(t, dir); code != exit.OK || !strings.Contains(said, "the index is older") || strings.Contains(said, "is new") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	if code, said := doctorSays(t, dir, "--public-url=foo"); code != exit.Failure || !strings.Contains(said, "FAIL  start") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	mark := filepath.Join(dir, settings.ObjectsDir, "casgate-store")
	for _, err := range []error{os.RemoveAll(mark), os.WriteFile(mark, []byte("cas0123456789"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if code, said := doctorSays(t, dir); code != exit.Failure || !strings.Contains(said, "FAIL  store mark") || !strings.Contains(said, "skip  start") {
		t.Errorf("with the mark of another store: exit code %d:\n%s", code, said)
	}
}

// An empty file is no older index: a start makes the tables in it. The second look finds the
// file as the first one left it.
func TestDoctorOnAnEmptyIndexFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, settings.SQLiteFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		code, said := doctorSays(t, dir)
		if code != exit.OK || !strings.Contains(said, "ok    schema       the index is new") || !strings.Contains(said, "empty index: the index is new") {
			t.Errorf("exit code %d:\n%s", code, said)
		}
	}
}

// A store with the mark of an index that is not there is a fault, as it is to cas serve.
func TestDoctorOnALostIndex(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, settings.ObjectsDir), os.DirFS(filepath.Join(usedFolder(t), settings.ObjectsDir))); err != nil {
		t.Fatal(err)
	}
	env := []string{"CAS_DATA_DIR=" + dir}
	code, said := doctorSays(t, dir)
	if code != exit.Failure || !strings.Contains(said, "FAIL  store mark") || !strings.Contains(said, "belongs to another index") ||
		!strings.Contains(said, "→ set CAS_DATA_DIR") || !strings.Contains(said, "`cas reindex` makes it again") {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	// A start with --adopt-store takes the store, so the doctor only warns.
	code, said = doctorSays(t, dir, "--adopt-store")
	if code != exit.OK || !strings.Contains(said, "warn  store mark") || !strings.Contains(said, "belongs to another index") {
		t.Errorf("with --adopt-store: exit code %d:\n%s", code, said)
	}
	if out, err := casCommand(t, env, "reindex", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if code, said := doctorSays(t, dir); code != exit.OK || !strings.Contains(said, "ok    store mark") {
		t.Errorf("after the remedy: exit code %d:\n%s", code, said)
	}
}

// The doctor leaves a data folder as it found it.
func TestDoctorLeavesNoFolders(t *testing.T) {
	dir := usedFolder(t)
	before := foldersIn(t, dir)
	if code, said := doctorSays(t, dir); code != exit.OK {
		t.Errorf("exit code %d:\n%s", code, said)
	}
	if after := foldersIn(t, dir); !slices.Equal(after, before) {
		t.Errorf("folders before %q, after %q", before, after)
	}
}

func foldersIn(t *testing.T, dir string) (folders []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// A database URL that can't be parsed is a wrong setting, and the error hides its password.
func TestServeRefusesAMalformedDatabaseURL(t *testing.T) {
	for _, wrong := range []string{"postgres://user:s3cr3t@host:99999/db", "postgres://user:s3cr3t@host:port/db", "mysql://user:s3cr3t@host/db"} {
		t.Setenv("CAS_DATABASE_URL", wrong)
		var out, said bytes.Buffer
		code := run(t.Context(), []string{"serve", "--listen=127.0.0.1:0", "--data-dir=" + t.TempDir()}, terminal.Streams{Out: &out, Err: &said})
		if code != exit.Usage || !strings.Contains(said.String(), "CAS_DATABASE_URL") || strings.Contains(out.String()+said.String(), "s3cr3t") {
			t.Errorf("exit code %d: %s%s", code, out.String(), said.String())
		}
	}
}
