// Package replicator keeps copies of blobs at LLM providers. It makes a copy when one
// is first asked for, exactly once, however many callers and gateways ask. It keeps
// the ledger true when uploads fail, replies get lost, files vanish and processes die.
package replicator

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"

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

// Replicator makes copies, and looks after them. It is safe for concurrent use.
type Replicator struct {
	o        Options
	blobs    BlobStore
	ledger   ledger.Store
	accounts map[string]providers.Guarded // by provider
	names    []string                     // of the providers, as configured
	log      zerolog.Logger
	metrics  *metrics

	flights singleflight.Group
	changes *changes
	uses    *uses
	asked   *asked
	nudge   chan struct{} // the ledger has work

	lastOfDelete sync.Mutex // see removeDue

	// Work outlives the callers that asked for it; it ends with the Replicator.
	working context.Context
	stop    context.CancelFunc
	mu      sync.Mutex // orders begin and Close
	workers sync.WaitGroup
}

// New puts a Replicator together. The caller closes it.
func New(o Options) (*Replicator, error) {
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.PollInterval = cmp.Or(o.PollInterval, 5*time.Second)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 12)
	if o.OnStep == nil {
		o.OnStep = func(Step) {}
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	r := &Replicator{
		o:        o,
		blobs:    o.Blobs,
		ledger:   o.Ledger,
		accounts: make(map[string]providers.Guarded, len(o.Providers)),
		log:      o.Log,
		metrics:  newMetrics(o.Registry),
		changes:  newChanges(),
		uses:     newUses(),
		asked:    newAsked(),
		nudge:    make(chan struct{}, 1),
	}
	for _, p := range o.Providers {
		name := p.Describe().Provider
		if _, ok := r.accounts[name]; ok {
			return nil, fmt.Errorf("two providers are called %s; give one of them another name", name)
		}
		r.accounts[name] = p
		r.names = append(r.names, name)
	}
	r.working, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// Close cancels the work under way, which others, or the next start, then take
// up, and waits until it has ended.
func (r *Replicator) Close() {
	r.mu.Lock()
	r.stop()
	r.mu.Unlock()
	r.workers.Wait()
}

// begin counts a piece of work that Close waits for. Once closed there is none to
// begin.
func (r *Replicator) begin() (end func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.working.Err() != nil {
		return nil, fmt.Errorf("the gateway is stopping: %w", r.working.Err())
	}
	r.workers.Add(1)
	return r.workers.Done, nil
}

// Changed tells that the copies of a blob were changed, here or by another
// gateway. Who waits for one looks again.
func (r *Replicator) Changed(d cas.Digest) { r.changes.signal(d) }

// ChangedAll tells that any copy may have been changed.
func (r *Replicator) ChangedAll() { r.changes.signalAll() }

// account returns the account at a provider.
func (r *Replicator) account(provider string) (providers.Guarded, error) {
	if p, ok := r.accounts[provider]; ok {
		return p, nil
	}
	if advice, ok := r.o.Unconfigured[provider]; ok {
		return nil, &providers.Error{
			Provider: provider, Op: providers.OpCheck, Kind: providers.KindAuth, Code: providers.CodeNotConfigured,
			Message: "there is no key for " + provider, Hint: advice,
		}
	}
	known := "there are none"
	if len(r.names) > 0 {
		known = "there are " + strings.Join(r.names, ", ")
	}
	return nil, fmt.Errorf("%w: %q; %s", providers.ErrProviderNotFound, provider, known)
}

// Request asks for a copy.
type Request struct {
	Digest   cas.Digest
	Provider string
	// Purpose at the provider; empty means the provider's default for the blob's media
	// type.
	Purpose string
	// Name decides the remote file's name and extension; empty means the blob's.
	Name string
	// Retry: try again what was given up.
	Retry bool
	// OperationID becomes the copy's where this request is what makes it wanted.
	OperationID string
	// Actor is who asks. Where it is given, OnEvent isn't told of what the request's
	// operation comes to unless the caller leaves before: a call that is left, whose
	// work goes on, returns an error that wraps Left.
	Actor string
	// File names the file that is asked by, for OnEvent.
	File string
}

// job is a request, thought through.
type job struct {
	provider providers.Guarded
	about    providers.Description
	purpose  providers.Purpose
	blob     cas.Blob
	wanted   ledger.Wanted
	request  Request // where somebody asks who waits for it
}

// plan works out what a request asks for. It asks nobody but the index.
func (r *Replicator) plan(ctx context.Context, q Request) (job, error) {
	p, err := r.account(q.Provider)
	if err != nil {
		return job{}, err
	}
	blob, err := r.blobs.Blob(ctx, q.Digest)
	if err != nil {
		return job{}, err
	}
	about := p.Describe()
	name := cmp.Or(q.Name, blob.Name)
	extension := providers.Extension(name, blob.MediaType)
	purpose := about.DefaultPurpose(blob.MediaType, extension)
	if q.Purpose != "" {
		if purpose, err = about.Purpose(q.Purpose, blob.MediaType); err != nil {
			return job{}, err
		}
	}
	return job{
		provider: p, about: about, purpose: purpose, blob: blob, request: q,
		wanted: ledger.Wanted{
			Key: ledger.Key{
				Digest: q.Digest, Provider: q.Provider, Account: about.Account,
				Purpose: purpose.Name, Extension: extension,
			},
			Name: providers.CleanName(name), MediaType: blob.MediaType, Size: blob.Size,
			OperationID: q.OperationID, Margin: margin(purpose.Lifetime()), Retry: q.Retry,
		},
	}, nil
}

// margin is how long before its end a copy is renewed: a tenth of its life, at
// most a day.
func margin(lifetime time.Duration) time.Duration { return min(lifetime/10, 24*time.Hour) }

// usable reports whether a copy can be handed out, with that much of its life left.
func usable(c ledger.Copy, margin time.Duration) bool {
	return c.State == ledger.StateReady && (c.ExpiresAt.IsZero() || time.Until(c.ExpiresAt) > margin)
}

// Copies returns what the ledger knows of a blob's copies, at all accounts. It
// never uploads.
func (r *Replicator) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	return r.ledger.Copies(ctx, d)
}

