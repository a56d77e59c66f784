package folderstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"casgate/cas"
)

// Durability says what a crash of the machine may do to an object that was published.
type Durability int

const (
	// Durable objects stay.
	Durable Durability = iota
	// Passing objects may be missing or cut short after the crash, as in a cache.
	Passing
)

// Draft is an object that is being written. No reader sees it before it is published.
type Draft struct {
	// File is open for reading and writing. The owner of the draft closes it.
	File *os.File

	store    *Store
	name     string // empty once it was published
	readOnly bool
}

// draftMode is the mode of files on disk that are being written.
const draftMode = 0o600

// NewDraft creates an empty draft.
func (s *Store) NewDraft() (*Draft, error) {
	name, f, err := s.createUnfinished(os.O_RDWR, draftMode)
	if err != nil {
		return nil, err
	}
	return &Draft{File: f, store: s, name: name}, nil
}

// createUnfinished creates a file on disk in the folder for unfinished objects, which it makes again
// if somebody has removed it.
func (s *Store) createUnfinished(flag int, mode fs.FileMode) (name string, f *os.File, err error) {
	name = path.Join(tmpDir, randomName())
	flag |= os.O_CREATE | os.O_EXCL
	if f, err = s.root.OpenFile(name, flag, mode); errors.Is(err, fs.ErrNotExist) {
		if err = s.root.MkdirAll(tmpDir, dirMode); err == nil {
			f, err = s.root.OpenFile(name, flag, mode)
		}
	}
	return name, f, err
}

// minReserved is the size from which room is reserved, in bytes. For less it costs more time
// than it saves.
const minReserved = 1 << 20

// Reserve reserves the room for so many bytes, if the file system can do that. The writes
// then take about two thirds of the processor time. The error says that there is no room.
func (d *Draft) Reserve(size int64) error {
	if size < minReserved {
		return nil
	}
	return reserve(d.File, size)
}

// Flush makes the bytes durable.
func (d *Draft) Flush() error {
	if err := d.protect(); err != nil {
		return err
	}
	return d.File.Sync()
}

// protect makes the file on disk read-only.
func (d *Draft) protect() error {
	if d.readOnly {
		return nil
	}
	if err := d.File.Chmod(objectMode); err != nil {
		return err
	}
	d.readOnly = true
	return nil
}

// Publish makes the draft the object ref, and replaces an existing one.
func (d *Draft) Publish(ref cas.ObjectRef, durability Durability) error {
	if err := d.protect(); err != nil {
		return err
	}
	key := ref.Key()
	if err := d.place(key, durability); err != nil {
		return err
	}
	d.name = ""
	if durability == Passing {
		return nil
	}
	return d.store.syncDir(path.Dir(key))
}

// placeTries is how often a draft is renamed whose folder somebody removes meanwhile.
const placeTries = 5

// place renames the draft to its key. Others may remove empty folders at any time, as
// `cas doctor` does with those that it made: then the folder is made again.
func (d *Draft) place(key string, durability Durability) error {
	var err error
	for range placeTries {
		if err = d.store.makeDirs(path.Dir(key), durability); err == nil {
			err = d.store.replace(d.name, key)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// Discard closes the draft, and removes it unless it was published. If that fails, Clean
// removes it.
func (d *Draft) Discard() {
	d.File.Close() // a second close is harmless
	if d.name != "" {
		_ = d.store.root.Remove(d.name)
		d.name = ""
	}
}

// Remove removes an object. After a crash of the machine it may be there again. Remove
// returns nil if there is no such object.
func (s *Store) Remove(ref cas.ObjectRef) error { return s.remove(ref) }

// Retired is an object that was taken away. Its owner calls Remove or Reuse. After a crash Clean
// removes it.
type Retired struct {
	store *Store
	ref   cas.ObjectRef
	name  string
}

// Retire takes an object away at once.
func (s *Store) Retire(ref cas.ObjectRef) (*Retired, error) {
	name := path.Join(tmpDir, randomName())
	if err := s.root.Rename(ref.Key(), name); err != nil {
		return nil, storeError("rename", ref, err)
	}
	return &Retired{store: s, ref: ref, name: name}, nil
}

// Remove removes the file on disk. Its room is free when Remove has returned, which may take some
// milliseconds for a large one.
func (r *Retired) Remove() error {
	if err := r.store.root.Remove(r.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storeError("remove", r.ref, err)
	}
	return nil
}

// Reuse makes the file on disk a draft of another object of size bytes, which is written over the
// old bytes. That takes half of the time of a removal and a new file. The draft has no more room than it
// needs, and the old bytes until they are written over. The caller makes sure that the kernel does not
// send from its pages any more. Reuse fails if other names lead to the file, or anybody has it open.
func (r *Retired) Reuse(size int64) (*Draft, error) {
	info, err := r.store.root.Lstat(r.name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || !hasOneName(info) {
		return nil, fmt.Errorf("%s is no regular file with one name", r.name)
	}
	if err := r.store.root.Chmod(r.name, draftMode); err != nil {
		return nil, err
	}
	file, err := r.store.root.OpenFile(r.name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	err = checkUnshared(file)
	if err == nil && info.Size() > size {
		err = file.Truncate(size)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Draft{File: file, store: r.store, name: r.name}, nil
}

// DropAll hides all objects at once. RemoveDropped removes them then.
func (s *Store) DropAll() error {
	if _, err := s.root.Lstat(objectsDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := s.root.MkdirAll(droppedDir, dirMode); err != nil {
		return err
	}
	return s.root.Rename(objectsDir, path.Join(droppedDir, randomName()))
}

// HasDropped reports whether RemoveDropped has something to remove.
func (s *Store) HasDropped() (bool, error) {
	_, err := s.root.Lstat(droppedDir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// RemoveDropped removes what DropAll has hidden, now or before a crash. When ctx is done, it leaves
// the rest to the next call.
func (s *Store) RemoveDropped(ctx context.Context) error {
	folders, err := fs.Glob(s.root.FS(), path.Join(droppedDir, "*", "*"))
	if err != nil {
		return err
	}
	for _, name := range folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.root.RemoveAll(name); err != nil {
			return err
		}
	}
	return s.root.RemoveAll(droppedDir)
}

const (
	objectsDir = "sha256" // as cas.ObjectRef.Key has it
	droppedDir = "dropped"
)

// Names returns the names of what a store has in its folder.
func Names() []string { return []string{tmpDir, objectsDir, droppedDir} }

// Part is one of the folders that the objects are spread over, by the first bytes of their
// digests.
type Part uint16

// Parts is the number of all parts.
const Parts = 1 << 16

// PartOf returns the part of an object.
func PartOf(ref cas.ObjectRef) Part { return Part(ref.Digest[0])<<8 | Part(ref.Digest[1]) }

// ListPart returns the objects of a part.
func (s *Store) ListPart(part Part) ([]cas.ObjectInfo, error) {
	first := cas.ObjectRef{Digest: cas.Digest{byte(part >> 8), byte(part)}}
	dir := path.Dir(first.Key())
	// The open of a pipe in the place of the folder must not wait for a writer.
	f, err := s.root.OpenFile(dir, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	objects := make([]cas.ObjectInfo, 0, len(entries))
	for _, e := range entries {
		ref, err := cas.ParseKey(path.Join(dir, e.Name()))
		if err != nil {
			continue // not ours
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		objects = append(objects, cas.ObjectInfo{ObjectRef: ref, Size: info.Size(), ModifiedAt: info.ModTime()})
	}
	return objects, nil
}
