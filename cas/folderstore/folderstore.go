// Package folderstore keeps objects in a local folder: one read-only file on disk per
// object, named by its key.
//
// A write has these steps. A crash between two steps leaves the object complete or
// absent:
//
//	create  tmp/<random>         in the same file system
//	write   the bytes, verified on the way
//	fsync   the file on disk
//	rename  to sha256/ab/cd/<hex>
//	fsync   the folder sha256/ab/cd, and the parent of each new folder
//
// BUG(folderstore): if the file system reorders a rename before the data in spite of
// fsync, or the disk reports a flush that it did not do, a crash can leave a damaged
// object. Reads verify, so the damage is found, and a damaged object is never served
// whole.
package folderstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"casgate/cas"
)

const (
	tmpDir     = "tmp"
	objectMode = 0o444
	dirMode    = 0o755
	copyBuffer = 256 << 10
)

// Store is an object store in a folder. Any number of processes may share a folder.
type Store struct {
	root    *os.Root
	beneath *beneath // the same folder
	buffers sync.Pool
}

var _ cas.ObjectStore = (*Store)(nil)

// Open opens the store in dir. It creates dir if it does not exist.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the object folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the object folder: %w", err)
	}
	if err := root.MkdirAll(tmpDir, dirMode); err != nil {
		root.Close()
		return nil, fmt.Errorf("create the folder for unfinished objects: %w", err)
	}
	b, err := newBeneath(root)
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("open the object folder: %w", err)
	}
	return &Store{
		root:    root,
		beneath: b,
		buffers: sync.Pool{New: func() any { return new([copyBuffer]byte) }},
	}, nil
}

// Close closes the folder. Open objects stay readable.
func (s *Store) Close() error { return errors.Join(s.beneath.close(), s.root.Close()) }

// Clean removes unfinished objects that killed writers left and that are older than age.
// Only a process that uses the folder alone may pass an age of 0. What can't be removed is
// left, and the error says so.
func (s *Store) Clean(age time.Duration) error {
	entries, err := fs.ReadDir(s.root.FS(), tmpDir)
	if err != nil {
		return fmt.Errorf("list unfinished objects: %w", err)
	}
	before := time.Now().Add(-age)
	var failed error
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.ModTime().After(before) {
			continue
		}
		if err := s.root.Remove(path.Join(tmpDir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, fmt.Errorf("remove an unfinished object: %w", err))
		}
	}
	return failed
}

// Put implements cas.ObjectStore.
func (s *Store) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) (err error) {
	draft, err := s.NewDraft()
	if err != nil {
		return storeError("create", ref, err)
	}
	defer draft.Discard()

	buffer := s.buffers.Get().(*[copyBuffer]byte)
	defer s.buffers.Put(buffer)
	if err := writePieces(draft.File, contextReader{ctx, body}, buffer[:]); err != nil {
		if body.Err() != nil {
			return body.Err()
		}
		return storeError("write", ref, err)
	}
	if err := draft.Flush(); err != nil {
		return storeError("fsync", ref, err)
	}
	if err := draft.File.Close(); err != nil {
		return storeError("close", ref, err)
	}
	if err := draft.Publish(ref, Durable); err != nil {
		return storeError("publish", ref, err)
	}
	return nil
}

// writePieces copies to a file on disk by pieces as large as the buffer. A client's body comes in
// smaller ones. What they are written by decides by how much the file system keeps the bytes
// in memory, and so how long reads take.
func writePieces(file *os.File, body io.Reader, buffer []byte) error {
	for {
		n, err := io.ReadFull(body, buffer)
		isLast := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !isLast {
			return err
		}
		if _, err := file.Write(buffer[:n]); err != nil {
			return err
		}
		if isLast {
			return nil
		}
	}
}

// replace renames a file on disk. A directory in place of an object is damage, and goes.
func (s *Store) replace(from, to string) error {
	err := s.root.Rename(from, to)
	if info, statErr := s.root.Lstat(to); err == nil || statErr != nil || !info.IsDir() {
		return err
	}
	if err := s.root.RemoveAll(to); err != nil {
		return err
	}
	return s.root.Rename(from, to)
}

// makeDirs creates dir and its parents. If they must be durable, it makes each new folder
// durable in its parent: if two writers create a folder at the same time, both sync it,
// since neither knows whether the other has done so.
func (s *Store) makeDirs(dir string, d Durability) error {
	if _, err := s.root.Stat(dir); err == nil {
		return nil
	}
	parent := path.Dir(dir)
	if parent != "." {
		if err := s.makeDirs(parent, d); err != nil {
			return err
		}
	}
	if err := s.root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if d == Passing {
		return nil
	}
	return s.syncDir(parent)
}

