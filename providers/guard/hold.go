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
	// First is how long calls are held back after a 429 without a wait of its own. Each
	// further one doubles the time. Default 1 s.
	First time.Duration
	// Longest is the longest such time. Default 1 minute.
	Longest time.Duration
	// Patience is how long an upload waits here. Default 5 s.
	Patience time.Duration
	// DeletePatience is how long a delete waits here. Default 1 s.
	DeletePatience time.Duration
}

// Holder holds back the uploads and the deletes of an account whose rate limit is
// reached.
type Holder struct {
	layer
	o HoldOptions
	// lanes are the kinds of calls that are held back. Each has a hold of its own: a
	// refused upload does not prevent a delete that makes room for it.
	lanes map[providers.Op]*lane
}

// lane is the hold of one kind of calls.
type lane struct {
	patience time.Duration

	mu      sync.Mutex
	since   time.Time // of the last refusal
	until   time.Time // no call begins before
	refused int       // refusals in a row
	last    string    // message of the last refusal
	allowed bool      // the call that tests the limit has not passed recheck yet
	// trial is held by the one call that tests whether the limit is over.
	trial *semaphore.Weighted
}

// errHeldAgain is the error of recheck. It stays between a Limiter and its Holder.
var errHeldAgain = errors.New("another call was refused during the wait for a slot")

// Hold makes uploads to p wait after a 429, since each refused upload may cost all its
// bytes. It waits as long as the provider asks, or otherwise longer each time. Then one
// upload at a time goes to the provider, until one isn't refused. If an upload would wait
// for more than Patience, it fails with KindTransient and CodeLimited: nothing was sent.
//
// A refusal of any other call because of the account's rate limit holds back uploads, too.
// Deletes are held back in the same way after a delete was refused. All other calls are
// not held back.
func Hold(p providers.Provider, o HoldOptions) *Holder {
	o.First = cmp.Or(o.First, time.Second)
	o.Longest = cmp.Or(o.Longest, time.Minute)
	o.Patience = cmp.Or(o.Patience, 5*time.Second)
	o.DeletePatience = cmp.Or(o.DeletePatience, time.Second)
	h := &Holder{o: o, lanes: map[providers.Op]*lane{
		providers.OpUpload: {patience: o.Patience, trial: semaphore.NewWeighted(1)},
		providers.OpDelete: {patience: o.DeletePatience, trial: semaphore.NewWeighted(1)},
	}}
	h.layer = layer{next: p, around: h.hold}
	return h
}

// HeldUntil returns the time before which no upload is sent; zero: uploads are sent.
func (h *Holder) HeldUntil() time.Time {
	l := h.lanes[providers.OpUpload]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused == 0 || !l.until.After(time.Now()) {
		return time.Time{}
	}
	return l.until
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
	l, trial := h.lanes[c.op], false
	if l != nil {
		var admitted bool
		if trial, admitted = l.admit(ctx); !admitted {
			return nil, h.heldBack(ctx, c.op)
		}
	}
	began := time.Now()
	return func(err error) {
		for op, l := range h.lanes {
			l.note(h.o, outcomeFor(op, c, err), began)
		}
		if trial {
			l.endTrial()
		}
	}, nil
}

// admit waits until a call may go to the provider. It reports false if that would take
// too long. Trial: it is the call that tests whether the limit is over, and endTrial must
// be called after it.
func (l *lane) admit(ctx context.Context) (trial, admitted bool) {
	patient, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	for {
		wait, free := l.left()
		if free {
			return false, true
		}
		if wait > l.patience {
			return false, false
		}
		if !pauseFor(patient, wait) || l.trial.Acquire(patient, 1) != nil {
			return false, false
		}
		if wait, free := l.left(); !free && wait == 0 {
			l.mu.Lock()
			l.allowed = true
			l.mu.Unlock()
			return true, true
		}
		l.trial.Release(1) // the trial before this one has ended
	}
}

func (l *lane) endTrial() {
	l.mu.Lock()
	l.allowed = false
	l.mu.Unlock()
	l.trial.Release(1)
}

// recheck returns errHeldAgain for a call that has got its slot, but must not be sent:
// another one was refused while it waited for the slot.
func (h *Holder) recheck(op providers.Op) error {
	l := h.lanes[op]
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused > 0 && !l.allowed {
		return errHeldAgain
	}
	l.allowed = false
	return nil
}

// left returns how long calls are still held back. Free means that the last one was not
// refused.
func (l *lane) left() (wait time.Duration, free bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(time.Until(l.until), 0), l.refused == 0
}

// holdOutcome is what the outcome of a call says to a lane: a refusal, an answer, or
// neither.
type holdOutcome struct {
	refusal  *providers.Error
	answered bool
}

// outcomeFor returns what the outcome of a call says to the lane of an op.
func outcomeFor(op providers.Op, c *call, err error) holdOutcome {
	e, classified := errors.AsType[*providers.Error](err)
	switch {
	case classified && isRefusal(op, c, e):
		return holdOutcome{refusal: e}
	case c.op == op:
		return holdOutcome{answered: isAnswered(err, e)}
	}
	return holdOutcome{}
}

// note records the outcome of a call. Calls that were refused at the same time count once.
func (l *lane) note(o HoldOptions, out holdOutcome, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case out.refusal != nil:
		now := time.Now()
		if l.refused == 0 || began.After(l.since) {
			l.refused++
		}
		wait := out.refusal.RetryAfter
		if wait == 0 {
			wait = min(o.First<<min(l.refused-1, 16), o.Longest)
		}
		l.since, l.last = now, out.refusal.Message
		if until := now.Add(wait); until.After(l.until) {
			l.until = until
		}
	case out.answered && began.After(l.since):
		l.refused, l.until = 0, time.Time{}
	}
}

// isRefusal reports whether a call was refused because of a rate limit or an overload,
// so that calls of an op must wait. A delete may also be refused because of a quota.
func isRefusal(op providers.Op, c *call, e *providers.Error) bool {
	refused := e.Kind == providers.KindTransient && !isUnsent(e)
	if op == providers.OpDelete {
		limited := e.TooMany || e.Status == http.StatusTooManyRequests
		return c.op == op && (refused && limited || e.Kind == providers.KindQuota)
	}
	return refused && (e.TooMany || c.op == op && e.Status == http.StatusTooManyRequests)
}

// isAnswered reports whether the provider dealt with a call: it did it, or refused it for
// another reason than the rate.
func isAnswered(err error, e *providers.Error) bool {
	if err == nil {
		return true
	}
	return e != nil && e.Status > 0 && e.Status < 500 && e.Kind != providers.KindUnknown
}

// heldBack is the error of a call that was not made.
func (h *Holder) heldBack(ctx context.Context, op providers.Op) error {
	l := h.lanes[op]
	wait, _ := l.left()
	l.mu.Lock()
	defer l.mu.Unlock()
	return &providers.Error{
		Provider: h.Describe().Provider, Op: op, Kind: providers.KindTransient, Code: CodeLimited, TooMany: true,
		Message:    fmt.Sprintf("the %s was not sent, since the provider has just refused another one: %s", op, l.last),
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
