package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A server's disk outlives its programs, can be full, and leaves nothing.
func TestServerDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d, err := newServerDisk(t.Context(), folder, 1<<20, nil)
	if os.Getuid() != 0 {
		if err == nil {
			t.Error("a disk was mounted without root")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	shell := func(script string) error {
		return d.within(program{path: "/bin/sh", args: []string{"sh", "-c", script}, dir: "/", log: folder + ".log"}).run(t.Context())
	}
	write := "dd if=/dev/zero of=" + filepath.Join(folder, "some") + " bs=64k count=2 conv=notrunc,fsync"
	if err := shell(write); err != nil {
		t.Fatal(err)
	}
	err = fill(d.path(""), d.size, func() {
		if err := os.WriteFile(d.path("more"), make([]byte, 1), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a write to the full disk: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := shell(write); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(d.path("some")); err != nil || len(b) != 128<<10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("outside the namespace there is %v, %v", left, err)
	}
}

// A folder whose disk is not mounted yet is not filled, for it lies on the disk of all tests.
func TestOnlyItsOwnDiskIsFilled(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	err := fill(folder, diskSize, func() { t.Error("the disk counts as full") })
	if !errors.Is(err, errNotMounted) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("it holds %v, %v", left, err)
	}
}
