package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// stdinPath stands for standard input among paths.
const stdinPath = "-"

// putItem is one file to be stored, and what came of it.
type putItem struct {
	path    string
	options client.PutOptions
	file    string // id of one that is a file at the gateway; nothing is to be stored
	// streamed: it can be read only once.
	streamed bool
	source   client.Source // of one that isn't

	// Once done is closed either blob or err is set.
	done chan struct{}
	blob api.Blob
	err  error
	// stopped: it failed only because everything did, which is reported once.
	stopped bool
}

func newPutItem(path string) *putItem {
	return &putItem{path: path, done: make(chan struct{})}
}

// owner returns the stored item as what has copies.
func (i *putItem) owner(gateway *client.Client) owner {
	return owner{gateway: gateway, digest: i.blob.Digest, file: i.file}
}

// finish records what came of the item; the first call counts.
func (i *putItem) finish(blob api.Blob, err error) {
	if i.finished() {
		return
	}
	i.blob, i.err = blob, err
	close(i.done)
}

func (i *putItem) finished() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

// checkPaths refuses flags of what stores files that contradict each other.
func checkPaths(paths []string, recursive bool, name string, parallel int) error {
	stdins := 0
	for _, path := range paths {
		if path == stdinPath {
			stdins++
		}
	}
	switch {
	case parallel < 1:
		return exit.Usagef("--parallel must be at least 1")
	case name != "" && (len(paths) > 1 || recursive):
		return exit.Usagef("--name is for one file only")
	case stdins > 1:
		return exit.Usagef("standard input can be stored once only")
	}
	return nil
}

// collect finds the files that the paths name. What can't be is an item that has
// failed already; what isn't followed in folders is only noted.
func collect(paths []string, recursive bool, shown *terminal.Progress) []*putItem {
	var items []*putItem
	add := func(path string, err error) *putItem {
		item := newPutItem(path)
		if err != nil {
			item.finish(api.Blob{}, err)
		}
		items = append(items, item)
		return item
	}
	for _, path := range paths {
		if path == stdinPath {
			add(path, nil).streamed = true
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			add(path, withoutPath(err))
		case info.Mode().IsRegular():
			add(path, nil)
		case !info.IsDir():
			add(path, nil).streamed = true // such as a pipe
		case !recursive:
			add(path, errors.New("it is a folder; -r stores the files in it"))
		default:
			collectFolder(path, add, shown)
		}
	}
	return items
}

// collectFolder finds the regular files of a folder, in the order of their names.
func collectFolder(root string, add func(string, error) *putItem, shown *terminal.Progress) {
	// The separator makes a symbolic link that was named itself be followed.
	walkErr := filepath.WalkDir(root+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		switch {
		case err != nil:
			add(path, withoutPath(err))
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
		case entry.Type().IsRegular():
			add(path, nil)
		case entry.Type()&fs.ModeSymlink != 0:
			shown.Note("skipped  %s: a symbolic link", terminal.Printable(path))
		case !entry.IsDir():
			shown.Note("skipped  %s: not a regular file", terminal.Printable(path))
		}
		return nil
	})
	if walkErr != nil {
		add(root, walkErr)
	}
}

// withoutPath takes the path out of an error that is reported beside it.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
