package cas

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// FileIndex keeps the rows of files. Index drivers implement it; index/indextest is
// their conformance kit. Each method is atomic, and all times go by the database's
// clock. A file that has expired is as if it were deleted, for every method but
// ExpireFiles.
//
// Errors that are nobody's fault but the database's wrap ErrIndexUnavailable; after
// one of those a write may or may not have been applied. Where a file is named that
// isn't there, errors wrap ErrFileNotFound.
type FileIndex interface {
	// CreateFile stores a new file. Its blob must be visible to readers, else the error
	// wraps ErrBlobNotFound; from then on, until the file is deleted, the blob can't be
	// condemned without force. With unique the error wraps ErrDuplicateFile where
	// another file refers to the same blob, and that file, the oldest, is returned.
	// f.CreatedAt is ignored; f.ExpiresAt must lie ahead, else the error is an
	// *InvalidField. Creating the same id again returns the file that is there.
	CreateFile(ctx context.Context, f File, unique bool) (File, error)

	// CommitFile is Index.Commit and CreateFile of a file of that blob in one. Where the
	// commit leaves no live row there is no file, which is then zero. Where the file is
	// refused, the error says why, and the blob is committed all the same.
	CommitFile(ctx context.Context, b Blob, f File, unique bool) (row Blob, created bool, file File, err error)

	// File returns the file.
	File(ctx context.Context, id string) (File, error)

	// ListFiles returns files in the order of creation, at most q.Limit of them.
	ListFiles(ctx context.Context, q FileQuery) ([]File, error)

	// DeleteFile removes the file and returns it as it was. Its blob stays.
	DeleteFile(ctx context.Context, id string) (File, error)

	// ReleaseFile removes the file, and condemns its blob where no other file refers to
	// it, both or neither. It returns the file as it was, and whether the blob was
	// condemned.
	ReleaseFile(ctx context.Context, id string) (f File, condemned bool, err error)

	// TouchFiles records when files were last read; times that are earlier than what is
	// known change nothing, and neither do files that aren't there.
	TouchFiles(ctx context.Context, read map[string]time.Time) error

	// ExpireFiles removes files that have expired, the longest expired first, at most
	// limit of them, and returns them.
	ExpireFiles(ctx context.Context, limit int) ([]File, error)

	// ImportFiles stores files that have an Origin and no digest. Those whose ids are
	// there already are left as they are. CreatedAt is kept. It returns the ids of
	// those it stored.
	ImportFiles(ctx context.Context, files []File) (stored []string, err error)

	// ResolveFile gives a pending file its blob, which must be visible to readers
	// (ErrBlobNotFound), with its size, and its media type where the file has none. A
	// file that has a blob already is left as it is. It returns the file as it then is.
	ResolveFile(ctx context.Context, id string, blob Blob) (File, error)

	// CommitResolved is Index.Commit and ResolveFile with that blob in one. Where the
	// blob is committed and the file can't be resolved, row is set and the error is that
	// of ResolveFile. Where the row isn't live, or of another size, the file is left as
	// it is, and returned empty.
	CommitResolved(ctx context.Context, b Blob, id string) (row Blob, created bool, file File, err error)

	// FailFile notes why a pending file's bytes could not be taken in. Any other file
	// is left alone.
	FailFile(ctx context.Context, id, reason string) error
}

// FileQuery selects a page of files. The zero value of each filter means no
// filter.
type FileQuery struct {
	Limit      int // at least 1
	After      FileCursor
	Descending bool // newest first
	Purpose    string
	Context    string
	Tag        string
	NamePrefix string
	Digest     Digest
	// Metadata is a JSON object that a file's metadata must contain, as Postgres's
	// operator @> has it.
	Metadata json.RawMessage
	// Pending selects files whose bytes have not been taken in.
	Pending bool
}

// Check returns an error for a query that can't be answered.
func (q FileQuery) Check() error {
	if q.Limit < 1 {
		return fmt.Errorf("a limit of %d; it must be at least 1", q.Limit)
	}
	if err := CheckText("id", q.After.ID); err != nil {
		return &InvalidField{"after", "has an " + err.Error()}
	}
	if len(q.Metadata) > 0 {
		return CheckMetadata(q.Metadata)
	}
	return nil
}

// CanMatch reports whether any file can match the query: none can if a filter has a
// text that can't be stored.
func (q FileQuery) CanMatch() bool {
	for _, text := range []string{q.Purpose, q.Context, q.Tag, q.NamePrefix} {
		if CheckText("filter", text) != nil {
			return false
		}
	}
	return true
}

// FileCursor is a place in a listing: just behind the file with this creation time
// and id. Zero means the beginning.
type FileCursor struct {
	CreatedAt time.Time
	ID        string
}

// Cursor returns the place just behind the file.
func (f File) Cursor() FileCursor { return FileCursor{f.CreatedAt, f.ID} }
