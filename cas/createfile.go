package cas

import (
	"context"
	"errors"
	"fmt"
)

// NewFile says what a file is to be, but for its bytes.
type NewFile struct {
	File
	// Unique refuses bytes that another file refers to.
	Unique bool
}

// Check returns an *InvalidField for the first field that can't be stored. Create
// sets the id, the digest and the size itself.
func (n NewFile) Check() error { return n.checkDescription() }

// Create stores an upload and makes a file of it. What the file is to be is asked
// once the body has been read to its end, since a form may say so behind the bytes;
// its id, digest and size are set here, and its media type where it has none.
//
// The row of new bytes and that of the file are committed together: they take as
// long as one of them. Stored is that of Store.Put. Errors: those of Store.Put and of
// FileIndex.CreateFile, with the other file beside ErrDuplicateFile. The bytes stay
// where the file was refused.
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
		if ctx.Err() != nil { // nobody would hear of the file
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
		return File{}, stored, fmt.Errorf("%w: %s was deleted just after it was stored; send it again", ErrUploadRaced, blob.Digest)
	}
	return file, stored, err
}
