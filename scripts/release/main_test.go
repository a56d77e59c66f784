package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"casgate/cas/castest"
)

var entries = []entry{{"casgate-v1/LICENSE", []byte("license"), 0o644}, {"casgate-v1/cas", []byte("program"), 0o755}}

// The same entries make the same bytes, and come out as they went in.
func TestArchivesAreReproducible(t *testing.T) {
	at := time.Unix(1_795_687_200, 0).UTC()
	for name, write := range map[string]func(io.Writer, []entry, time.Time) error{"tar": writeTar, "zip": writeZip} {
		var first, second bytes.Buffer
		if err := errors.Join(write(&first, entries, at), write(&second, entries, at)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: two archives of the same differ", name)
		}
		read := readTar
		if name == "zip" {
			read = readZip
		}
		got := read(t, first.Bytes())
		if len(got) != len(entries) {
			t.Fatalf("%s has %d entries", name, len(got))
		}
		for i, e := range got {
			if e.name != entries[i].name || e.mode != entries[i].mode || !bytes.Equal(e.content, entries[i].content) {
				t.Errorf("%s: %s %v %q", name, e.name, e.mode, e.content)
			}
		}
	}
}

func readTar(t *testing.T, b []byte) (all []entry) {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{header.Name, content, os.FileMode(header.Mode)})
	}
}

func readZip(t *testing.T, b []byte) (all []entry) {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{f.Name, content, f.Mode()})
	}
	return all
}

// Two releases of a commit are the same, and the program in them says its version.
func TestRelease(t *testing.T) {
	castest.Slow(t)
	t.Chdir("../..")
	var sums []string
	for range 2 {
		out := t.TempDir()
		if err := release("v9.9.9", out, []string{runtime.GOOS + "/" + runtime.GOARCH}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, string(b))
		name := strings.Fields(string(b))[1]
		archive, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(out, "cas")
		for _, e := range readTar(t, archive) {
			if filepath.Base(e.name) == "cas" {
				if err := os.WriteFile(program, e.content, 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
		if version, err := exec.Command(program, "version").Output(); err != nil || !strings.Contains(string(version), "v9.9.9") {
			t.Errorf("cas version: %s, %v", version, err)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("two releases of one commit differ:\n%s%s", sums[0], sums[1])
	}
}
