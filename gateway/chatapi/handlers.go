// Package chatapi answers requests to models: it finds the provider, puts references in
// the place of files, sends the request on, and passes the answer through.
//
// The files, in the order of a request: completions.go (the request as a whole), body.go
// (its bytes), memory.go (their room), models.go (which provider), attachments.go and
// inline.go (which files), references.go (what takes their place), forward.go, upstream.go,
// dial.go and hold.go (the call), coding.go and redact.go (the bytes of its answer), heal.go
// (files that the provider has lost), usage.go and metrics.go.
package chatapi

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/request"
	"casgate/gateway/view"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// Store keeps blobs.
type Store interface {
	Blob(ctx context.Context, d cas.Digest) (cas.Blob, error)
}

// Files keeps files.
type Files interface {
	// KnownBytes returns a file and its blob, and first takes in the bytes of a file that
	// was imported. It answers from memory if it can.
	KnownBytes(ctx context.Context, id string) (cas.File, cas.Blob, error)
	Create(ctx context.Context, u cas.Upload, describe func() cas.NewFile) (file cas.File, stored bool, err error)
	// ProlongFiles moves the expiry of files to a later time.
	ProlongFiles(ctx context.Context, until map[string]time.Time) error
}

// Replicator makes and knows copies.
type Replicator interface {
	ChatReference(ctx context.Context, q replicator.Request) (replicator.Reference, error)
	CheckChat(ctx context.Context, q replicator.Request, blob cas.Blob) error
	ReportLost(ctx context.Context, q replicator.Request, fileID string) (c ledger.Copy, created bool, err error)
	Accounts() []providers.Guarded
	// Providers returns the names of the providers that are configured, and of others that
	// are known.
	Providers() (configured, unconfigured []string)
}

// Authorizer checks scopes.
type Authorizer interface {
	Require(c echo.Context, scope access.Scope) error
}

// Parts are what the handlers need of the gateway.
type Parts struct {
	Store      Store
	Files      Files
	Copies     Replicator
	Authorizer Authorizer
	Waits      request.Waits
	BodyRate   request.MinRate
	URLs       view.URLs
	Registry   prometheus.Registerer
	Log        zerolog.Logger
}

// Handlers answers requests to models.
type Handlers struct {
	Parts
	o        Options
	models   *catalogue
	memory   *memory
	taken    *takenIn
	looked   *lookUps
	metrics  *metrics
	upstream *upstream
}

// New returns handlers.
func New(p Parts, o Options) (*Handlers, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	models, err := newCatalogue(p.Copies, o, p.Log)
	if err != nil {
		return nil, err
	}
	taken, err := newTakenIn()
	if err != nil {
		return nil, err
	}
	m := newMetrics(p.Registry)
	return &Handlers{
		Parts: p, o: o,
		models: models, memory: newMemory(o.Memory, o.MaxBody),
		taken: taken, looked: newLookUps(),
		metrics: m, upstream: newUpstream(o, m),
	}, nil
}

// Door is a place where requests come in.
type Door struct {
	// Provider gets all requests. If it is empty, the model's name chooses.
	Provider string
	// Scheme is how the provider's own programs write the id of a file as a URL, such as
	// ms://. In such a URL, the id may be a file's here.
	Scheme string
}
