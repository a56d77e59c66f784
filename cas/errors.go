package cas

import (
	"errors"
	"fmt"
)

// The errors that callers act on. This package and its drivers wrap one of them where
// it applies, so callers use errors.Is. The wrapping text names the blob, the server
// and the next step.
var (
	// ErrInvalidDigest: a digest's text form is malformed.
	ErrInvalidDigest = errors.New("invalid digest")
	// ErrBlobNotFound: no blob with this digest is visible to readers.
	ErrBlobNotFound = errors.New("blob not found")
	// ErrDigestMismatch: the bytes do not have the expected digest or length.
	ErrDigestMismatch = errors.New("digest mismatch")
	// ErrBlobTooLarge: the blob is larger than the configured maximum.
	ErrBlobTooLarge = errors.New("blob too large")
	// ErrBlobInUse: files refer to the blob.
	ErrBlobInUse = errors.New("files refer to this blob")
	// ErrObjectMissing: the index knows the blob, the object store does not.
	ErrObjectMissing = errors.New("object missing")
	// ErrObjectCorrupt: the bytes in the object store do not have the digest.
	ErrObjectCorrupt = errors.New("object corrupt")
	// ErrRangeNotSatisfiable: a read begins beyond the blob's end.
	ErrRangeNotSatisfiable = errors.New("range not satisfiable")
	// ErrIndexUnavailable: the index can't be reached or failed to answer.
	ErrIndexUnavailable = errors.New("index unavailable")
	// ErrIndexReadOnly: the index can be read, but takes no writes. It wraps
	// ErrIndexUnavailable.
	ErrIndexReadOnly = fmt.Errorf("%w: it is read-only", ErrIndexUnavailable)
	// ErrStoreUnavailable: the object store can't be reached or failed to answer.
	ErrStoreUnavailable = errors.New("object store unavailable")
	// ErrStoreRefused: the object store refused the request, such as for its credentials.
	// It wraps ErrStoreUnavailable. To repeat the request is of no use until an operator
	// has corrected the settings.
	ErrStoreRefused error = storeRefused{}
	// ErrSpoolUnusable: the spool folder on the gateway's own disk can't be used, until an
	// operator repairs it.
	ErrSpoolUnusable = errors.New("the spool folder can't be used")
	// ErrNoSpace: the disk or bucket for the bytes is full.
	ErrNoSpace = errors.New("no space left")
	// ErrUploadRaced: the blob was deleted or found damaged during the upload, and the body
	// can't be read a second time. The same upload succeeds when it is repeated.
	ErrUploadRaced = errors.New("upload raced with a deletion")
	// ErrUnconfirmed: the object of an upload is stored, but the index has not confirmed the
	// blob's row, which may exist or not. Repeating the upload is safe.
	ErrUnconfirmed = errors.New("upload not confirmed")
	// ErrDeleteUnconfirmed: the index has not confirmed a delete, which may be done or not.
	ErrDeleteUnconfirmed = errors.New("delete not confirmed")
	// ErrBodyRead: the source of an upload failed: the client hung up, was too
	// slow, or sent less than it declared.
	ErrBodyRead = errors.New("reading the upload failed")
)

// StoreFull is the ErrNoSpace of an object store that gives a reason.
type StoreFull struct {
	// Reason is the store's own code and message, and has no names of hosts. Clients may
	// see it.
	Reason string
}

// Error implements error. The reason is not in the text: the store's error, which has it,
// follows.
func (*StoreFull) Error() string { return ErrNoSpace.Error() }

// Unwrap returns ErrNoSpace.
func (*StoreFull) Unwrap() error { return ErrNoSpace }

// storeRefused is an ErrStoreUnavailable that does not call the store unavailable: it answers.
type storeRefused struct{}

func (storeRefused) Error() string { return "the object store refused the request" }
func (storeRefused) Unwrap() error { return ErrStoreUnavailable }
