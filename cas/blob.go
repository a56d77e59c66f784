// Package cas keeps blobs: immutable byte strings under their SHA-256.
//
// A Store brings two parts together: an ObjectStore that holds the bytes (an
// S3-compatible bucket or a local folder) and an Index that knows which blobs
// exist (Postgres or SQLite). The index arbitrates; the object store only
// stores. Both interfaces are declared here, by the package that calls them.
package cas

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// State is the state of a blob row.
type State string

// The states of a blob row. Readers see live and suspect rows only.
const (
	// StateLive: the object is durable and the blob can be read.
	StateLive State = "live"
	// StateSuspect: the object was found missing or corrupt. Readers may still read
	// it, with verification. An upload is never skipped because of it.
	StateSuspect State = "suspect"
	// StateCondemned: readers no longer see the blob. The collector removes the bytes
	// later; until then an upload of the same digest rescues them.
	StateCondemned State = "condemned"
	// StateDeleting: the collector is removing the object of this generation.
	StateDeleting State = "deleting"
	// StateGone: the object of this generation was removed. The row stays as a
	// tombstone: the next upload takes a higher generation, so a late delete of this
	// generation can't remove the new bytes.
	StateGone State = "gone"
)

// Visible reports whether readers may see a blob in this state.
func (s State) Visible() bool { return s == StateLive || s == StateSuspect }

// Blob is what the index knows about one blob.
type Blob struct {
	Digest     Digest
	Size       int64  // bytes
	MediaType  string // what the bytes say; see Upload.MediaType
	Name       string // a hint, the first one given to the blob itself; may be empty
	State      State
	Generation int32     // which object holds the bytes, see ObjectRef
	CreatedAt  time.Time // when the row first became live, by the index's clock
}

// Object returns the object that holds the blob's bytes.
func (b Blob) Object() ObjectRef { return ObjectRef{Digest: b.Digest, Generation: b.Generation} }

// Check returns an error if the blob can't be committed. Every index stores a blob
// that passes.
func (b Blob) Check() error {
	if b.Size < 0 || b.Generation < 0 {
		return fmt.Errorf("blob %s: size %d and generation %d must not be negative", b.Digest.Short(), b.Size, b.Generation)
	}
	if err := CheckText("name", b.Name); err != nil {
		return fmt.Errorf("blob %s: %w", b.Digest.Short(), err)
	}
	if err := CheckText("media type", b.MediaType); err != nil {
		return fmt.Errorf("blob %s: %w", b.Digest.Short(), err)
	}
	return nil
}

// NextObject returns the object that an upload must write when it finds the row in
// this state. A generation whose removal has begun is never written again.
func (b Blob) NextObject() ObjectRef {
	if b.State == StateDeleting || b.State == StateGone {
		return ObjectRef{Digest: b.Digest, Generation: b.Generation + 1}
	}
	return b.Object()
}

// Supersedes reports whether no commit can ever make an object of this blob readable
// again, as its row in any state shows: the removal of its generation has begun, or the
// row has a higher one.
func (b Blob) Supersedes(ref ObjectRef) bool {
	isRemoved := b.State == StateDeleting || b.State == StateGone
	return ref.Generation < b.Generation || isRemoved && ref.Generation == b.Generation
}

// ObjectRef names one object in an object store. Generation 0 is the usual one. A
// higher generation exists only if an upload met the deletion of the same digest.
type ObjectRef struct {
	Digest     Digest
	Generation int32
}

// Key returns the object's key, the same in every kind of store:
// sha256/<2 hex>/<2 hex>/<64 hex>, followed by .<generation> if that is not 0.
func (r ObjectRef) Key() string {
	h := r.Digest.Hex()
	key := "sha256/" + h[:2] + "/" + h[2:4] + "/" + h
	if r.Generation != 0 {
		key += "." + strconv.Itoa(int(r.Generation))
	}
	return key
}

// ParseKey is the inverse of ObjectRef.Key. It returns an error for any other key:
// casgate did not write that object.
func ParseKey(key string) (ObjectRef, error) {
	base := key[strings.LastIndexByte(key, '/')+1:]
	hex, gen, hasGen := strings.Cut(base, ".")
	d, err := ParseDigest(digestPrefix + hex)
	if err != nil {
		return ObjectRef{}, fmt.Errorf("%q is not an object key: %w", key, err)
	}
	ref := ObjectRef{Digest: d}
	if hasGen {
		n, err := strconv.ParseInt(gen, 10, 32)
		if err != nil || n < 1 {
			return ObjectRef{}, fmt.Errorf("%q is not an object key: bad generation %q", key, gen)
		}
		ref.Generation = int32(n)
	}
	if ref.Key() != key {
		return ObjectRef{}, fmt.Errorf("%q is not an object key: expected %q", key, ref.Key())
	}
	return ref, nil
}
