package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"casgate/providers"
)

// HoldOptions configures a Holder. Zero means the default.
type HoldOptions struct {
	// First is how long uploads are held back after a 429 without a wait of its own. Each
	// further one doubles the time. Default 1 s.
	First time.Duration
	// Longest is the longest such time. Default 1 minute.
	Longest time.Duration
	// Patience is how long an upload waits here. Default 5 s.
	Patience time.Duration
}

// Holder holds back the uploads of an account whose rate limit is reached.
type Holder struct {
	layer
	o HoldOptions

	mu      sync.Mutex
	since   time.Time // of the last refusal
	until   time.Time // no upload begins before
	refused int       // refusals in a row
	last    string    // message of the last refusal
	allowed bool      // the upload that tests the limit has not passed recheck yet
	// trial is held by the one upload that tests whether the limit is over.
	trial *semaphore.Weighted
}

// errHeldAgain is the error of recheck. It stays between a Limiter and its Holder.
var errHeldAgain = errors.New("another upload was refused during the wait for a slot")

// Hold makes uploads to p wait after a 429, since each refused upload may cost all its
// bytes. It waits as long as the provider asks, or otherwise longer each time. Then one
// upload at a time goes to the provider, until one isn't refused. If an upload would wait
// for more than Patience, it fails with KindTransient and CodeLimited: nothing was sent.
//
// A refusal of any other call because of the account's rate limit holds back uploads, too.
// Other calls are not held back.
func Hold(p providers.Provider, o HoldOptions) *Holder {
	o.First = cmp.Or(o.First, time.Second)
	o.Longest = cmp.Or(o.Longest, time.Minute)
	o.Patience = cmp.Or(o.Patience, 5*time.Second)
	h := &Holder{o: o, trial: semaphore.NewWeighted(1)}
	h.layer = layer{next: p, around: h.hold}
	return h
}

// hold is the around of the layer.
func (h *Holder) hold(ctx context.Context, c *call, do func() error) (func(error), error) {
	for {
		end, err := bracket(h.begin)(ctx, c, do)
		if !errors.Is(err, errHeldAgain) {
			return end, err
		}
	}
}

func (h *Holder) begin(ctx context.Context, c *call) (func(error), error) {
	if c.op == providers.OpUpload {
		if trial, err := h.admit(ctx); err != nil {
			return nil, err
		} else if trial {
			began := time.Now()
			return func(err error) {
				h.note(c, began, err)
				h.endTrial()
			}, nil
		}
	}
	began := time.Now()
	return func(err error) { h.note(c, began, err) }, nil
}

// admit waits until an upload may go to the provider. Trial: it is the one that tests
// whether the limit is over, and endTrial must be called after it.
func (h *Holder) admit(ctx context.Context) (trial bool, err error) {
	patient, cancel := context.WithTimeout(ctx, h.o.Patience)
	defer cancel()
	for {
		wait, free := h.left()
		if free {
			return false, nil
		}
		if wait > h.o.Patience {
			return false, h.heldBack(ctx)
		}
		if !pauseFor(patient, wait) || h.trial.Acquire(patient, 1) != nil {
			return false, h.heldBack(ctx)
		}
		if wait, free := h.left(); !free && wait == 0 {
			h.mu.Lock()
			h.allowed = true
			h.mu.Unlock()
			return true, nil
		}
		h.trial.Release(1) // the trial before this one has ended
	}
}

func (h *Holder) endTrial() {
	h.mu.Lock()
	h.allowed = false
	h.mu.Unlock()
	h.trial.Release(1)
}

// recheck returns errHeldAgain for an upload that has got its slot, but must not be sent:
// another one was refused while it waited for the slot.
func (h *Holder) recheck(op providers.Op) error {
	if op != providers.OpUpload {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused > 0 && !h.allowed {
		return errHeldAgain
	}
	h.allowed = false
	return nil
}

// left returns how long uploads are still held back. Free means that the last upload was
// not refused.
func (h *Holder) left() (wait time.Duration, free bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(time.Until(h.until), 0), h.refused == 0
}

// note records the outcome of a call. Calls that were refused at the same time count once.
func (h *Holder) note(c *call, began time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, classified := errors.AsType[*providers.Error](err)
	switch {
	case classified && isRefusal(c, e):
		now := time.Now()
		if h.refused == 0 || began.After(h.since) {
			h.refused++
		}
		wait := e.RetryAfter
		if wait == 0 {
			wait = min(h.o.First<<min(h.refused-1, 16), h.o.Longest)
		}
		h.since, h.last = now, e.Message
		if until := now.Add(wait); until.After(h.until) {
			h.until = until
		}
	case c.op == providers.OpUpload && began.After(h.since) && answeredUpload(err, e):
		h.refused, h.until = 0, time.Time{}
	}
}

// isRefusal reports whether a call was refused because of a rate limit or an overload.
func isRefusal(c *call, e *providers.Error) bool {
	if e.Kind != providers.KindTransient || isUnsent(e) {
		return false
	}
	return e.TooMany || c.op == providers.OpUpload && e.Status == http.StatusTooManyRequests
}

// answeredUpload reports whether the provider dealt with an upload: it took it, or refused
// it for another reason than the rate.
func answeredUpload(err error, e *providers.Error) bool {
	if err == nil {
		return true
	}
	return e != nil && e.Status > 0 && e.Status < 500 && e.Kind != providers.KindUnknown
}

// heldBack is the error of an upload that was not made.
func (h *Holder) heldBack(ctx context.Context) error {
	wait, _ := h.left()
	h.mu.Lock()
	defer h.mu.Unlock()
	return &providers.Error{
		Provider: h.Describe().Provider, Op: providers.OpUpload, Kind: providers.KindTransient, Code: CodeLimited, TooMany: true,
		Message:    fmt.Sprintf("the upload was not sent, since the provider has just refused another one: %s", h.last),
		RetryAfter: max(wait, h.o.First), Hint: "it is tried again later", Cause: ctx.Err(),
	}
}

// pauseFor waits. It reports false if the context ended first.
func pauseFor(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
