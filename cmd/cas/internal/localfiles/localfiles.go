// Package localfiles finds the files on disk that an agent may store: regular files below given
// folders. A model chooses the paths, and what it reads may mislead it, so nothing outside
// of the folders is opened, hidden files stay closed, and a refusal tells nothing.
package localfiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"casgate/gateway/mcpserver"
)

// ErrTooWide is the error of a folder that has the user's home folder in it.
var ErrTooWide = errors.New("an agent must not read the whole home folder: name a folder in it")

// Options say which files on disk there are.
type Options struct {
	Folders []string
	// Hidden allows paths with a part that begins with a dot.
	Hidden bool
}

// Files are the files on disk. It implements mcpserver.LocalFiles, and is safe for concurrent
// use.
type Files struct {
	mu      sync.Mutex
	folders []folder
	hidden  bool
}

// folder is a folder with files on disk.
type folder struct {
	root *os.Root
	path string // absolute
	real string // without symbolic links
}

// Open opens the folders. The caller closes the Files. The error wraps ErrTooWide for a
// folder that has the home folder in it.
func Open(o Options) (*Files, error) {
	files := &Files{hidden: o.Hidden}
	for _, name := range o.Folders {
		opened, err := openFolder(name)
		if err != nil {
			files.Close()
			return nil, err
		}
		files.folders = append(files.folders, opened)
	}
	return files, nil
}

func openFolder(name string) (folder, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return folder{}, err
	}
	resolved, err := filepath.EvalSymlinks(absolute)
	if err != nil {
		return folder{}, err
	}
	homes, err := homes()
	if err != nil {
		return folder{}, err
	}
	for _, home := range homes {
		if contains(resolved, home) {
			return folder{}, fmt.Errorf("%s: %w", name, ErrTooWide)
		}
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return folder{}, err
	}
	if !info.IsDir() { // the open of a FIFO would wait for a writer
		return folder{}, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	root, err := os.OpenRoot(resolved)
	if err != nil {
		return folder{}, err
	}
	return folder{root, absolute, resolved}, nil
}

// homes returns the home folder by HOME, and that of the user's account: a program may be
// started without the variable, or with another one.
func homes() ([]string, error) {
	var all []string
	if home, err := os.UserHomeDir(); err == nil {
		all = append(all, home)
	}
	if account, err := user.Current(); err == nil && account.HomeDir != "" {
		all = append(all, account.HomeDir)
	}
	if len(all) == 0 {
		return nil, errors.New("the home folder is not known, so an agent can't be kept out of it: set HOME")
	}
	return all, nil
}

// contains reports whether a folder is the home folder, or has it in it.
func contains(dir, home string) bool {
	if resolved, err := filepath.EvalSymlinks(home); err == nil {
		home = resolved
	}
	rel, err := filepath.Rel(dir, home)
	return dir == "/" || err == nil && filepath.IsLocal(rel)
}

// Close closes the folders.
func (f *Files) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, folder := range f.folders {
		folder.root.Close()
	}
}

// present returns the folders. One that was removed and made again is opened again, unless
// a link now leads elsewhere. An opened file of the removed one stays as it is.
func (f *Files) present() []folder {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, old := range f.folders {
		opened, openedErr := old.root.Stat(".")
		there, err := os.Stat(old.path)
		if err != nil || openedErr == nil && os.SameFile(opened, there) {
			continue
		}
		again, err := openFolder(old.path)
		if err != nil {
			continue
		}
		if again.real != old.real {
			again.root.Close()
			continue
		}
		old.root.Close()
		f.folders[i] = again
	}
	return slices.Clone(f.folders)
}

// Folders returns the folders, as they were named.
func (f *Files) Folders() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var paths []string
	for _, folder := range f.folders {
		paths = append(paths, folder.path)
	}
	return paths
}

// Find implements mcpserver.LocalFiles.
func (f *Files) Find(name string) (mcpserver.LocalFile, error) {
	for _, folder := range f.present() {
		inside, ok := folder.relative(name)
		if !ok {
			continue
		}
		if inside, ok = folder.resolve(inside, f.hidden); !ok {
			continue
		}
		info, err := folder.root.Lstat(inside)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		return mcpserver.LocalFile{
			Name: filepath.Base(name), Size: info.Size(),
			Open: func() (io.ReadCloser, error) { return f.open(folder, inside) },
		}, nil
	}
	return mcpserver.LocalFile{}, f.refusal()
}

// refusal is the error of every path that is refused, so that it doesn't tell what is there.
func (f *Files) refusal() error {
	hidden := ", without a part that begins with a dot"
	if f.hidden {
		hidden = ""
	}
	return mcpserver.Refuse(fmt.Sprintf("This server reads no file at this path. It reads regular files below %s%s.", strings.Join(f.Folders(), " and "), hidden))
}

// open opens a regular file. It never waits, as for the other end of a pipe.
func (f *Files) open(in folder, name string) (io.ReadCloser, error) {
	file, err := in.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, f.refusal()
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		file.Close()
		return nil, f.refusal()
	}
	return file, nil
}

// relative returns a path as one below the folder, with slashes, and reports whether it is.
func (d folder) relative(name string) (string, bool) {
	if !filepath.IsAbs(name) {
		return filepath.ToSlash(name), true
	}
	name = filepath.ToSlash(name)
	for _, above := range []string{d.path, d.real} {
		if rest, ok := strings.CutPrefix(name, filepath.ToSlash(above)+"/"); ok {
			return rest, true
		}
	}
	return "", false
}

// maxLinks bounds the symbolic links on a path.
const maxLinks = 40

// resolve returns a path without symbolic links, and reports whether it is allowed. So a link
// is no way to a hidden file.
func (d folder) resolve(name string, hidden bool) (string, bool) {
	left := strings.Split(name, "/")
	if slices.Contains(left, "..") {
		return "", false
	}
	var done []string
	for links := 0; len(left) > 0; {
		part := left[0]
		left = left[1:]
		switch {
		case part == "" || part == ".":
			continue
		case part == ".." && len(done) == 0: // in a link's target
			return "", false
		case part == "..":
			done = done[:len(done)-1]
			continue
		case part[0] == '.' && !hidden:
			return "", false
		}
		here := path.Join(append(slices.Clone(done), part)...)
		info, err := d.root.Lstat(here)
		if err != nil {
			return "", false
		}
		if info.Mode()&os.ModeSymlink == 0 {
			done = append(done, part)
			continue
		}
		target, err := d.root.Readlink(here)
		if links++; err != nil || filepath.IsAbs(target) || links > maxLinks {
			return "", false
		}
		left = append(strings.Split(filepath.ToSlash(target), "/"), left...)
	}
	return path.Join(done...), len(done) > 0
}
