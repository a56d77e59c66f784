package cas

import (
	"context"
	"time"
)

// Index knows which blobs exist. Implementations are safe for concurrent use by
// any number of goroutines (and processes, where their database is);
// index/indextest is their conformance kit. Each method is atomic. Times are
// those of the database's clock.
//
// Errors that are nobody's fault but the database's wrap ErrIndexUnavailable;
// after one of those a write may or may not have been applied, and every write
// may be repeated.
type Index interface {
	// Blob returns the blob as readers see it, or ErrBlobNotFound.
	Blob(ctx context.Context, d Digest) (Blob, error)

	// Touch prepares an upload: it returns the row in whatever state it is, or
	// ErrBlobNotFound where there is none, and marks a live row as just used. Only
	// where the state is live is there nothing to upload. A condemned row stays so:
	// nobody has shown yet that they have its bytes.
	Touch(ctx context.Context, d Digest) (Blob, error)

	// Commit records that the object b.Object() is durable and whole. It makes the
	// row live: inserted where there was none (with b's size, media type and name),
	// refreshed, rescued or repaired where there was one (whose name and creation
	// stay, a missing name being filled in; a repair also corrects the size). It changes nothing, and returns the row
	// as it is in StateDeleting, StateGone or StateSuspect, where b.Generation is not
	// good enough: not above one that is or was being removed, or below a suspect
	// one; the caller then writes NextObject and commits that. Created reports
	// whether this call made a blob readable that wasn't, other than by a rescue.
	Commit(ctx context.Context, b Blob) (row Blob, created bool, err error)

	// Condemn makes a visible blob invisible to readers and leaves its bytes to the
	// collector, or returns ErrBlobNotFound. Where files refer to it and force is
	// false it returns ErrBlobInUse.
	Condemn(ctx context.Context, d Digest, force bool) error

	// Suspect marks a live row of exactly this generation suspect; any other row is
	// left alone, without an error.
	Suspect(ctx context.Context, ref ObjectRef) error

	// Missing returns those of the digests that an upload would have to bring: no
	// row, or one that isn't live. Order and duplicates are those of the argument.
	Missing(ctx context.Context, ds []Digest) ([]Digest, error)

	// List returns visible blobs by creation, oldest first, at most q.Limit of them.
	List(ctx context.Context, q Query) ([]Blob, error)

	// Check tells whether the index answers, at little cost, for health checks.
	Check(ctx context.Context) error
}

// Forgetter is an optional ability of an Index: one that remembers answers drops
// what it remembers of a blob, so that the next Blob call asks the database.
type Forgetter interface {
	Forget(d Digest)
}

// CommitObserver is an optional ability of an Index: one that remembers answers is told of a
// commit that went past it, by FileIndex.CommitFile.
type CommitObserver interface {
	Committed(row Blob)
}

// Query selects a page of blobs. The zero value of each filter means no filter.
type Query struct {
	Limit     int // at least 1
	After     Cursor
	MediaType string // equal to
	MinSize   int64  // bytes, inclusive
	MaxSize   *int64 // bytes, inclusive; nil means no bound
}

// Cursor is a place in a listing: just behind the blob with this creation time
// and digest. Zero means the beginning.
type Cursor struct {
	CreatedAt time.Time
	Digest    Digest
}