func (s *Store) syncDir(dir string) error {
	d, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Open implements cas.ObjectStore. The body is an *os.File if it reaches to the end of
// the object.
func (s *Store) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	if err := ctx.Err(); err != nil {
		return cas.Object{}, err
	}
	f, err := s.beneath.open(ref.Key())
	if err == errNotBeneath {
		// The open of a pipe in the place of an object must not wait for a writer.
		f, err = s.root.OpenFile(ref.Key(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return cas.Object{}, fmt.Errorf("%w: %s", cas.ErrObjectMissing, ref.Key())
	}
	if err != nil {
		return cas.Object{}, s.openError(ctx, ref, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return cas.Object{}, s.openError(ctx, ref, err)
	}
	size := info.Size()
	if offset < 0 || offset > size || offset == size && size > 0 {
		f.Close()
		return cas.Object{}, fmt.Errorf("%w: offset %d of %s, which has %d bytes", cas.ErrRangeNotSatisfiable, offset, ref.Key(), size)
	}
	if offset > 0 {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
			return cas.Object{}, storeError("seek", ref, err)
		}
	}
	object := cas.Object{Body: f, Size: size, Version: version(info)}
	if length >= 0 && offset+length < size {
		object.Body = section{io.LimitReader(f, length), f}
	}
	return object, nil
}

// Stat implements cas.ObjectStore. A folder keeps no digests.
func (s *Store) Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error) {
	if err := ctx.Err(); err != nil {
		return cas.ObjectStat{}, err
	}
	info, err := s.root.Lstat(ref.Key())
	if errors.Is(err, fs.ErrNotExist) {
		return cas.ObjectStat{}, fmt.Errorf("%w: %s", cas.ErrObjectMissing, ref.Key())
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		return cas.ObjectStat{}, s.openError(ctx, ref, err)
	}
	return cas.ObjectStat{Size: info.Size()}, nil
}

// errNotBeneath says that beneath could not open a file on disk, and os.Root may.
var errNotBeneath = errors.New("could not open the file on disk with one call")

var errNotRegular = errors.New("it is not a regular file")

// openError wraps the error of an open. If the folder works otherwise, the object itself
// is damaged: a bad sector, a directory or a link in its place, lost permissions.
func (s *Store) openError(ctx context.Context, ref cas.ObjectRef, err error) error {
	if isExhausted := errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM); !isExhausted && s.Check(ctx) == nil {
		return fmt.Errorf("%w: open %s: %w", cas.ErrObjectCorrupt, ref.Key(), err)
	}
	return storeError("open", ref, err)
}

// section is a part of a file on disk that ends before the file does.
type section struct {
	io.Reader
	io.Closer
}

// List returns all objects, in the order of their keys. Other files on disk are left out. An
// object that is written or removed meanwhile may be left out, too.
func (s *Store) List(ctx context.Context) iter.Seq2[cas.ObjectInfo, error] {
	return func(yield func(cas.ObjectInfo, error) bool) {
		err := fs.WalkDir(s.root.FS(), "sha256", func(key string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return fmt.Errorf("%w: list %s: %w", cas.ErrStoreUnavailable, key, err)
			case d.IsDir():
				return nil
			}
			ref, err := cas.ParseKey(key)
			if err != nil {
				return nil // not ours
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return storeError("list", ref, err)
			}
			if !yield(cas.ObjectInfo{ObjectRef: ref, Size: info.Size(), ModifiedAt: info.ModTime()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(cas.ObjectInfo{}, err)
		}
	}
}

// Check implements cas.ObjectStore: an object can be created, and moved to where objects lie.
func (s *Store) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, f, err := s.createUnfinished(os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%w: the object folder is not writable: %w", kindOf(err), err)
	}
	f.Close()
	placed := path.Join(objectsDir, path.Base(name))
	err = s.root.Rename(name, placed)
	if errors.Is(err, fs.ErrNotExist) { // there is no object yet: the folder for them must be made
		placed = path.Base(name)
		err = s.root.Rename(name, placed)
	}
	if err != nil {
		_ = s.root.Remove(name) // or Clean does
		return fmt.Errorf("%w: the folder %q for the objects is not writable: %w", kindOf(err), path.Join(s.root.Name(), objectsDir), err)
	}
	if err := s.root.Remove(placed); err != nil {
		return fmt.Errorf("%w: %w", cas.ErrStoreUnavailable, err)
	}
	return nil
}

func storeError(op string, ref cas.ObjectRef, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s %s: %w", op, ref.Key(), err)
	}
	return fmt.Errorf("%w: %s %s: %w", kindOf(err), op, ref.Key(), err)
}

// kindOf returns the error of cas.ObjectStore that an error of the file system is.
func kindOf(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return cas.ErrNoSpace
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission): // until an operator changes that
		return cas.ErrStoreRefused
	}
	return cas.ErrStoreUnavailable
}

func randomName() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// contextReader ends a copy soon after its context is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
