package cas

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// FileIndex keeps the rows of files. Index drivers implement it; index/indextest is
// their conformance kit. Each method is atomic and uses the database's clock. Every
// method but ExpireFiles treats an expired file as deleted.
//
// Errors of the database itself wrap ErrIndexUnavailable. After such an error a write
// may or may not have been applied. For a file that does not exist, errors wrap
// ErrFileNotFound.
type FileIndex interface {
	// CreateFile stores a new file. Its blob must be visible to readers, else the error
	// wraps ErrBlobNotFound. Until the file is deleted, the blob can be condemned only
	// with Force. If n.Unique is set and other files refer to the same blob, CreateFile
	// returns the oldest of them and an error that wraps ErrDuplicateFile. n.CreatedAt is
	// ignored. n.ExpiresAt must be in the future, else the error is an *InvalidField. If
	// the id exists, CreateFile returns the existing file.
	//
	// If n.Key is set, CreateFile records the key with the file. If the key was recorded in
	// the last IdempotencyKeyLife, CreateFile creates nothing: it returns the file of the
	// same request for the same blob, or ErrFileNotFound if that file is gone. For any other
	// request or blob the error wraps ErrKeyReused.
	CreateFile(ctx context.Context, n NewFile) (File, error)

	// CommitFile is Index.Commit, and CreateFile of a file of that blob, in one step. If
	// the commit leaves no live row, no file is created, and the result's File is zero.
	// If the file is refused, the blob is committed nevertheless, and the error is
	// CreateFile's.
	CommitFile(ctx context.Context, b Blob, n NewFile) (FileCommit, error)

	// KeepUpload records the idempotency key and the result of an upload that created no
	// file. If the key was recorded in the last IdempotencyKeyLife, KeepUpload changes
	// nothing: it returns whether the first upload brought the bytes, if that was the same
	// request for the same blob. Otherwise the error wraps ErrKeyReused.
	KeepUpload(ctx context.Context, key IdempotencyKey, u KeptUpload) (first bool, err error)

	// KeyUse returns the upload that used an idempotency key in the last IdempotencyKeyLife;
	// nil: none did.
	KeyUse(ctx context.Context, id [sha256.Size]byte) (*KeyUse, error)

	// File returns the file.
	File(ctx context.Context, id string) (File, error)

	// FilePosition returns the place of a file in listings. It knows files that were deleted
	// or have expired in the last day, too.
	FilePosition(ctx context.Context, id string) (FileCursor, error)

	// ListFiles returns files in the order of creation, at most q.Limit of them.
	ListFiles(ctx context.Context, q FileQuery) ([]File, error)

	// DeleteFile removes the file and returns it as it was. Its blob stays.
	DeleteFile(ctx context.Context, id string) (File, error)

	// ReleaseFile removes the file and condemns its blob if no other file refers to it:
	// both or neither. It returns the file as it was, and whether it condemned the blob.
	ReleaseFile(ctx context.Context, id string) (f File, condemned bool, err error)

	// TouchFiles records when files were last read. It ignores a time that is earlier
	// than the recorded one, and files that do not exist.
	TouchFiles(ctx context.Context, read map[string]time.Time) error

	// ProlongFiles moves the expiry of files to a later time. It ignores a time that is
	// earlier than the recorded one, files that don't expire, and files that do not exist.
	ProlongFiles(ctx context.Context, until map[string]time.Time) error

	// ExpireFiles removes at most limit expired files, the longest expired first, and
	// returns them. If a file has OnExpiryEverywhere and no other file refers to its blob,
	// the blob is condemned in the same step. ExpireFiles also removes what is remembered for
	// a day only: the places of deleted files, and idempotency keys.
	ExpireFiles(ctx context.Context, limit int) ([]ExpiredFile, error)

	// ImportFiles stores files that have an Origin and no digest, all or none. It keeps
	// CreatedAt, and returns the ids that it stored. It leaves existing ids as they are, and those
	// of files with an Origin that DeleteFile removed before they expired: an import that is
	// repeated does not undo a delete.
	ImportFiles(ctx context.Context, files []File, o ImportFilesOptions) (stored []string, err error)

	// KnownImports returns those of the ids that ImportFiles would leave as they are.
	KnownImports(ctx context.Context, ids []string, o ImportFilesOptions) ([]string, error)

	// ResolveFile gives a pending file its blob, the blob's size, and the blob's media
	// type if the file has none. The blob must be visible to readers, else the error
	// wraps ErrBlobNotFound. A file that has a blob stays as it is. ResolveFile returns
	// the resulting file.
	ResolveFile(ctx context.Context, id string, blob Blob) (File, error)

	// CommitResolved is Index.Commit, and ResolveFile with that blob, in one step. If the
	// blob is committed but the file can't be resolved, the result's Row is set and the
	// error is ResolveFile's. If the row is not live, or has another size, the file stays
	// as it is, and the result's File is zero.
	CommitResolved(ctx context.Context, b Blob, id string) (FileCommit, error)

	// FailFile records why a pending file's bytes could not be taken in. It changes no
	// other file.
	FailFile(ctx context.Context, id, reason string) error
}

// FileCache is implemented by a FileIndex with a cache. KnownFile is File from memory if
// possible; AccessedAt may be out of date.
type FileCache interface {
	KnownFile(ctx context.Context, id string) (File, error)
}

// ExpiredFile is a file that ExpireFiles has removed.
type ExpiredFile struct {
	File
	Condemned bool // its blob was condemned with it
}

// FileCommit is the result of a commit of a blob together with a file.
type FileCommit struct {
	Row     Blob // as Index.Commit returns it
	Created bool // as Index.Commit returns it
	File    File
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
	// Metadata is a JSON object that a file's metadata must contain, in the sense of
	// Postgres's operator @>.
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

// FileCursor is a position in a listing: directly after the file with this creation
// time and id. Zero means the beginning.
type FileCursor struct {
	CreatedAt time.Time
	ID        string
}

// Cursor returns the position directly after the file.
func (f File) Cursor() FileCursor { return FileCursor{f.CreatedAt, f.ID} }

// ImportFilesOptions are the options of ImportFiles.
type ImportFilesOptions struct {
	// WithDeleted stores also files that were deleted.
	WithDeleted bool
}
