package cas

import (
	"crypto/sha256"
	"errors"
	"time"
)

// IdempotencyKeyLife is how long a key stands for the first upload that used it.
const IdempotencyKeyLife = 24 * time.Hour

// ErrKeyReused: an idempotency key was used for another request in the last
// IdempotencyKeyLife.
var ErrKeyReused = errors.New("idempotency key reused")

// ErrKeyInUse: another upload with the same idempotency key has been under way for some time. The same
// upload succeeds when it is repeated later.
var ErrKeyInUse = errors.New("another upload with the same idempotency key is under way")

// IdempotencyKey makes repetitions of an upload one upload. An index records the key of an
// upload in the step that records its result, so no crash separates the two. Only successful uploads are
// recorded.
type IdempotencyKey struct {
	// ID is a hash of the key and of its owner: two owners never share a key.
	ID [sha256.Size]byte
	// Request is a hash of all that the request asks for, except the bytes.
	Request [sha256.Size]byte
}

// KeyUse is the upload that used an idempotency key.
type KeyUse struct {
	Request [sha256.Size]byte // as in IdempotencyKey
	Digest  Digest            // of the bytes
	FileID  string            // of the file that it created; empty: none
}

// KeptUpload is the result of an upload that created no file, as its key keeps it.
type KeptUpload struct {
	Digest Digest // of the blob
	Stored bool   // whether the upload brought the bytes
}
