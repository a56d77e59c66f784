package replicator

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// BlobStore is where blobs come from, and extracted texts go to. cas.Store is one.
type BlobStore interface {
	// Blob returns what is known of a blob, or cas.ErrBlobNotFound.
	Blob(ctx context.Context, d cas.Digest) (cas.Blob, error)
	// Confirm asks whether there is such a blob at this moment, whatever is remembered
	// of it, and returns cas.ErrBlobNotFound where there isn't.
	Confirm(ctx context.Context, d cas.Digest) error
	// OpenVerified reads a whole blob, and verifies it whatever is remembered of it.
	OpenVerified(ctx context.Context, b cas.Blob) (*cas.Content, error)
	// Put takes a blob in.
	Put(ctx context.Context, u cas.Upload) (b cas.Blob, stored bool, err error)
}

// Options configures a Replicator. Zero durations and numbers mean the defaults
// given.
type Options struct {
	Blobs  BlobStore
	Ledger ledger.Store
	// Providers are the accounts to keep copies at, each of another name.
	Providers []providers.Guarded
	// Unconfigured has, for the providers that could be configured and are not, the
	// advice how to.
	Unconfigured map[string]string
	// NoEviction: where an account is full, fail (KindQuota) rather than remove the
	// copies used least recently.
	NoEviction bool
	// Lease is how long a claim lasts without being extended: after that time the work
	// of a gateway that died goes on elsewhere. Default 30 s.
	Lease time.Duration
	// PollInterval is how often the ledger is looked through for work that nobody
	// does. Default 5 s.
	PollInterval time.Duration
	// MaxAttempts bounds the uploads tried by themselves after failures. The default of
	// 12 lets them go on for about 20 minutes.
	MaxAttempts int
	// SignURL makes a URL at which a provider can read a blob for that long. Nil:
	// there are no references by URL.
	SignURL func(ctx context.Context, d cas.Digest, life time.Duration) (string, error)
	// OnStep is told of each step of an upload, before the next begins. For tests that
	// kill a gateway, or hold it, at a certain place.
	OnStep func(Step)
	// OnEvent is told of the end of work that no caller is told of. It must not wait.
	OnEvent func(Event)
	Log     zerolog.Logger
	// Registry gets the metrics; nil makes one that nobody reads.
	Registry prometheus.Registerer
}

// Step is a place in the protocol of making a copy.
type Step string

// The steps, in their order; StepAdopted comes in place of StepRoomMade and
// StepUploaded.
const (
	StepClaimed   Step = "claimed"    // the ledger's row is ours
	StepAdopted   Step = "adopted"    // an earlier attempt had got through
	StepRoomMade  Step = "room-made"  // the account has room
	StepUploaded  Step = "uploaded"   // the provider has confirmed the file
	StepProcessed Step = "processing" // the ledger knows the file; it is not ready yet
	StepCompleted Step = "completed"  // the ledger says that the copy is ready
)

// EventKind is what was done.
type EventKind string

// The kinds of events.
const (
	EventSynced  EventKind = "synced"  // a copy was made, or given up
	EventDeleted EventKind = "deleted" // a copy was deleted at its provider, on request
	EventEvicted EventKind = "evicted" // a copy was removed at its provider to make room
)

// Event is the end of work that no caller is told of: it was asked for in the
// background, outlived the caller who asked for it, or is the gateway's own idea.
type Event struct {
	Kind EventKind
	// OperationID names the operation that has ended: the copy's, but for evictions,
	// which are operations of their own.
	OperationID string
	// Copy is the copy as it then was.
	Copy ledger.Copy
	// Actor is the Request's who asked for it; empty where this process doesn't know:
	// nobody did, or it was before a restart, or in another gateway.
	Actor string
	// File is the Request's.
	File string
	// Start is when it was asked for, or, where this process doesn't know that, when
	// the work began.
	Start time.Time
	// Err is why it failed; nil where it didn't.
	Err error
}
