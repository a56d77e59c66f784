package cas

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"
)

// Files are named references to the blobs of a Store. It is safe for concurrent
// use.
type Files struct {
	FileIndex
	store   *Store
	sources map[string]Source
	log     zerolog.Logger
	flights singleflight.Group

	mu   sync.Mutex
	read map[string]time.Time // by id, not written yet
	// adopt is told of a file whose bytes were just taken in.
	adopt   func(context.Context, File) error
	tookIn  func(File, time.Time, error)
	expired func(File)
}

// FilesOptions configures Files.
type FilesOptions struct {
	Store *Store
	Index FileIndex
	// Sources are where the bytes of imported files may lie.
	Sources []Source
	// Adopt is told of each imported file once its bytes have been taken in, so that
	// the copy the old manager has noted can be entered into the ledger. Nil: nobody is.
	Adopt func(context.Context, File) error
	// TookIn is told of each imported file whose turn came, when that was, and why its
	// bytes could not be taken in, where that is so. Nil: nobody is.
	TookIn func(f File, began time.Time, err error)
	// Expired is told of each file that Run has removed. Nil: nobody is.
	Expired func(File)
	Log     zerolog.Logger
}

// NewFiles puts Files together.
func NewFiles(o FilesOptions) *Files {
	f := &Files{
		FileIndex: o.Index, store: o.Store, log: o.Log, adopt: o.Adopt, tookIn: o.TookIn, expired: o.Expired,
		sources: make(map[string]Source), read: make(map[string]time.Time),
	}
	for _, s := range o.Sources {
		f.sources[s.Name()] = s
	}
	if f.tookIn == nil {
		f.tookIn = func(File, time.Time, error) {}
	}
	if f.expired == nil {
		f.expired = func(File) {}
	}
	return f
}

// Bytes returns the file and its blob, taking the bytes of an imported file in
// where that hasn't been done yet. Errors: ErrFileNotFound, those of TakeIn and of
// Store.Blob.
func (f *Files) Bytes(ctx context.Context, id string) (File, Blob, error) {
	file, err := f.File(ctx, id)
	if err != nil {
		return File{}, Blob{}, err
	}
	if file.IsPending() {
		if file, _, err = f.TakeIn(ctx, file); err != nil {
			return File{}, Blob{}, err
		}
	}
	blob, err := f.store.Blob(ctx, file.Digest)
	if err != nil {
		return File{}, Blob{}, fmt.Errorf("file %s: %w", id, err)
	}
	f.mu.Lock()
	f.read[id] = time.Now()
	f.mu.Unlock()
	return file, blob, nil
}

// ReleaseFile is described at FileIndex. When it returns, a blob that it has
// condemned is forgotten here.
func (f *Files) ReleaseFile(ctx context.Context, id string) (released File, condemned bool, err error) {
	// The change may have been made although the index failed, and then only this tells
	// which blob to forget.
	before, err := f.File(ctx, id)
	if err != nil {
		return File{}, false, err
	}
	f.store.forget(before.Digest)
	defer f.store.forget(before.Digest)
	released, condemned, err = f.FileIndex.ReleaseFile(ctx, id)
	if released.Digest != before.Digest { // its bytes were taken in just now
		f.store.forget(released.Digest)
	}
	return released, condemned, err
}
