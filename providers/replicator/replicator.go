// Package replicator keeps copies of blobs at LLM providers. It makes a copy at the first
// request, exactly once for any number of callers and gateways. It keeps the ledger
// correct when uploads fail, replies get lost, files vanish and processes die.
//
// The files, from the top down: queue.go (work without a caller), reference.go and
// text.go (what needs a copy), ensure.go and join.go (callers), makeorwait.go (the claim),
// attempt.go, upload.go, room.go, eviction.go, begundeletes.go and census.go (making a copy), delete.go, strays.go,
// remotefiles.go and lists.go (the provider's list), plan.go, replicator.go. Calls go down only.
package replicator

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

const (
	// bookkeepingTimeout limits the writes after the work's own context ended.
	bookkeepingTimeout = 10 * time.Second
)

// Replicator makes copies and maintains them. It is safe for concurrent use.
type Replicator struct {
	o        Options
	blobs    BlobStore
	ledger   ledger.Store
	accounts map[string]providers.Guarded // by provider
	names    []string                     // of the providers, as configured
	log      zerolog.Logger
	metrics  *metrics

	flights    singleflight.Group
	lists      *lists
	placements *placements
	callers    callers
	changes    *changes
	uses       *uses
	budget     *sendBudget
	censuses   *censuses
	mark       atomic.Pointer[providers.Mark] // see installationMark
	requesters *requesters
	lastOf     *lastOfDelete
	nudge      chan struct{} // a value means that the ledger has work

	// Work goes on after its callers have left. It ends with the Replicator.
	working context.Context
	stop    context.CancelFunc
	mu      sync.Mutex // orders begin and Close
	workers sync.WaitGroup
}

// New returns a Replicator. The caller closes it.
func New(o Options) (*Replicator, error) {
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.HandedOut = cmp.Or(o.HandedOut, 2*time.Second)
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
		lists:      newLists(),
		placements: newPlacements(),
		budget:     newSendBudget(),
		censuses:   newCensuses(),
		requesters: newRequesters(),
		lastOf:     newLastOfDelete(),
		callers:    callers{at: make(map[string]*waiting)},
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

// Close cancels the running work and waits until it has ended. Another gateway, or the
// next start, continues it.
func (r *Replicator) Close() {
	r.mu.Lock()
	r.stop()
	r.mu.Unlock()
	r.workers.Wait()
}

// begin registers work that Close waits for. It returns an error after Close.
func (r *Replicator) begin() (end func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.working.Err() != nil {
		return nil, fmt.Errorf("the gateway is stopping: %w", r.working.Err())
	}
	r.workers.Add(1)
	return r.workers.Done, nil
}

// Changed says that the copies of a blob have changed, here or in another gateway.
// Waiting callers then read the row again.
func (r *Replicator) Changed(d cas.Digest) { r.changes.signal(d) }

// ChangedAll says that any copy may have changed.
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

// installationMark returns the mark of this installation. It asks the index at the first
// call, and not when the replicator starts: a gateway starts without its index, too.
func (r *Replicator) installationMark(ctx context.Context) (providers.Mark, error) {
	if known := r.mark.Load(); known != nil {
		return *known, nil
	}
	mark, err := r.ledger.Mark(ctx)
	if err != nil {
		return "", err
	}
	r.mark.Store(&mark)
	return mark, nil
}

// wake makes the queue read the ledger now.
func (r *Replicator) wake() {
	select {
	case r.nudge <- struct{}{}:
	default: // the queue has a signal already
	}
}

// use records that a caller gets a copy.
func (r *Replicator) use(c ledger.Copy) {
	r.uses.note(c.Key)
	r.metrics.count(c.Provider, outcomeHit)
}
