package foldersource_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/folderstore/foldersource"
	"casgate/cas/importer"
)

// newFolder makes a folder with files, links and a pipe in it, and a secret beside
// it.
func newFolder(t *testing.T) (*foldersource.Source, string) {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "old")
	for _, d := range []string{"a/b", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range map[string]string{"old/one.txt": "one", "old/a/b/报告 📎": "two", "old/a/none": "", "secret": "secret"} {
		if err := os.WriteFile(filepath.Join(top, path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"out": "../secret", "absolute": filepath.Join(top, "secret"), "up": "..", "in": "a/b/报告 📎", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := foldersource.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, dir
}

func TestOpen(t *testing.T) {
	t.Parallel()
	s, dir := newFolder(t)
	if want := "file://" + dir; s.Name() != want {
		t.Errorf("named %s, not %s", s.Name(), want)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for key, want := range map[string]string{"one.txt": "one", "/one.txt": "one", "a/b/报告 📎": "two", "a/../one.txt": "one", "in": "two", "a/none": ""} {
		object, err := s.Open(t.Context(), key)
		if err != nil {
			t.Errorf("open %q: %v", key, err)
			continue
		}
		b, err := io.ReadAll(object.Body)
		if err != nil || string(b) != want || object.Size != int64(len(want)) || object.Body.Close() != nil {
			t.Errorf("read %q: %q of %d, %v", key, b, object.Size, err)
		}
		if size, err := s.Stat(t.Context(), key); err != nil || size != int64(len(want)) {
			t.Errorf("stat %q: %d, %v", key, size, err)
		}
	}
}

// No object outside the folder can be opened, and no open blocks.
func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s, _ := newFolder(t)
	for _, key := range []string{
		"nothing", "one.txt/x", "", ".", "..", "../secret", "/../secret", "a/../../secret", "a/b/../../../secret",
		"out", "absolute", "up/secret", "loop", "a", "pipe", "a\x00b", strings.Repeat("x", 5000),
	} {
		if object, err := s.Open(t.Context(), key); !errors.Is(err, cas.ErrObjectMissing) {
			t.Errorf("open %.30q: %+v, %v", key, object, err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, cas.ErrObjectMissing) {
			t.Errorf("stat %.30q: %v", key, err)
		}
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	s, dir := newFolder(t)
	var keys []string
	for row, err := range s.Rows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, row.Key)
		f, notes, err := row.File(s.Name(), time.Now())
		if err != nil || len(notes) > 0 || f.Size < 0 || time.Since(f.CreatedAt) > time.Hour {
			t.Errorf("row %+v: %+v, %q, %v", row, f, notes, err)
		}
	}
	if want := []string{"a/b/报告 📎", "a/none", "one.txt"}; !slices.Equal(keys, want) {
		t.Errorf("rows %q, want %q", keys, want)
	}
	for range s.Rows(t.Context()) {
		break
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.Rows(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}

	if os.Getuid() == 0 {
		return // root may open any folder
	}
	if err := os.Chmod(filepath.Join(dir, "a"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "a"), 0o700) })
	var wrong, right int
	for _, err := range s.Rows(t.Context()) {
		if _, ok := errors.AsType[*importer.RowError](err); ok {
			wrong++
		} else if err == nil {
			right++
		}
	}
	if wrong != 1 || right != 1 {
		t.Errorf("with a folder that is closed: %d rows wrong, %d right", wrong, right)
	}
	if _, err := s.Open(t.Context(), "a/none"); !errors.Is(err, cas.ErrOriginUnavailable) {
		t.Errorf("open in a folder that is closed: %v", err)
	}
}

func TestReadsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	s, _ := newFolder(t)
	ctx, cancel := context.WithCancel(t.Context())
	object, err := s.Open(ctx, "one.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	cancel()
	if _, err := io.ReadAll(object.Body); !errors.Is(err, cas.ErrOriginUnavailable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := s.Open(ctx, "one.txt"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNoFolder(t *testing.T) {
	t.Parallel()
	if _, err := foldersource.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
