package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/problem"
)

// onSmallDisk makes cmd run with its data folder on a file system of a few
// megabytes, in a mount namespace that ends with it.
func onSmallDisk(t *testing.T, cmd *exec.Cmd, dir string) *exec.Cmd {
	t.Helper()
	flags := []string{"--mount"}
	if os.Getuid() != 0 {
		flags = append(flags, "--user", "--map-root-user")
	}
	mount := func(then string) []string {
		return append(flags, "sh", "-c", `mount -t tmpfs -o size=8m tmpfs "$1" && shift && `+then, "sh", dir)
	}
	if out, err := exec.Command("unshare", mount("true")...).CombinedOutput(); err != nil {
		if os.Getenv("CAS_TEST_DISALLOW_SKIP") == "1" {
			t.Fatalf("can't mount a small file system: %v: %s", err, out)
		}
		t.Skipf("can't mount a small file system: %v: %s", err, out)
	}
	// The shell replaces itself by cas, under the name that makes it cas.
	wrapped := exec.Command("unshare", append(mount(`exe=$1; shift; exec bash -c 'exec -a cas "$0" "$@"' "$exe" "$@"`), append([]string{cmd.Path}, cmd.Args[1:]...)...)...)
	wrapped.Env = cmd.Env
	return wrapped
}

// A full disk refuses uploads with 507 and harms no stored blob; the gateway goes
// on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := serveProcess(t, onSmallDisk(t, casCommand(t, []string{"CAS_DATA_DIR=" + dir, "CAS_GC_GRACE=0", "CAS_GC_INTERVAL=100ms"}, "serve"), dir))
	var kept []cas.Digest
	full := 0
	for i := 0; full < 6; i++ {
		b := castest.RandomBytes(700_000 + i%2*800_000)
		d := cas.DigestOf(b)
		method, path := "PUT", "/v1/blobs/"+d.String()
		if i%4 > 1 {
			method, path = "POST", "/v1/blobs"
		}
		status, body, err := p.request(method, path, bytes.NewReader(b))
		if err != nil {
			t.Fatalf("upload %d: %v\n%s", i, err, p.log())
		}
		switch status {
		case 201:
			kept = append(kept, d)
		case 507:
			full++
			var said problem.Details
			if err := json.Unmarshal(body, &said); err != nil || said.Code != problem.NoSpace || strings.Contains(said.Detail, dir) {
				t.Errorf("%s, %v", body, err)
			}
			if status, _, err := p.request("GET", path, nil); method == "PUT" && (err != nil || status != 404) {
				t.Errorf("a refused blob is answered %d, %v", status, err)
			}
		default:
			t.Fatalf("upload %d: %d %s", i, status, body)
		}
		if i > 50 {
			t.Fatal("the disk does not fill up")
		}
	}
	if len(kept) == 0 {
		t.Fatal("nothing could be stored at all")
	}
	for _, d := range kept {
		checkBlob(t, p, d, 0, true)
	}
	// Small uploads take the rest of the room, so that not even a log fits.
	for size := 100_000; size > 0; {
		b := castest.RandomBytes(size)
		if status, _, err := p.request("POST", "/v1/blobs", bytes.NewReader(b)); err != nil || status != 201 {
			size /= 2
		}
	}
	// Deletes and the collector work, and make room for an upload.
	for _, d := range kept[:len(kept)/2] {
		if status, body, err := p.request("DELETE", "/v1/blobs/"+d.String(), nil); err != nil || status/100 != 2 {
			t.Fatalf("a delete on a full disk is answered %d %s, %v\n%s", status, body, err, p.log())
		}
	}
	b := castest.RandomBytes(700_000)
	castest.Eventually(t, "room on the disk", func() bool {
		status, _, err := p.request("PUT", "/v1/blobs/"+cas.DigestOf(b).String(), bytes.NewReader(b))
		return err == nil && status == 201
	})
	if status, body, err := p.request("GET", "/healthz", nil); err != nil || status != 200 {
		t.Errorf("healthz: %d %s, %v", status, body, err)
	}
}
