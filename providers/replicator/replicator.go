// Package replicator keeps copies of blobs at LLM providers. It makes a copy at the first
// request, exactly once for any number of callers and gateways. It keeps the ledger
// correct when uploads fail, replies get lost, files vanish and processes die.
//
// The files, from the top down: queue.go (work without a caller), reference.go and
// text.go (what needs a copy), ensure.go and join.go (callers), makeorwait.go (the claim),
// attempt.go, upload.go and eviction.go (making a copy), delete.go, remotefiles.go (the
// provider's list), plan.go, replicator.go. Calls go down only.
package replicator

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

const (
	// bookkeepingTimeout bounds what is written after the work's own context ended.
	bookkeepingTimeout = 10 * time.Second
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

	flights    singleflight.Group
	changes    *changes
	uses       *uses
	requesters *requesters
	nudge      chan struct{} // the ledger has work

	lastOfDelete sync.Mutex // see removeDue

	// Work outlives the callers that asked for it; it ends with the Replicator.
	working context.Context
	stop    context.CancelFunc
	mu      sync.Mutex // orders begin and Close
	workers sync.WaitGroup
}

// NewReplicator puts a Replicator together. The caller closes it.
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
		o:          o,
		blobs:      o.Blobs,
		ledger:     o.Ledger,
		accounts:   make(map[string]providers.Guarded, len(o.Providers)),
		log:        o.Log,
		metrics:    newMetrics(o.Registry),
		changes:    newChanges(),
		uses:       newUses(),
		requesters: newRequesters(),
		nudge:      make(chan struct{}, 1),
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

// wake makes the queue look at the ledger now.
func (r *Replicator) wake() {
	select {
	case r.nudge <- struct{}{}:
	default: // it will look anyway
	}
}

// use notes that a copy is handed out.
func (r *Replicator) use(c ledger.Copy) {
	r.uses.note(c.Key)
	r.metrics.count(c.Provider, outcomeHit)
}
