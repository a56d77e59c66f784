package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/index/pgindex/pgtest"
)

const (
	inUse     = "in use by the gateway that runs"
	isForeign = "by a program that is no gateway"
	isOther   = "by a gateway of another index"
	isUnclear = "it can't be told if that is one of this index"
)

// usedAddress is one that a gateway of a data folder listens on.
func usedAddress(t *testing.T, dir string) string {
	t.Helper()
	listen, err := os.ReadFile(filepath.Join(dir, settings.ListenFile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(listen))
}

// answering returns the address of a server that answers every request so.
func answering(t *testing.T, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// An address that is in use is a fault, unless a gateway of the same data folder uses it.
func TestDoctorOnAnAddressInUse(t *testing.T) {
	own, other := t.TempDir(), t.TempDir()
	admin := "unix:" + socketPath(t)
	serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + own, "CAS_ADMIN_LISTEN=" + admin}, "serve"))
	listen := usedAddress(t, own)
	if code, said := doctorSays(t, own, "--listen="+listen, "--admin-listen="+admin); code != exit.OK || strings.Count(said, inUse) != 2 {
		t.Errorf("its own: exit code %d:\n%s", code, said)
	}
	isUsed := "another gateway uses " + own + ", and listens at " + listen
	if code, said := doctorSays(t, own, "--listen=unix:"+socketPath(t)); code != exit.OK || !strings.Contains(said, "warn  data folder  "+isUsed) || strings.Contains(said, "all is well") {
		t.Errorf("its own, at another address: exit code %d:\n%s", code, said)
	}
	if code, said := doctorSays(t, own, "--listen="+listen); code != exit.OK || strings.Contains(said, isUsed) {
		t.Errorf("its own, at its address: exit code %d:\n%s", code, said)
	}
	if code, said := doctorSays(t, other, "--listen="+listen, "--admin-listen="+admin); code != exit.Failure || strings.Count(said, isOther) != 2 {
		t.Errorf("another's: exit code %d:\n%s", code, said)
	}
	stranger := answering(t, "{}")
	if code, said := doctorSays(t, own, "--listen="+stranger, "--admin-listen="+stranger); code != exit.Failure || strings.Count(said, isForeign) != 2 ||
		!strings.Contains(said, "stop the program that uses it, or set CAS_ADMIN_LISTEN") || !strings.Contains(said, "skip  start") {
		t.Errorf("a stranger's: exit code %d:\n%s", code, said)
	}
	older := answering(t, `{"status": "ok", "checks": {"index": "ok", "store": "ok"}}`)
	if code, said := doctorSays(t, own, "--listen="+older); code != exit.OK || !strings.Contains(said, isUnclear) {
		t.Errorf("an older version's: exit code %d:\n%s", code, said)
	}
}

// With Postgres a gateway of the same database may have another data folder.
func TestDoctorOnAnAddressInUseWithPostgres(t *testing.T) {
	t.Parallel()
	database := "CAS_DATABASE_URL=" + pgtest.New(t)
	dir := t.TempDir()
	serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + dir, database}, "serve"))
	listen := "CAS_LISTEN=" + usedAddress(t, dir)
	if code, said := examine(t, []string{"CAS_DATA_DIR=" + dir, database, listen}); code != exit.OK || !strings.Contains(said, inUse) {
		t.Errorf("its own: exit code %d:\n%s", code, said)
	}
	if code, said := examine(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + pgtest.New(t), listen}); code != exit.Failure || !strings.Contains(said, isOther) {
		t.Errorf("another database's: exit code %d:\n%s", code, said)
	}
	if code, said := examine(t, []string{"CAS_DATA_DIR=" + dir, database, "CAS_LISTEN=" + answering(t, "{}")}); code != exit.Failure || !strings.Contains(said, isForeign) {
		t.Errorf("a stranger's: exit code %d:\n%s", code, said)
	}
}

// socketPath returns a path for a Unix socket, which must be short.
func socketPath(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "cas")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "s")
}

// The gateway serves at a Unix socket, and takes the place of one that was killed there. The
// doctor knows the gateway there, too.
func TestServeAtAUnixSocket(t *testing.T) {
	t.Parallel()
	dir, socket := t.TempDir(), socketPath(t)
	env := []string{"CAS_DATA_DIR=" + dir, "CAS_LISTEN=unix:" + socket}
	for range 2 {
		p := serveProcess(t, casCommand(t, env, "serve"))
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}
		answer, err := (&http.Client{Transport: transport}).Get("http://localhost/readyz")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		transport.CloseIdleConnections()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("GET /readyz: %s", answer.Status)
		}
		if code, said := examine(t, env); code != exit.OK || !strings.Contains(said, inUse) {
			t.Errorf("exit code %d:\n%s", code, said)
		}
		p.kill()
	}
}
