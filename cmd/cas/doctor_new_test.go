package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"casgate/cmd/cas/internal/exit"
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
		"nothing on all hosts": {args: []string{"--listen=0.0.0.0:0"}, says: "the index is new"},
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

// An older index hides no fault of the settings, and is not called new.
func TestDoctorOnAnOlderIndex(t *testing.T) {
	dir := t.TempDir()
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
}

// An address that is in use is a fault, unless a gateway of the same data folder uses it.
func TestDoctorOnAnAddressInUse(t *testing.T) {
	own, other := t.TempDir(), t.TempDir()
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "casgate_index_cache_hits_total 0")
	}))
	t.Cleanup(metrics.Close)
	admin := metrics.Listener.Addr().String()
	serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + own}, "serve"))
	listen, err := os.ReadFile(filepath.Join(own, "listen"))
	if err != nil {
		t.Fatal(err)
	}
	api := strings.TrimSpace(string(listen))
	if code, said := doctorSays(t, own, "--listen="+api, "--admin-listen="+admin); code != exit.OK || strings.Count(said, "in use by the gateway that runs") != 2 {
		t.Errorf("its own: exit code %d:\n%s", code, said)
	}
	if code, said := doctorSays(t, other, "--listen="+api, "--admin-listen="+admin); code != exit.Failure || strings.Count(said, "FAIL  address") != 2 {
		t.Errorf("another's: exit code %d:\n%s", code, said)
	}
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	if code, said := doctorSays(t, own, "--admin-listen="+stranger.Listener.Addr().String()); code != exit.Failure || !strings.Contains(said, "stop the program that uses it, or set CAS_ADMIN_LISTEN") {
		t.Errorf("a stranger's: exit code %d:\n%s", code, said)
	}
}
