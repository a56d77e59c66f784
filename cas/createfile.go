package cas

import (
	"context"
	"errors"
	"fmt"
)

// NewFile describes a file to create, without its bytes.
type NewFile struct {
	File
	// Unique refuses the file if another file refers to the same bytes.
	Unique bool
}

// Check returns an *InvalidField for the first field that can't be stored. Create
// sets the id, the digest and the size itself.
func (n NewFile) Check() error { return n.checkDescription() }

// Create stores an upload and creates a file that refers to it. Create calls describe
// only after it has read the whole body, since a form may describe the file after its
// bytes. Create sets the id, the digest and the size, and the media type if describe
// gives none.
//
// New bytes and the file are committed together, in one round trip to the index. Stored
// is that of Store.PutVerified. Errors: those of Store.PutVerified and
// FileIndex.CreateFile; with ErrDuplicateFile, file is the other file. If the file is
// refused, the bytes stay.
func (f *Files) Create(ctx context.Context, u Upload, describe func() NewFile) (file File, stored bool, err error) {
	id := NewFileID()
	described := func(blob Blob) NewFile {
		n := describe()
		n.ID, n.Digest, n.Size = id, blob.Digest, blob.Size
		if n.MediaType == "" {
			n.MediaType = blob.MediaType
		}
		return n
	}
	var made *File
	u.commit = func(commit context.Context, b Blob) (Blob, bool, error) {
		if ctx.Err() != nil { // the client has left, and would not learn the id
			return f.store.index.Commit(commit, b)
		}
		n := described(b)
		row, created, other, err := f.CommitFile(commit, b, n.File, n.Unique)
		if other.ID != "" {
			made = &other
		}
		if row.Digest == b.Digest {
			f.store.committed(row)
		}
		return row, created, err
	}
	blob, stored, err := f.store.PutVerified(ctx, u)
	switch {
	case err != nil && made != nil:
		return *made, stored, err
	case err != nil:
		return File{}, stored, err
	case made != nil:
		return *made, stored, nil
	}
	n := described(blob)
	file, err = f.CreateFile(ctx, n.File, n.Unique)
	if errors.Is(err, ErrBlobNotFound) {
		return File{}, stored, fmt.Errorf("%w: %s was deleted right after it was stored; send it again", ErrUploadRaced, blob.Digest)
	}
	return file, stored, err
}
