package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// smallDisk is a file system of a few megabytes on a folder, in a mount namespace of its own.
// It outlives the processes that use it, and ends with the test.
type smallDisk struct {
	t      *testing.T
	dir    string
	holder *exec.Cmd
}

// newSmallDisk mounts a small disk on a folder.
func newSmallDisk(t *testing.T, dir string) smallDisk {
	t.Helper()
	flags := []string{"--mount"}
	if os.Getuid() != 0 {
		flags = append(flags, "--user", "--map-root-user")
	}
	// The holder says when it is ready, and ends with its input.
	d := smallDisk{t, dir, exec.Command("unshare", append(flags, "sh", "-c", `mount -t tmpfs -o size=8m tmpfs "$1" && echo ready && exec cat >&2`, "sh", dir)...)}
	var errs bytes.Buffer
	d.holder.Stderr = &errs
	in, err := d.holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = d.holder.Start()
	if err == nil {
		t.Cleanup(func() {
			in.Close()
			_ = d.holder.Wait() // it may have failed, which is said below
		})
		_, err = io.ReadFull(out, make([]byte, len("ready")))
	}
	if err != nil {
		in.Close()
		_ = d.holder.Wait() // the error is in errs
		if os.Getenv("CAS_TEST_DISALLOW_SKIP") == "1" {
			t.Fatalf("can't mount a small file system: %v: %s", err, errs.String())
		}
		t.Skipf("can't mount a small file system: %v: %s", err, errs.String())
	}
	return d
}

// run makes cmd run with the disk.
func (d smallDisk) run(cmd *exec.Cmd) *exec.Cmd {
	args := []string{"--target", strconv.Itoa(d.holder.Process.Pid), "--mount"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--preserve-credentials")
	}
	// The shell replaces itself by cas, under the name that makes it cas.
	args = append(args, "bash", "-c", `exec -a cas "$0" "$@"`, cmd.Path)
	wrapped := exec.Command("nsenter", append(args, cmd.Args[1:]...)...)
	wrapped.Env = cmd.Env
	return wrapped
}

// makeReadOnly mounts the disk for reading only.
func (d smallDisk) makeReadOnly() {
	d.t.Helper()
	d.mount("-o", "remount,ro", d.dir)
}

// makeUnreadable makes reads of a file on disk fail with EIO, as those of a bad sector do: so does the
// first page of a process's memory, where there is nothing.
func (d smallDisk) makeUnreadable(name string) {
	d.t.Helper()
	d.mount("--bind", fmt.Sprintf("/proc/%d/mem", d.holder.Process.Pid), name)
}

// mount runs mount where the disk is.
func (d smallDisk) mount(arguments ...string) {
	d.t.Helper()
	args := []string{"--target", strconv.Itoa(d.holder.Process.Pid), "--mount"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--preserve-credentials")
	}
	if out, err := exec.Command("nsenter", slices.Concat(args, []string{"mount"}, arguments)...).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
}

// fill takes all room that is left, to the last byte.
func (d smallDisk) fill() {
	d.t.Helper()
	ballast, err := os.Create(filepath.Join(fmt.Sprintf("/proc/%d/root", d.holder.Process.Pid), d.dir, "ballast"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer ballast.Close()
	for size := 64 << 10; size > 0; {
		if _, err = ballast.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}

// A full disk refuses uploads with 507 and harms no stored blob; the gateway goes
// on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := newSmallDisk(t, dir)
	p := serveProcess(t, disk.run(casCommand(t, []string{"CAS_DATA_DIR=" + dir, "CAS_GC_GRACE=0", "CAS_GC_INTERVAL=100ms", "CAS_DISK_LOW=4MiB"}, "serve")))
	if state := diskState(t, p); state != "ok" {
		t.Errorf("an empty disk is %q", state)
	}
	var kept []cas.Digest
	full := 0
	wasLow := false // before the first refusal
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
			wasLow = wasLow || full == 0 && diskState(t, p) == "low"
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
	if !wasLow {
		t.Error("readyz did not say that the disk gets full")
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

// diskState returns what readyz says about the disk. It must be 200: the gateway still serves.
func diskState(t *testing.T, p *process) string {
	t.Helper()
	status, body, err := p.request("GET", "/readyz", nil)
	if err != nil || status != 200 {
		t.Fatalf("readyz: %d %s, %v", status, body, err)
	}
	var health api.Health
	if err := json.Unmarshal(body, &health); err != nil {
		t.Fatal(err)
	}
	return health.Checks["disk"]
}

// A gateway that was killed starts again on a disk without a byte of room. There it reads,
// deletes and collects, until uploads have room again.
func TestServeStartsOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := newSmallDisk(t, dir)
	env := []string{"CAS_DATA_DIR=" + dir, "CAS_GC_GRACE=0", "CAS_GC_INTERVAL=100ms"}
	p := serveProcess(t, disk.run(casCommand(t, env, "serve")))
	put := func(b []byte) int {
		t.Helper()
		status, body, err := p.request("PUT", "/v1/blobs/"+cas.DigestOf(b).String(), bytes.NewReader(b))
		if err != nil || status != 201 && status != 507 {
			t.Fatalf("an upload is answered %d %s, %v\n%s", status, body, err, p.log())
		}
		return status
	}
	kept := castest.RandomBytes(700_000)
	gone := castest.RandomBytes(1_500_000)
	if put(kept) != 201 || put(gone) != 201 {
		t.Fatal("an empty disk is full")
	}
	for range 2 { // the second start finds no reserve
		p.kill()
		disk.fill()
		p = serveProcess(t, disk.run(casCommand(t, env, "serve")))
		if state := diskState(t, p); state != "low" {
			t.Errorf("the full disk is %q", state)
		}
		checkBlob(t, p, cas.DigestOf(kept), 0, true)
	}
	more := castest.RandomBytes(1_000_000)
	if status := put(more); status != 507 {
		t.Errorf("an upload to a full disk is answered %d", status)
	}
	if status, body, err := p.request("DELETE", "/v1/blobs/"+cas.DigestOf(gone).String(), nil); err != nil || status/100 != 2 {
		t.Fatalf("a delete on a full disk is answered %d %s, %v\n%s", status, body, err, p.log())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log:\n%s", lastLines(p.log(), 20))
		}
	})
	castest.Eventually(t, "room on the disk", func() bool { return put(more) == 201 })
	checkBlob(t, p, cas.DigestOf(kept), 0, true)
	checkBlob(t, p, cas.DigestOf(more), 0, true)
}

// lastLines returns the last lines of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
