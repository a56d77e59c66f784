package cas

import (
	"context"
	"fmt"
	"io"
	"time"
)

// ObjectStore holds the bytes. Implementations are safe for concurrent use, by
// any number of goroutines and processes; castest is their conformance kit.
//
// Errors of the store itself wrap ErrStoreUnavailable (ErrStoreRefused if they last), ErrNoSpace if the disk or bucket
// is full, and ErrObjectMissing if there is no such object. If the store works, but can't
// read one object, the error wraps ErrObjectCorrupt. The errors of an *os.File are those
// of package os. When the context is done, every call returns soon, with an error.
type ObjectStore interface {
	// Put writes the object ref from body and replaces an existing one. If it returns
	// nil, the object is durable and complete. If body fails (its source broke off, or
	// its bytes have another digest), Put returns that error, and nothing becomes visible
	// under ref. After any other error the object may or may not exist, but it is never
	// partial. A store may try again if body.Rewind succeeds.
	Put(ctx context.Context, ref ObjectRef, body *VerifyingReader) error

	// Open starts a read of length bytes at offset. A length below 0 means to the end.
	// Callers never ask for length 0, since S3 has no empty range. Open takes one round
	// trip and returns the size of the whole object. Errors: ErrObjectMissing, and
	// ErrRangeNotSatisfiable for an offset beyond the end, or at the end of a non-empty
	// object. A length beyond the end is shortened. The caller closes the body.
	Open(ctx context.Context, ref ObjectRef, offset, length int64) (Object, error)

	// Stat looks at the object without reading it. Errors: ErrObjectMissing, and
	// ErrObjectCorrupt if the store knows that it can't read the object.
	Stat(ctx context.Context, ref ObjectRef) (ObjectStat, error)

	// Delete removes the object. It returns nil if there is no such object. It gives up
	// after a short time, since a store may block a delete behind a slow read, and a
	// delete can be repeated.
	Delete(ctx context.Context, ref ObjectRef) error

	// Check returns an error if the store does not answer. It is cheap enough for health
	// checks.
	Check(ctx context.Context) error
}

// ObjectInfo describes an object in a listing.
type ObjectInfo struct {
	ObjectRef
	Size       int64     // bytes
	ModifiedAt time.Time // when it was written, by the store's clock
}

// ObjectStat is what a store knows about an object without reading it.
type ObjectStat struct {
	Size   int64  // bytes
	Digest Digest // of the bytes when they were written; zero if the store keeps none
}

// Object is an open object, or a range of it.
type Object struct {
	// Body yields the requested bytes. If it is an *os.File, it is positioned at the
	// first byte of the range, and the kernel can send it without copying.
	Body io.ReadCloser
	// Size is the size of the whole object in bytes.
	Size int64
	// Version names this version of the object: a write of other bytes gives it another
	// one. Empty means that the store has no versions.
	Version string
	// Copy is set if the bytes come from, or through, a copy that the store keeps in another
	// place, such as a local tier. Wrong bytes then are no proof that the object is damaged.
	Copy Copy
}

// Copy is a copy of an object that a store keeps in another place, while a reader reads it.
type Copy interface {
	// IsFresh reports whether the object itself is read at the same time, to make the copy.
	// The copy's bytes say something about the object only then.
	IsFresh() bool
	// Verified says that the reader read the whole object from it and found it right.
	Verified()
	// Damaged says that the reader found it wrong. The store drops it, and reads the object
	// itself the next time.
	Damaged()
}

// ErrCopyDamaged says that a read met a damaged copy of an object, which was dropped.
// Another read finds the right bytes, or that the object itself is damaged.
var ErrCopyDamaged = fmt.Errorf("%w: a local copy of the object was damaged and is dropped; read again", ErrStoreUnavailable)
