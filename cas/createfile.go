package cas

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// NewFile describes a file to create, without its bytes.
type NewFile struct {
	File
	// Unique refuses the file if another file refers to the same bytes.
	Unique bool
	// Key is the idempotency key of the upload; nil: none.
	Key *IdempotencyKey
}

// Check returns an *InvalidField for the first field that can't be stored. It does not
// check the id, the digest and the size, which Create sets; File.Check does.
func (n NewFile) Check() error { return n.checkDescription() }

// Create stores an upload and creates a file that refers to it. Create calls describe
// only after it has read the whole body, since a form may describe the file after its
// bytes. Create sets the id, the digest and the size, and the media type if describe
// gives none: that of the bytes under u's name. U's name and media type are the file's
// and don't become the blob's.
//
// New bytes and the file are committed together, in one round trip to the index. Stored
// is that of Store.PutVerified. Errors: those of Store.PutVerified and
// FileIndex.CreateFile; with ErrDuplicateFile, file is the other file. If the file is
// refused, the bytes stay.
func (f *Files) Create(ctx context.Context, u Upload, describe func() NewFile) (file File, stored bool, err error) {
	id := NewFileID()
	var ofBytes *string // the media type that the bytes have under the file's name
	described := func(blob Blob) NewFile {
		n := describe()
		n.ID, n.Digest, n.Size = id, blob.Digest, blob.Size
		if n.MediaType == "" {
			n.MediaType = cmp.Or(*ofBytes, blob.MediaType)
		}
		return n
	}
	var made *File
	u = u.forFile(func(commit context.Context, b Blob) (Blob, bool, error) {
		if ctx.Err() != nil && describe().Key == nil { // the client has left, and would not learn the id
			return f.store.index.Commit(commit, b)
		}
		done, err := f.CommitFile(commit, b, described(b))
		if done.File.ID != "" {
			made = &done.File
		}
		if done.Row.Digest == b.Digest {
			f.store.committed(done.Row)
		}
		return done.Row, done.Created, err
	})
	ofBytes = u.file.mediaType
	blob, stored, err := f.store.PutVerified(ctx, u)
	switch {
	case err != nil && made != nil:
		return *made, stored, err
	case err != nil:
		return File{}, stored, err
	case made != nil:
		return *made, stored, nil
	}
	file, err = f.CreateFile(ctx, described(blob))
	if errors.Is(err, ErrBlobNotFound) {
		return File{}, stored, fmt.Errorf("%w: %s was deleted right after it was stored; send it again", ErrUploadRaced, blob.Digest)
	}
	return file, stored, err
}

// CreateFromBlob creates a file that refers to a blob that is there, without its bytes.
// It sets what Create sets, and describes the file as Create would, had the bytes been
// sent. Errors: ErrBlobNotFound if the blob's bytes are missing or damaged, so that they
// must be sent; those of FileIndex.CreateFile, ErrIndexUnavailable, ErrStoreUnavailable.
// With ErrDuplicateFile, the result is the other file.
func (f *Files) CreateFromBlob(ctx context.Context, d Digest, n NewFile) (File, error) {
	blob, err := f.store.touch(ctx, d)
	if err != nil {
		return File{}, err
	}
	if blob.State != StateLive {
		return File{}, fmt.Errorf("%w: %s", ErrBlobNotFound, d)
	}
	if n.MediaType == "" {
		if n.MediaType, err = f.store.storedType(ctx, blob, n.Name); err != nil {
			return File{}, err
		}
	}
	n.ID, n.Digest, n.Size = NewFileID(), blob.Digest, blob.Size
	return f.CreateFile(ctx, n)
}

// storedType returns the media type that the bytes of a blob have under a name.
func (s *Store) storedType(ctx context.Context, blob Blob, name string) (string, error) {
	seen, err := s.sniffStored(ctx, blob)
	switch {
	case errors.Is(err, ErrObjectMissing), errors.Is(err, ErrObjectCorrupt):
		return "", fmt.Errorf("%w: %s", ErrBlobNotFound, blob.Digest) // the bytes are needed
	case err != nil:
		return "", err
	}
	return cmp.Or(seen.mediaType("", name), blob.MediaType), nil
}