// Copy returns the copy that a request would give, in whatever state it is, or
// ledger.ErrNotFound. Where the request names neither purpose nor name and there is no
// copy of the default ones, the newest of the provider's will do. It never
// uploads.
func (r *Replicator) Copy(ctx context.Context, q Request) (ledger.Copy, error) {
	copies, err := r.copiesAt(ctx, q)
	if err != nil {
		return ledger.Copy{}, err
	}
	if j, err := r.plan(ctx, q); err == nil {
		for _, c := range copies {
			if c.Key == j.wanted.Key {
				return c, nil
			}
		}
	}
	if len(copies) == 0 || q.Name != "" {
		return ledger.Copy{}, fmt.Errorf("%w: %s has none at %s; ask for one with PUT", ledger.ErrNotFound, q.Digest, q.Provider)
	}
	return copies[len(copies)-1], nil
}

// copiesAt returns the rows of a blob at a provider's present account, of the
// request's purpose where it names one.
func (r *Replicator) copiesAt(ctx context.Context, q Request) ([]ledger.Copy, error) {
	p, err := r.account(q.Provider)
	if err != nil {
		return nil, err
	}
	all, err := r.ledger.Copies(ctx, q.Digest)
	if err != nil {
		return nil, err
	}
	account := p.Describe().Account
	var copies []ledger.Copy
	for _, c := range all {
		if c.Account == account && (q.Purpose == "" || c.Purpose == q.Purpose) {
			copies = append(copies, c)
		}
	}
	return copies, nil
}

// Operation returns the copy that an operation is about, or ledger.ErrNotFound.
func (r *Replicator) Operation(ctx context.Context, id string) (ledger.Copy, error) {
	return r.ledger.CopyOfOperation(ctx, id)
}
