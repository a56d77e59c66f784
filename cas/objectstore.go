package cas

import (
	"context"
	"io"
)

// ObjectStore holds the bytes. Implementations are safe for concurrent use, by
// any number of goroutines and processes; castest is their conformance kit.
//
// Errors that are nobody's fault but the store's wrap ErrStoreUnavailable, a
// full disk or bucket ErrNoSpace, a missing object ErrObjectMissing. A done
// context ends every call soon, with an error.
type ObjectStore interface {
	// Put writes the object ref from body, replacing what lies there. When it returns
	// nil the object is durable and whole. When body fails (the source broke off, or
	// its bytes are not those of the digest) Put returns that error and nothing
	// becomes visible under ref. After any other error the object may or may not be
	// there, but is never partial. A store may try again by body.Rewind, where that
	// succeeds.
	Put(ctx context.Context, ref ObjectRef, body *VerifyingReader) error

	// Open starts a read of length bytes at offset; length < 0 means to the end, and
	// 0 is not asked for, since S3 has no empty range. It
	// takes one round trip, finds out by itself that the object is missing
	// (ErrObjectMissing), and returns the whole object's size. An offset beyond the
	// end, or at the end of a non-empty object, is ErrRangeNotSatisfiable; a length
	// beyond the end is cut. The caller closes the body.
	Open(ctx context.Context, ref ObjectRef, offset, length int64) (Object, error)

	// Delete removes the object; one that isn't there is no error. It gives up after
	// a short time of its own (a store may block a delete behind a slow read), since
	// it can always be repeated.
	Delete(ctx context.Context, ref ObjectRef) error

	// Check tells whether the store answers, at little cost, for health checks.
	Check(ctx context.Context) error
}

// Object is an open object, or a range of it.
type Object struct {
	// Body yields the bytes asked for. Where it is an *os.File it stands at the
	// range's first byte, and the kernel can send it without copying.
	Body io.ReadCloser
	// Size is the size of the whole object in bytes.
	Size int64
}
