package cas

import (
	"context"
	"time"
)

// Index knows which blobs exist. Implementations are safe for concurrent use by
// any number of goroutines (and processes, where their database is);
// index/indextest is their conformance kit. Each method is atomic and uses the
// database's clock.
//
// Errors of the database itself wrap ErrIndexUnavailable. After such an error a write
// may or may not have been applied. Every write may be repeated.
type Index interface {
	// Blob returns the blob as readers see it, or ErrBlobNotFound.
	Blob(ctx context.Context, d Digest) (Blob, error)

	// Touch prepares an upload. It returns the row in any state, or ErrBlobNotFound if
	// there is none, and marks a live row as just used. Only a live row makes the upload
	// unnecessary. A condemned row stays condemned, since the client has not yet shown
	// that it has the bytes.
	Touch(ctx context.Context, d Digest) (Blob, error)

	// Commit records that the object b.Object() is durable and complete, and makes the
	// row live. If there is no row, it inserts one with b's size, media type and name. If
	// there is one, it refreshes, rescues or repairs it: the name, the media type and the
	// creation time stay, a missing name is filled in, and a repair corrects the size.
	//
	// Commit changes nothing if b.Generation is too low: not above a generation whose
	// removal has begun, or below a suspect one. It then returns the row as it is, in
	// StateDeleting, StateGone or StateSuspect. The caller then writes NextObject and
	// commits that. Created reports whether this call made the blob readable, other than
	// by a rescue.
	Commit(ctx context.Context, b Blob) (row Blob, created bool, err error)

	// Condemn makes a visible blob invisible to readers. The collector removes its bytes
	// later. Errors: ErrBlobNotFound, and ErrBlobInUse if files refer to the blob and
	// o.Force is false.
	Condemn(ctx context.Context, d Digest, o CondemnOptions) error

	// Suspect marks a live row of exactly this generation suspect. It leaves any other
	// row as it is, and returns nil.
	Suspect(ctx context.Context, ref ObjectRef) error

	// Trust makes a suspect row of exactly this generation live again, after its object
	// was verified. It leaves any other row as it is, and returns nil.
	Trust(ctx context.Context, ref ObjectRef) error

	// SetMediaType changes the media type of a visible blob. It leaves a blob that no
	// longer has the media type from as it is, and returns nil.
	SetMediaType(ctx context.Context, d Digest, from, to string) error

	// FillName gives a visible blob a name, if it has none. It leaves any other blob as it
	// is, and returns nil.
	FillName(ctx context.Context, d Digest, name string) error

	// Missing returns the digests that an upload would have to bring: those without a
	// row, or with a row that is not live. It keeps order and duplicates.
	Missing(ctx context.Context, ds []Digest) ([]Digest, error)

	// List returns at most q.Limit visible blobs, the oldest first.
	List(ctx context.Context, q Query) ([]Blob, error)

	// Between returns at most limit visible blobs with digests from first to last, both
	// included, in the order of their digests.
	Between(ctx context.Context, first, last Digest, limit int) ([]Blob, error)

	// Skip returns the position of the nth visible blob after a cursor; zero if there are
	// fewer.
	Skip(ctx context.Context, after Cursor, n int) (Cursor, error)

	// Check returns an error if the index does not answer, and ErrIndexReadOnly if it takes
	// no writes. It is cheap enough for health
	// checks.
	Check(ctx context.Context) error
}

// CondemnOptions say which blobs may be condemned.
type CondemnOptions struct {
	Force bool // condemn the blob even if files refer to it
}

// Forgetter is implemented by an Index with a cache. Forget removes a blob from the
// cache, so that the next call of Blob asks the database.
type Forgetter interface {
	Forget(d Digest)
}

// CommitObserver is implemented by an Index with a cache. Committed is called after a
// commit that did not go through this Index, such as FileIndex.CommitFile's.
type CommitObserver interface {
	Committed(row Blob)
}

// Query selects a page of blobs. The zero value of each filter means no filter.
type Query struct {
	Limit     int // at least 1
	After     Cursor
	Through   Cursor // the last position; zero means to the end
	MediaType string // equal to, or, without parameters, with any
	MinSize   int64  // bytes, inclusive
	MaxSize   *int64 // bytes, inclusive; nil means no bound
}

// IsFiltered reports whether the query leaves out blobs.
func (q Query) IsFiltered() bool { return q.MediaType != "" || q.MinSize > 0 || q.MaxSize != nil }

// Cursor is a position in a listing: directly after the blob with this creation time
// and digest. Zero means the beginning.
type Cursor struct {
	CreatedAt time.Time
	Digest    Digest
}
