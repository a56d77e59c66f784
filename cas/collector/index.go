package collector

import (
	"context"
	"time"

	"casgate/cas"
)

// Index is what the collector needs of an index. Index drivers implement it;
// index/indextest is their conformance kit. Each method is atomic and uses the
// database's clock.
//
// Errors of the database wrap cas.ErrIndexUnavailable. After such an error a write may
// or may not have been applied. Every write may be repeated.
type Index interface {
	// Blob is described at cas.Index. It must not be answered by a cache.
	Blob(ctx context.Context, d cas.Digest) (cas.Blob, error)

	// Due counts the blobs that a collection would remove now.
	Due(ctx context.Context, q DueQuery) (Due, error)

	// StartDeleting moves blobs to deleting, and returns their objects: blobs that were
	// condemned at least b.Grace ago, and blobs that have been deleting for b.Retry or
	// longer. An upload can't rescue these blobs any more; it takes the next generation.
	// The caller calls FinishDeleting for each object that it removed.
	StartDeleting(ctx context.Context, b Batch) ([]Object, error)

	// FinishDeleting records that objects are removed. Each row stays as a tombstone, so
	// that the next upload writes a new object. A row that isn't deleting at exactly this
	// generation stays as it is, without an error. The links from a removed blob to its
	// extracted texts go too.
	FinishDeleting(ctx context.Context, refs ...cas.ObjectRef) error

	// SaveRun stores the state of a collection, and makes its collector's lease run this
	// long from now. A lease of 0 ends it. It reports held as false, and changes nothing,
	// if a lease of another run is running.
	SaveRun(ctx context.Context, run Run, lease time.Duration) (held bool, err error)

	// LastRun returns the last stored run, and whether its lease is running. It returns
	// the zero Run if there was none.
	LastRun(ctx context.Context) (run Run, running bool, err error)
}

// Batch says which blobs StartDeleting takes.
type Batch struct {
	Grace time.Duration // how long a blob must have been condemned
	Retry time.Duration // how long a blob must have been deleting
	Limit int           // the largest number of blobs
}

// Object is an object to remove.
type Object struct {
	cas.ObjectRef
	Size      int64 // bytes
	HasCopies bool  // the ledger has copies of the blob
	HasTexts  bool  // texts were extracted from the blob
}

// DueQuery says what Due counts.
type DueQuery struct {
	Grace   time.Duration
	Largest int  // how many of the largest blobs to list
	Visible bool // count the visible blobs too, which takes time in a large index
}

// Due is the work of a collection.
type Due struct {
	Blobs   int64    `json:"blobs"`
	Bytes   int64    `json:"bytes"`
	Visible int64    `json:"visible,omitempty"` // blobs that readers see, and that stay
	Largest []Object `json:"-"`
}

// Run is the state of a collection.
type Run struct {
	ID        string    `json:"id,omitempty"` // empty: nothing was due
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"` // zero: it is running, or its process died
	Due       int64     `json:"due"`               // blobs to remove, as counted at the start
	Blobs     int64     `json:"blobs"`             // blobs removed
	Bytes     int64     `json:"bytes"`
	Failed    int64     `json:"failed"` // blobs that the next collection tries again
	// Error says why the collection ended early, or why the last failed blob failed.
	Error string `json:"error,omitempty"`
}
