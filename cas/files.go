package cas

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"
)

// Files manages the files whose blobs are in a Store. It is safe for concurrent use.
type Files struct {
	FileIndex
	store   *Store
	sources map[string]Source
	log     zerolog.Logger
	flights singleflight.Group
	keys    keyLocks

	mu      sync.Mutex
	read    map[string]time.Time // when files were last read, by id; not written yet
	adopt   func(context.Context, File) error
	tookIn  func(File, time.Time, error)
	expired func(File)

	condemned func(context.Context, File)
}

// FilesOptions configures Files.
type FilesOptions struct {
	Store *Store
	Index FileIndex
	// Sources hold the bytes of imported files.
	Sources []Source
	// Adopt is called with each imported file after its bytes are taken in. It enters the
	// copy that the old manager recorded into the ledger. Optional.
	Adopt func(context.Context, File) error
	// TookIn is called after each attempt to take in an imported file's bytes, with the
	// time when it began and its error. Optional.
	TookIn func(f File, began time.Time, err error)
	// Expired is called with each file that Run removes. Optional.
	Expired func(File)
	// Condemned is called with each file whose blob Run condemns with the file. It deletes
	// what belongs to the blob. The collector does so later, too. Optional.
	Condemned func(context.Context, File)
	Log       zerolog.Logger
}

// NewFiles returns Files with the given parts.
func NewFiles(o FilesOptions) *Files {
	f := &Files{
		FileIndex: o.Index, store: o.Store, log: o.Log, adopt: o.Adopt, tookIn: o.TookIn, expired: o.Expired, condemned: o.Condemned,
		sources: make(map[string]Source), read: make(map[string]time.Time),
	}
	for _, s := range o.Sources {
		f.sources[s.Name()] = s
	}
	if f.tookIn == nil {
		f.tookIn = func(File, time.Time, error) {}
	}
	if f.condemned == nil {
		f.condemned = func(context.Context, File) {}
	}
	if f.expired == nil {
		f.expired = func(File) {}
	}
	return f
}

// Bytes returns the file and its blob. If the file is pending, Bytes takes its bytes in
// first. Errors: ErrFileNotFound, and those of TakeIn and Store.Blob.
func (f *Files) Bytes(ctx context.Context, id string) (File, Blob, error) {
	file, err := f.File(ctx, id)
	if err != nil {
		return File{}, Blob{}, err
	}
	return f.bytesOf(ctx, file)
}

// KnownBytes is Bytes for requests that are made often with the same file: an index with a
// cache answers from memory. Then the file may lack what does not concern its bytes, such
// as the time of its last read.
func (f *Files) KnownBytes(ctx context.Context, id string) (File, Blob, error) {
	find := f.File
	if cached, ok := f.FileIndex.(FileCache); ok {
		find = cached.KnownFile
	}
	file, err := find(ctx, id)
	if err != nil {
		return File{}, Blob{}, err
	}
	return f.bytesOf(ctx, file)
}

// bytesOf returns a file with its blob, and records the read.
func (f *Files) bytesOf(ctx context.Context, file File) (File, Blob, error) {
	id := file.ID
	if file.IsPending() {
		var err error
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

// DeleteFile is described at FileIndex. An ErrIndexUnavailable has an ErrDeleteUnconfirmed.
func (f *Files) DeleteFile(ctx context.Context, id string) (File, error) {
	deleted, err := f.FileIndex.DeleteFile(ctx, id)
	return deleted, unconfirmedDelete(err)
}

// ReleaseFile is described at FileIndex. When it returns, the index cache has
// forgotten the blob. The error of an index that may have made the change is an
// ErrDeleteUnconfirmed.
func (f *Files) ReleaseFile(ctx context.Context, id string) (released File, condemned bool, err error) {
	// The index may fail although it made the change. Only this call then tells which
	// blob to forget.
	before, err := f.File(ctx, id)
	if err != nil {
		return File{}, false, err
	}
	f.store.forget(before.Digest)
	defer f.store.forget(before.Digest)
	released, condemned, err = f.FileIndex.ReleaseFile(ctx, id)
	if released.Digest != before.Digest { // the bytes were taken in meanwhile
		f.store.forget(released.Digest)
	}
	return released, condemned, unconfirmedDelete(err)
}
