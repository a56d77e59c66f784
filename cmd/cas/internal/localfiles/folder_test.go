package localfiles_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"casgate/cmd/cas/internal/localfiles"
)

// write writes a file on disk, with its folders.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, o localfiles.Options) *localfiles.Files {
	t.Helper()
	files, err := localfiles.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.Close)
	return files
}

// read returns the content of the file on disk at a path.
func read(files *localfiles.Files, path string) (string, error) {
	found, err := files.Find(path)
	if err != nil {
		return "", err
	}
	content, err := found.Open()
	if err != nil {
		return "", err
	}
	defer content.Close()
	b, err := io.ReadAll(content)
	return string(b), err
}

// An agent reads what is in its folder, and nothing beside it, on every system.
func TestOnlyTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	write(t, filepath.Join(dir, "secret"), "secret")
	write(t, filepath.Join(in, "a.txt"), "a")
	write(t, filepath.Join(in, "sub", "b.txt"), "b")
	write(t, filepath.Join(in, ".env"), "secret")
	write(t, filepath.Join(in, "sub", ".env"), "secret")
	files := open(t, localfiles.Options{Folders: []string{in}})
	for path, want := range map[string]string{"a.txt": "a", "sub/b.txt": "b", filepath.Join("sub", "b.txt"): "b", filepath.Join(in, "a.txt"): "a"} {
		if got, err := read(files, path); err != nil || got != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"", ".", "sub", "none", ".env", "../secret", "sub/.env", filepath.Join("sub", ".env"), filepath.Join(in, "sub", ".env"), filepath.Join("..", "secret"), filepath.Join(dir, "secret"), "NUL"} {
		if got, err := read(files, path); err == nil {
			t.Errorf("%q was read: %q", path, got)
		}
	}
}
