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

// WatchOptions says how a provider is watched. Zero means the default.
type WatchOptions struct {
	// Every is about how often a provider is asked to which no call went well
	// meanwhile. Default 60 s.
	Every time.Duration
	// Timeout bounds a check; one that takes longer is the provider's fault. Default
	// 30 s.
	Timeout time.Duration
}

// Watcher knows how a provider fares, from the calls that go through it and from
// checks in the background.
type Watcher struct {
	layer
	breaker *Breaker
	o       WatchOptions
	purpose string        // to be listed by a check
	failed  chan struct{} // the breaker may have opened

	mu        sync.Mutex
	last      time.Time        // when the provider last answered or failed to
	succeeded time.Time        // when a call last went well
	lastError *providers.Error // see Health
	refused   bool             // lastError is that the credential isn't taken
}

// Watch watches the provider behind a breaker. Run asks it in the background.
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

// Health returns how the provider fares. It is not available while the breaker is
// open, and while it doesn't take our credential: from when it said so until a call
// goes well. In the latter case calls are let through all the same, since the
// account may be mended at any time.
func (w *Watcher) Health() providers.Health {
	h := providers.Health{Breaker: w.breaker.State(), RetryAfter: w.breaker.RetryAfter()}
	w.mu.Lock()
	defer w.mu.Unlock()
	h.Available = h.Breaker != providers.BreakerOpen && !w.refused
	h.LastCheck, h.LastError = w.last, w.lastError
	return h
}

// begin notes what comes of the calls that go through.
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
		default: // Run will look anyway
		}
	case isRefused(c, err):
		w.lastError, w.refused = asError(w.Describe().Provider, c.op, err), true
	case !w.refused:
		w.lastError = nil // the provider works, whatever it thought of the call
	}
}

// isRefused reports whether the provider doesn't take our credential at all. One
// that may not delete, say, gets 403 for that, and still serves for the rest; but
// one that may not list, which is what checks do, serves for nothing.
func isRefused(c *call, err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Kind == providers.KindAuth && (e.Status != http.StatusForbidden || c.op == providers.OpList)
}

// Run checks the provider, by the first file of a list, at once, then whenever no
// call has gone well for a while, and as soon as the breaker goes half-open, so that
// it closes without anybody's call. A breaker that is open is left in peace. The
// checks are calls to through, which is this Watcher or a decorator around it. Run
// returns when the context is done, with its error.
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
			every = w.o.Every*9/10 + rand.N(w.o.Every/5+1) // so that gateways don't ask all at once
			wait = w.untilCheck(asked, every)
		}
		timer.Reset(wait)
	}
}

// untilCheck returns how long it is to the next check, the last having begun when
// asked says.
func (w *Watcher) untilCheck(asked time.Time, every time.Duration) time.Duration {
	switch w.breaker.State() {
	case providers.BreakerOpen:
		return w.breaker.RetryAfter()
	case providers.BreakerHalfOpen:
		// Where the check wasn't let through, another call is finding out.
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

// check makes one call, of which the decorators take note.
func (w *Watcher) check(ctx context.Context, through providers.Provider) {
	ctx, cancel := context.WithTimeoutCause(ctx, w.o.Timeout, errCheckTimeout)
	defer cancel()
	through.List(ctx, w.purpose)(func(providers.RemoteFile, error) bool { return false })
}
