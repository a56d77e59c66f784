package cas

import "errors"

// The errors callers act upon. Everything in this package and its drivers wraps
// one of them where it applies, so errors.Is decides; the wrapping text says
// which blob, which server, and what to do next.
var (
	// ErrInvalidDigest: a digest's text form is malformed.
	ErrInvalidDigest = errors.New("invalid digest")
	// ErrBlobNotFound: no blob with this digest is visible to readers.
	ErrBlobNotFound = errors.New("blob not found")
	// ErrDigestMismatch: the bytes given are not those of the digest or length named.
	ErrDigestMismatch = errors.New("digest mismatch")
	// ErrBlobTooLarge: the blob is larger than the configured maximum.
	ErrBlobTooLarge = errors.New("blob too large")
	// ErrBlobInUse: files refer to the blob.
	ErrBlobInUse = errors.New("blob in use")
	// ErrObjectMissing: the index knows the blob, the object store does not.
	ErrObjectMissing = errors.New("object missing")
	// ErrObjectCorrupt: the object store's bytes are not those of the digest.
	ErrObjectCorrupt = errors.New("object corrupt")
	// ErrRangeNotSatisfiable: a read begins beyond the blob's end.
	ErrRangeNotSatisfiable = errors.New("range not satisfiable")
	// ErrIndexUnavailable: the index can't be reached or failed to answer.
	ErrIndexUnavailable = errors.New("index unavailable")
	// ErrStoreUnavailable: the object store can't be reached or failed to answer.
	ErrStoreUnavailable = errors.New("object store unavailable")
	// ErrNoSpace: the disk or bucket that should take the bytes is full.
	ErrNoSpace = errors.New("no space left")
	// ErrUploadRaced: the blob was being collected just while it was uploaded, and
	// the body can't be read a second time. The same upload succeeds when repeated.
	ErrUploadRaced = errors.New("upload raced with a deletion")
	// ErrBodyRead: the source of an upload failed: the client hung up, was too
	// slow, or sent less than it declared.
	ErrBodyRead = errors.New("reading the upload failed")
)
