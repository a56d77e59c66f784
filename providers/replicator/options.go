package replicator

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// BlobStore holds the blobs and the extracted texts. cas.Store implements it.
type BlobStore interface {
	// Blob returns a blob's row, which may be cached, or cas.ErrBlobNotFound.
	Blob(ctx context.Context, d cas.Digest) (cas.Blob, error)
	// Confirm asks the index, and not a cache, whether the blob exists. It returns
	// cas.ErrBlobNotFound if not.
	Confirm(ctx context.Context, d cas.Digest) error
	// OpenVerified reads a whole blob and verifies it, even if it was verified recently.
	OpenVerified(ctx context.Context, b cas.Blob) (*cas.Content, error)
	// Put stores a blob.
	Put(ctx context.Context, u cas.Upload) (b cas.Blob, stored bool, err error)
}

// Options configures a Replicator. A zero duration or number means the default.
type Options struct {
	Blobs  BlobStore
	Ledger ledger.Store
	// Providers are the accounts for copies. Their names must differ.
	Providers []providers.Guarded
	// Unconfigured has, by name, the providers without a key, with advice how to
	// configure them.
	Unconfigured map[string]string
	// NoEviction: if an account is full, fail with KindQuota instead of removing the
	// least recently used copies. Copies that have expired are removed.
	NoEviction bool
	// HandedOut is how long after a copy was given to a caller it is not evicted. Default
	// 2 s.
	HandedOut time.Duration
	// Lease is how long a claim lasts if it isn't extended. After that time another
	// gateway continues the work of one that died. Default 30 s.
	Lease time.Duration
	// PollInterval is the interval between two searches of the ledger for due work.
	// Default 5 s.
	PollInterval time.Duration
	// MaxAttempts limits the automatic attempts of an upload. The default of 12 takes
	// about 20 minutes.
	MaxAttempts int
	// SignURL makes a URL where a provider can read a blob. Nil means that there are no
	// references by URL.
	SignURL func(ctx context.Context, r URLRequest) (string, error)
	// OnStep is called after each step of an upload, before the next one. Tests use it to
	// kill or stop a gateway at a certain step. Optional.
	OnStep func(Step)
	// OnEvent is called at the end of work whose result no caller gets. It must not block.
	// Optional.
	OnEvent func(Event)
	Log     zerolog.Logger
	// Traces makes the traces of work that no request waits for. Nil: there are none.
	Traces trace.TracerProvider
	// Registry gets the metrics. Optional.
	Registry prometheus.Registerer
}

// Step is a step in making a copy.
type Step string

// The steps, in their order. StepAdopted replaces StepRoomMade and StepUploaded.
const (
	StepClaimed   Step = "claimed"    // this gateway has the claim of the row
	StepAdopted   Step = "adopted"    // the file of an earlier attempt was found
	StepRoomMade  Step = "room-made"  // the account has room
	StepUploaded  Step = "uploaded"   // the provider has confirmed the file
	StepProcessed Step = "processing" // the ledger has the file id; the file is not ready yet
	StepCompleted Step = "completed"  // the copy is ready in the ledger
)

// EventKind is the kind of work that ended.
type EventKind string

// The kinds of events.
const (
	EventSynced  EventKind = "synced"  // a copy was made, or failed permanently
	EventDeleted EventKind = "deleted" // a copy was deleted at its provider, on request
	EventEvicted EventKind = "evicted" // a copy was removed at its provider to make room
)

// Event is the end of work whose result no caller gets: it was requested in the
// background, its caller left before, or the gateway started it itself.
type Event struct {
	Kind EventKind
	// OperationID is the id of the operation that ended. It is the copy's, except for an
	// eviction, which is an operation of its own.
	OperationID string
	// Copy is the copy's row at the end.
	Copy ledger.Copy
	// Actor is the Request's. It is empty if this process doesn't know it: the gateway
	// started the work, or the request came before a restart or to another gateway.
	Actor string
	// File is the Request's.
	File string
	// Start is the time of the request, or, if this process doesn't know it, the time
	// when the work began.
	Start time.Time
	// Err is the reason of a failure, or nil.
	Err error
}
