package guard

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"casgate/providers"
)

// WatchOptions configures a Watcher. Zero means the default.
type WatchOptions struct {
	// Every is the interval between two checks if no call succeeds meanwhile. Default
	// 60 s.
	Every time.Duration
	// Timeout limits a check; a longer one is the provider's fault. Default 30 s.
	Timeout time.Duration
}

// Watcher knows a provider's health from the calls that pass it and from checks in the
// background.
type Watcher struct {
	layer
	breaker *Breaker
	o       WatchOptions
	purpose string        // that a check lists
	failed  chan struct{} // a value means that the breaker may have opened

	mu        sync.Mutex
	last      time.Time        // when the provider last answered or failed
	succeeded time.Time        // when a call last succeeded
	lastError *providers.Error // see Health
	refused   bool             // lastError says that the provider refuses the credential
}

// Watch watches the provider behind a breaker. Run checks it in the background.
func Watch(b *Breaker, o WatchOptions) *Watcher {
	o.Every = cmp.Or(o.Every, time.Minute)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	w := &Watcher{breaker: b, o: o, failed: make(chan struct{}, 1)}
	for _, p := range b.Describe().Purposes {
		if !p.Unlisted {
			w.purpose = p.Name
			break
		}
	}
	w.layer = layer{next: b, around: bracket(w.begin)}
	return w
}

// Health returns the provider's health. The provider is not available while the
// breaker is open, and from a refusal of the credential until the next successful
// call. After a refusal calls are still let through, since the account may be repaired
// at any time.
func (w *Watcher) Health() providers.Health {
	h := providers.Health{Breaker: w.breaker.State(), RetryAfter: w.breaker.RetryAfter()}
	w.mu.Lock()
	defer w.mu.Unlock()
	h.Available = h.Breaker != providers.BreakerOpen && !w.refused
	h.LastCheck, h.LastError = w.last, w.lastError
	return h
}

// begin records the outcome of the calls that pass.
func (w *Watcher) begin(ctx context.Context, c *call) (func(error), error) {
	return func(err error) {
		if signal := classify(ctx, c, err); signal != noSignal {
			w.note(c, signal, err)
		}
	}, nil
}

func (w *Watcher) note(c *call, signal healthSignal, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = time.Now()
	switch {
	case err == nil:
		w.succeeded, w.lastError, w.refused = w.last, nil, false
	case signal == fault:
		w.lastError = asError(w.Describe().Provider, c.op, err)
		select {
		case w.failed <- struct{}{}:
		default: // Run has a signal already
		}
	case isRefused(c, err):
		w.lastError, w.refused = asError(w.Describe().Provider, c.op, err), true
	case !w.refused:
		w.lastError = nil // the provider works, even if it refused the call
	}
}

// isRefused reports whether the provider refuses the credential entirely. A credential
// without the permission to delete, for example, gets 403 for a delete only. Without
// the permission to list it counts as refused, since checks list.
func isRefused(c *call, err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Kind == providers.KindAuth && (e.Status != http.StatusForbidden || c.op == providers.OpList)
}

// Run checks the provider by requesting the first file of a list: at once, whenever no
// call succeeded for a while, and as soon as the breaker is half-open, so that it closes
// without a caller. It makes no check while the breaker is open. The checks call
// through, which is this Watcher or a decorator around it. Run returns the context's
// error when the context is done.
func (w *Watcher) Run(ctx context.Context, through providers.Provider) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var asked time.Time
	every := w.o.Every
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.failed:
		case <-timer.C:
		}
		wait := w.untilCheck(asked, every)
		if wait <= 0 {
			asked = time.Now()
			w.check(ctx, through)
			every = w.o.Every*9/10 + rand.N(w.o.Every/5+1) // so that not all gateways check at once
			wait = w.untilCheck(asked, every)
		}
		timer.Reset(wait)
	}
}

// untilCheck returns the time until the next check. The last one began at asked.
func (w *Watcher) untilCheck(asked time.Time, every time.Duration) time.Duration {
	switch w.breaker.State() {
	case providers.BreakerOpen:
		return w.breaker.RetryAfter()
	case providers.BreakerHalfOpen:
		// If the breaker refused the check, another call is testing the provider.
		return time.Until(asked.Add(probeWait))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	latest := asked
	if w.succeeded.After(latest) {
		latest = w.succeeded
	}
	return time.Until(latest.Add(every))
}

// check makes one call. The decorators record its outcome.
func (w *Watcher) check(ctx context.Context, through providers.Provider) {
	ctx, cancel := context.WithTimeoutCause(ctx, w.o.Timeout, errCheckTimeout)
	defer cancel()
	through.List(ctx, w.purpose)(func(providers.RemoteFile, error) bool { return false })
}
