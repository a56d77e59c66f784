//go:build unix

// Windows has no named pipes of this kind, and its paths are others: see folder_test.go.

package localfiles_test

import (
	"errors"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"casgate/cmd/cas/internal/localfiles"
)

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// What is refused is refused with one error, whether something is there or not.
func TestPathsOfAgents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside, in := filepath.Join(dir, "outside"), filepath.Join(dir, "in")
	write(t, filepath.Join(outside, "secret"), "secret")
	write(t, filepath.Join(dir, "in-fact-outside"), "secret")
	for name, content := range map[string]string{
		"a.txt": "a", "sub/b.txt": "b", "with space/ü.txt": "c", "..odd": "odd", ".env": "secret", ".git/config": "secret", "sub/.hidden/x": "secret",
	} {
		write(t, filepath.Join(in, name), content)
	}
	link(t, "a.txt", filepath.Join(in, "link"))
	link(t, "../a.txt", filepath.Join(in, "sub", "up"))
	link(t, "sub", filepath.Join(in, "folder"))
	link(t, outside+"/secret", filepath.Join(in, "out"))
	link(t, "../outside/secret", filepath.Join(in, "out-relative"))
	link(t, "../outside", filepath.Join(in, "out-folder"))
	link(t, "../outside/none", filepath.Join(in, "out-none"))
	link(t, ".env", filepath.Join(in, "visible"))
	link(t, ".git", filepath.Join(in, "git"))
	link(t, "loop", filepath.Join(in, "loop"))
	link(t, in+"/a.txt", filepath.Join(in, "absolute"))
	link(t, "/dev/null", filepath.Join(in, "null"))
	if err := syscall.Mkfifo(filepath.Join(in, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(in, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	files := open(t, localfiles.Options{Folders: []string{in}})

	for path, want := range map[string]string{
		"a.txt": "a", "./a.txt": "a", "sub/b.txt": "b", "sub//b.txt": "b", "with space/ü.txt": "c", "link": "a", "sub/up": "a", "folder/b.txt": "b",
		in + "/a.txt": "a", in + "/sub/b.txt": "b",
	} {
		if got, err := read(files, path); err != nil || got != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	refusals := map[string]bool{}
	for _, path := range []string{
		"", ".", "/", "..", "sub", "sub/", "none", "none/none", "a.txt/x", "../outside/secret", "../outside/none", "sub/../../outside/secret", "sub/../a.txt", "..",
		outside + "/secret", outside + "/none", "/etc/passwd", "/etc/none", in, in + "/", in + "/../outside/secret", dir + "/in-fact-outside",
		"out", "out-relative", "out-folder/secret", "out-folder/none", "out-none", "loop", "absolute", "null", "fifo", "socket",
		".env", ".git/config", "sub/.hidden/x", "visible", "git/config", "..odd", "./.env", "a.txt\x00", strings.Repeat("x", 5000), "/dev/zero", "/proc/self/environ",
	} {
		got, err := read(files, path)
		if err == nil {
			t.Errorf("%q was read: %q", path, got)
			continue
		}
		refusals[err.Error()] = true
	}
	if len(refusals) != 1 {
		t.Errorf("refusals differ, and so tell what is there: %v", refusals)
	}
}

// A file on disk that becomes something else after it was found is not read.
func TestPathThatChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	write(t, filepath.Join(dir, "secret"), "secret")
	files := func() *localfiles.Files {
		write(t, filepath.Join(in, "a"), "a")
		return open(t, localfiles.Options{Folders: []string{in}})
	}()
	for name, change := range map[string]func(path string) error{
		"a link to outside": func(path string) error { return os.Symlink("../secret", path) },
		"a pipe":            func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":          func(path string) error { return os.Mkdir(path, 0o700) },
		"nothing":           func(string) error { return nil },
	} {
		path := filepath.Join(in, "b")
		write(t, path, "b")
		found, err := files.Find("b")
		if err == nil {
			err = os.Remove(path)
		}
		if err == nil {
			err = change(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		if content, err := found.Open(); err == nil {
			content.Close()
			t.Errorf("%s was opened", name)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A folder that is removed and made again works again. A link in its place does not.
func TestFolderIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, elsewhere := filepath.Join(dir, "in"), filepath.Join(dir, "elsewhere")
	write(t, filepath.Join(in, "a"), "first")
	write(t, filepath.Join(elsewhere, "a"), "secret")
	files := open(t, localfiles.Options{Folders: []string{in}})
	remove := func() {
		t.Helper()
		if err := os.RemoveAll(in); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	if got, err := read(files, "a"); err == nil {
		t.Errorf("while there is none: %q", got)
	}
	link(t, elsewhere, in)
	if got, err := read(files, "a"); err == nil {
		t.Errorf("through a link: %q", got)
	}
	remove()
	if err := syscall.Mkfifo(in, 0o600); err != nil { // its open would wait for a writer
		t.Fatal(err)
	}
	if got, err := read(files, "a"); err == nil {
		t.Errorf("where a FIFO is: %q", got)
	}
	remove()
	write(t, filepath.Join(in, "a"), "second")
	if got, err := read(files, "a"); err != nil || got != "second" {
		t.Errorf("made again: %q, %v", got, err)
	}
}

func TestHiddenAndSeveralFolders(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	write(t, filepath.Join(one, ".env"), "hidden")
	write(t, filepath.Join(two, "b"), "b")
	link(t, two, filepath.Join(one, "linked"))
	files := open(t, localfiles.Options{Folders: []string{one, filepath.Join(one, "linked")}, Hidden: true})
	for path, want := range map[string]string{".env": "hidden", one + "/.env": "hidden", "b": "b", two + "/b": "b", one + "/linked/b": "b"} {
		if got, err := read(files, path); err != nil || got != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if got, err := read(files, "../"+filepath.Base(one)+"/.env"); err == nil {
		t.Errorf("a path with ..: %q", got)
	}
}

// The home folder, and every folder that has it in it, is too much for an agent.
func TestHomeIsTooWide(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "users", "me")
	write(t, filepath.Join(home, "project", "a"), "a")
	link(t, home, filepath.Join(dir, "link"))
	t.Setenv("HOME", home)
	for _, folder := range []string{home, home + "/", filepath.Join(dir, "users"), dir, "/", filepath.Join(dir, "link"), filepath.Join(home, "project", "..")} {
		if _, err := localfiles.Open(localfiles.Options{Folders: []string{folder}}); !errors.Is(err, localfiles.ErrTooWide) {
			t.Errorf("%s: %v", folder, err)
		}
	}
	open(t, localfiles.Options{Folders: []string{filepath.Join(home, "project")}})
	account, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{"", home} {
		t.Setenv("HOME", variable)
		for _, folder := range []string{account.HomeDir, "/"} {
			if _, err := localfiles.Open(localfiles.Options{Folders: []string{folder}}); !errors.Is(err, localfiles.ErrTooWide) {
				t.Errorf("%s, with HOME=%s: %v", folder, variable, err)
			}
		}
	}
	if _, err := localfiles.Open(localfiles.Options{Folders: []string{filepath.Join(home, "none")}}); err == nil || errors.Is(err, localfiles.ErrTooWide) {
		t.Errorf("a folder that isn't there: %v", err)
	}
}
