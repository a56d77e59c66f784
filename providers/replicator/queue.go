package replicator

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/cas/tracing"
	"casgate/providers"
	"casgate/providers/ledger"
)

const (
	// queueBatch is how many rows one search of the ledger returns. queueWorkers is how
	// many rows the queue works on at once, over all providers. The limits of each account
	// apply in addition.
	queueBatch   = 64
	queueWorkers = 16
	// firstUseFlush is the interval between two writes of the first uses of copies, and useFlush
	// that of all uses.
	firstUseFlush = time.Second
	useFlush      = 30 * time.Second
)

// Run does the due work in the ledger: copies requested in the background, repeated
// attempts, unconfirmed deletes, and the work of a gateway that died. It returns ctx's
// error when ctx is done.
func (r *Replicator) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.runQueue(ctx) })
	g.Go(func() error { return r.runFlush(ctx) })
	return g.Wait()
}

func (r *Replicator) runQueue(ctx context.Context) error {
	workers := make(chan struct{}, queueWorkers)
	busy := &busyKeys{keys: make(map[ledger.Key]bool)}
	tick := time.NewTicker(r.o.PollInterval)
	defer tick.Stop()
	for {
		if err := r.takeUp(ctx, workers, busy); err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("could not search for due copies; trying again")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-r.nudge:
		}
	}
}

// takeUp starts work on the due rows, one worker for each.
func (r *Replicator) takeUp(ctx context.Context, workers chan struct{}, busy *busyKeys) error {
	accounts := make([]string, 0, len(r.accounts))
	byAccount := make(map[string]providers.Guarded, len(r.accounts))
	for _, p := range r.accounts {
		// A half-open breaker lets a single call through as a test, so the queue waits.
		if p.Health().Breaker == providers.BreakerClosed {
			account := p.Describe().Account
			accounts = append(accounts, account)
			byAccount[account] = p
		}
	}
	if len(accounts) == 0 {
		return nil
	}
	due, err := r.ledger.DueCopies(ctx, accounts, queueBatch)
	if err != nil {
		return err
	}
	for _, c := range due {
		if !busy.begin(c.Key) {
			continue
		}
		select {
		case workers <- struct{}{}:
		case <-ctx.Done():
			busy.end(c.Key)
			return ctx.Err()
		}
		end, err := r.begin()
		if err != nil {
			busy.end(c.Key)
			<-workers
			return err
		}
		go func() {
			defer end()
			defer func() { busy.end(c.Key); <-workers; r.wakeIfMore(len(due)) }()
			r.advance(r.working, byAccount[c.Account], c)
		}()
	}
	return nil
}

// busyKeys are the rows that the queue works on. Such a row stays due until its claim.
type busyKeys struct {
	mu   sync.Mutex
	keys map[ledger.Key]bool
}

// begin reports false if the queue works on the row already.
func (b *busyKeys) begin(k ledger.Key) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys[k] {
		return false
	}
	b.keys[k] = true
	return true
}

func (b *busyKeys) end(k ledger.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.keys, k)
}

// wakeIfMore makes the queue search again if its last search found a full batch.
func (r *Replicator) wakeIfMore(found int) {
	if found == queueBatch {
		r.wake()
	}
}

// advance does the work of one row. The ledger has the result.
func (r *Replicator) advance(ctx context.Context, p providers.Guarded, c ledger.Copy) {
	ctx, span := tracing.Background(ctx, r.o.Traces, "continue copy", r.requesters.askedBy(c.OperationID))
	defer span.End()
	describe(span, c)
	var err error
	switch {
	case c.State == ledger.StateDeleting:
		var won bool
		if c, won, err = r.ledger.Change(ctx, ledger.ResumeDelete(c, r.o.Lease)); err == nil && won {
			_, _, err = r.endDelete(ctx, p, c, "")
		}
	case c.State.Settled() && c.State != ledger.StateUnverified:
		err = r.sweep(ctx, p, c)
	default:
		err = r.resume(ctx, p, c)
	}
	// A provider's failures are in the ledger, and were logged before.
	if _, known := errors.AsType[*providers.Error](err); err != nil && !known && ctx.Err() == nil {
		r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("work on a copy was interrupted; trying again later")
	}
}

// resume makes a copy that was requested earlier.
func (r *Replicator) resume(ctx context.Context, p providers.Guarded, c ledger.Copy) error {
	description := p.Describe()
	purpose, err := description.Purpose(c.Purpose, "")
	if err != nil {
		return r.abandon(ctx, c, err) // the configuration has changed since
	}
	blob, err := r.blobs.Blob(ctx, c.Digest)
	if err != nil {
		if errors.Is(err, cas.ErrBlobNotFound) {
			return r.abandon(ctx, c, err) // the blob was deleted since
		}
		return err
	}
	_, _, err = r.join(ctx, job{
		provider: p, description: description, purpose: purpose, blob: blob,
		wanted: ledger.Wanted{
			Key: c.Key, Name: c.Name, MediaType: c.MediaType, Size: blob.Size,
			OperationID: c.OperationID, Margin: ledger.RenewalMargin(purpose.Lifetime()), ByLife: true, Existing: true,
			// A file of a copy that had failed has turned up.
			Retry: c.State == ledger.StateFailed,
		},
	})
	return err
}

// abandon permanently fails a row whose blob or purpose no longer exists.
func (r *Replicator) abandon(ctx context.Context, c ledger.Copy, cause error) error {
	claimed, won, err := r.ledger.Change(ctx, ledger.Claim(ledger.Wanted{Key: c.Key, Name: c.Name, MediaType: c.MediaType, Size: c.Size, OperationID: c.OperationID, Existing: true}, r.o.Lease))
	if err != nil || !won {
		return err
	}
	e := asError(cause, c.Provider, providers.OpUpload)
	if errors.Is(cause, cas.ErrBlobNotFound) {
		e.Kind, e.Code, e.Message, e.Hint = providers.KindPermanent, providers.CodeBlobNotFound, "the blob no longer exists", "upload it to the gateway again"
	}
	failed, held, err := r.ledger.Change(ctx, ledger.Fail(c.Key, claimed.Fence, ledger.Failure{State: ledger.StateFailed, Error: e, Again: true}))
	if err == nil && held {
		r.reportSynced(failed, time.Now(), e)
	}
	return err
}

func (r *Replicator) runFlush(ctx context.Context) error {
	first, all := time.NewTicker(firstUseFlush), time.NewTicker(useFlush)
	defer first.Stop()
	defer all.Stop()
	isLogged := false // that it fails
	for {
		var err error
		select {
		case <-ctx.Done():
			// A last write, so that an orderly stop loses nothing.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
			defer cancel()
			if err := r.uses.flush(last, r.ledger); err != nil {
				r.log.Warn().Err(err).Msg("could not record when copies were last used")
			}
			return ctx.Err()
		case <-first.C:
			err = r.uses.flushFirst(ctx, r.ledger)
		case <-all.C:
			err = r.uses.flush(ctx, r.ledger)
			isLogged = false // so the log has it once a period
		}
		if err != nil && !isLogged && ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("could not record when copies were last used; trying again")
		}
		isLogged = err != nil
	}
}
