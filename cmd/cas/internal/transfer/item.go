// Package transfer moves bytes between files on this machine and the gateway: uploads
// that hash first, downloads that verify and resume.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// Item is one thing to store, and its result.
type Item struct {
	Path    string
	Options client.PutOptions
	Named   bool   // the user gave the name
	File    string // id of a file at the gateway; nothing is to be stored
	// Streamed: the bytes can be read only once.
	Streamed bool
	size     int64         // in bytes, as the folder gave it; 0: not known
	source   client.Source // if not Streamed

	// Done is closed when Blob or Err is set.
	Done chan struct{}
	Blob api.Blob
	Err  error
	// WouldSend: with Uploader.DryRun, the gateway lacks the bytes.
	WouldSend bool
	// Stopped: the item failed only because the whole command did, which is reported
	// once.
	Stopped bool
}

func newItem(path string) *Item {
	return &Item{Path: path, Done: make(chan struct{})}
}

// Finish sets the result of the item. The first call counts.
func (i *Item) Finish(blob api.Blob, err error) {
	if i.finished() {
		return
	}
	i.Blob, i.Err = blob, err
	close(i.Done)
}

func (i *Item) finished() bool {
	select {
	case <-i.Done:
		return true
	default:
		return false
	}
}

// OwnName is the name that the gateway keeps with the item, unless another is given.
func (i *Item) OwnName() string {
	if i.Streamed {
		return ""
	}
	return filepath.Base(i.Path)
}

// Owner returns what has copies, after the item is stored.
func (i *Item) Owner(gateway *client.Client) Owner {
	if i.File != "" {
		return FileOwner(gateway, i.File)
	}
	return BlobOwner(gateway, i.Blob.Digest)
}

// LocalItem returns the item of a file on this machine. If the file can't be stored,
// the item has failed already.
func LocalItem(path string) *Item {
	item := newItem(path)
	if path == argument.StdinPath {
		item.Streamed = true
		return item
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		item.Finish(api.Blob{}, fmt.Errorf("%w; stored content is named by sha256:…, hash URL or file id, and any other text is a file on this machine", WithoutPath(err)))
	case err != nil:
		item.Finish(api.Blob{}, WithoutPath(err))
	case info.IsDir():
		item.Finish(api.Blob{}, errors.New("it is a folder; name the files in it"))
	default:
		item.Streamed = !info.Mode().IsRegular() // such as a pipe
	}
	return item
}

// NewItem returns the item of an argument. An argument that names stored content is
// finished already. The item gets the name, or its own name if that is empty.
func NewItem(ctx context.Context, gateway *client.Client, of argument.Content, name string) (*Item, error) {
	if of.Path != "" {
		item := LocalItem(of.Path)
		item.Options.Name = name
		if name == "" {
			item.Options.Name = item.OwnName()
		}
		return item, nil
	}
	item := newItem(of.Stored.String())
	item.Options.Name, item.File = name, string(of.Stored.File)
	var stored api.Blob
	if item.File == "" {
		var err error
		if stored.Digest, err = of.Stored.Blob.DigestAt(ctx, gateway); err != nil {
			return nil, err
		}
	}
	item.Finish(stored, nil)
	return item, nil
}

// CheckProviders makes sure that the gateway knows the providers, before files are
// stored for copies that could then not be made. It asks only if a file is to be hashed
// and sent: a token may be good for an upload and not for questions.
func CheckProviders(ctx context.Context, gateway *client.Client, items []*Item, names []string) error {
	if !slices.ContainsFunc(items, func(i *Item) bool { return !i.finished() && !i.Streamed }) {
		return nil
	}
	for _, name := range names {
		if _, err := gateway.Provider(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Find returns an item for each file that the paths name, and with Recursive for each
// file in their folders. Items that can't be stored have failed already.
func Find(paths []string, shown *terminal.Progress, o FindOptions) []*Item {
	var items []*Item
	add := func(path string, err error) *Item {
		item := newItem(path)
		if err != nil {
			item.Finish(api.Blob{}, err)
		}
		items = append(items, item)
		return item
	}
	for _, path := range paths {
		if path == argument.StdinPath {
			add(path, nil).Streamed = true
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			add(path, WithoutPath(err))
		case info.Mode().IsRegular():
			add(path, nil).size = info.Size()
		case !info.IsDir():
			add(path, nil).Streamed = true // such as a pipe
		case !o.Recursive:
			add(path, errors.New("it is a folder; -r stores the files in it"))
		default:
			findInFolder(path, add, folderSearch{shown, o.Exclude})
		}
	}
	return items
}

// FindOptions are the options of Find.
type FindOptions struct {
	Recursive bool // also the files in folders
	// Exclude are patterns of path.Match. A file or folder below a given folder is left out
	// if its name, or its path below that folder, matches one.
	Exclude []string
}

// folderSearch says how a folder is searched.
type folderSearch struct {
	shown   *terminal.Progress
	exclude []string
}

// leavesOut reports whether a path below the folder is excluded.
func (s folderSearch) leavesOut(below string) bool {
	below = filepath.ToSlash(below)
	return slices.ContainsFunc(s.exclude, func(pattern string) bool {
		byName, _ := path.Match(pattern, path.Base(below)) // CheckUpload has checked the pattern
		byPath, _ := path.Match(pattern, below)
		return byName || byPath
	})
}

// findInFolder finds the regular files of a folder, in the order of their names.
func findInFolder(root string, add func(string, error) *Item, search folderSearch) {
	// The separator at the end follows a symbolic link that is the root itself.
	walkErr := filepath.WalkDir(root+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		if below, relErr := filepath.Rel(root, path); relErr == nil && below != "." && search.leavesOut(below) {
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case err != nil:
			add(path, WithoutPath(err))
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
		case entry.Type().IsRegular():
			item := add(path, nil)
			if info, err := entry.Info(); err == nil { // else its open tells
				item.size = info.Size()
			}
		case entry.Type()&fs.ModeSymlink != 0:
			search.shown.Note("skipped  %s: a symbolic link", terminal.Printable(path))
		case !entry.IsDir():
			search.shown.Note("skipped  %s: not a regular file", terminal.Printable(path))
		}
		return nil
	})
	if walkErr != nil {
		add(root, walkErr)
	}
}

// WithoutPath takes the path out of an error that is printed beside the path.
func WithoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// UploadFlags are the flags of the commands that store files.
type UploadFlags struct {
	Paths     []string
	Recursive bool
	Exclude   []string
	Name      string
	Parallel  int
}

// CheckUpload refuses flags that contradict each other.
func CheckUpload(f UploadFlags) error {
	switch {
	case f.Parallel < 1:
		return exit.Usagef("--parallel must be at least 1")
	case f.Name != "" && (len(f.Paths) > 1 || f.Recursive):
		return exit.Usagef("--name is for one file only")
	}
	if len(f.Exclude) > 0 && !f.Recursive {
		return exit.Usagef("--exclude is for folders, with -r")
	}
	for _, pattern := range f.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			return exit.Usagef("--exclude %q is not a pattern such as *.tmp or cache/*", pattern)
		}
	}
	return argument.CheckStdin(f.Paths)
}
