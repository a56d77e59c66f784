package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"casgate/providers"
)

// CodeLimited is the code of an error for a call that was not made, since the account's
// limits left no slot for it in time.
const CodeLimited = providers.CodeLimited

// LimitOptions limits the calls of an account. For each number 0 means the default,
// and a negative number means unlimited.
type LimitOptions struct {
	// Concurrency is the maximum number of calls at once. Default: the description's.
	Concurrency int
	// Transfers is how many of them may be uploads, texts and downloads, which can take
	// minutes. The rest is reserved for short calls. At most Concurrency; default: three
	// quarters of it. If Concurrency is 1, a short call waits for the running transfer.
	Transfers int
	// PerMinute is the maximum number of calls that begin in a minute. Default: the
	// description's.
	PerMinute int

	// recheck is called when a call has its slot. If it returns an error, the call is not
	// made, and returns that error.
	recheck func(providers.Op) error
}

// Limiter keeps the calls of an account below its limits. It counts the calls of its
// own process only: several gateways share the limits of one account.
type Limiter struct {
	layer
	o LimitOptions
	// slots are the account's. A transfer first takes one of transfers, then a slot.
	slots, transfers *semaphore.Weighted
	tokens           *rate.Limiter
	// turn is held by the one transfer that waits for a token. So a short call waits for
	// at most one transfer in the queue for tokens.
	turn *semaphore.Weighted
}

// Limit makes the calls to p wait until the account's limits leave a slot for them.
//
// Waiting is fair: first come, first served, among transfers (uploads, texts,
// downloads) and among short calls (all others). A short call waits for at most one
// queued transfer. If a waiting call's context ends, or would end before its turn, the
// call fails with KindTransient and CodeLimited: nothing was sent.
//
// A call occupies its slot until it returns; Text and Download until their stream is
// closed; List until its loop ends. So the holder of a stream or of a list must not
// wait for another call of the account: with a concurrency of 1 it would wait forever.
// A list counts as one call per minute, since its number of pages is not visible.
func Limit(p providers.Provider, o LimitOptions) *Limiter {
	d := p.Describe()
	o.Concurrency = cmp.Or(o.Concurrency, d.Concurrency)
	o.PerMinute = cmp.Or(o.PerMinute, d.PerMinute)
	if o.Concurrency <= 0 {
		o.Concurrency = math.MaxInt
	}
	if o.Transfers == 0 {
		o.Transfers = max(1, o.Concurrency-max(1, o.Concurrency/4)) // 1 of 1, 1 of 2, 2 of 3, 3 of 4, 12 of 15
	}
	if o.Transfers < 0 || o.Transfers > o.Concurrency {
		o.Transfers = o.Concurrency
	}
	l := &Limiter{
		o:         o,
		slots:     semaphore.NewWeighted(int64(o.Concurrency)),
		transfers: semaphore.NewWeighted(int64(o.Transfers)),
		tokens:    rate.NewLimiter(rate.Inf, 0),
		turn:      semaphore.NewWeighted(1),
	}
	if o.PerMinute > 0 {
		l.tokens = minute(o.PerMinute)
	}
	l.layer = layer{next: p, around: bracket(l.begin)}
	return l
}

// minute returns a limiter that lets at most n calls begin in any minute. A tenth of
// them may begin at once. This burst is subtracted from the rate, since otherwise the
// first minute would allow n plus the burst.
func minute(n int) *rate.Limiter {
	burst := max(1, n/10)
	return rate.NewLimiter(rate.Limit(float64(n-burst+1)/60), burst)
}

// isTransfer reports whether a call may take minutes.
func isTransfer(op providers.Op) bool {
	return op == providers.OpUpload || op == providers.OpText || op == providers.OpDownload
}

// begin waits for the call's turn. It takes the slot before the token, so that a call
// begins as soon as it has its token.
func (l *Limiter) begin(ctx context.Context, c *call) (func(error), error) {
	if ctx.Err() != nil {
		return nil, l.gaveUp(ctx, c.op, "its context had ended")
	}
	transfer := isTransfer(c.op)
	if transfer {
		if err := l.transfers.Acquire(ctx, 1); err != nil {
			return nil, l.gaveUp(ctx, c.op, fmt.Sprintf("%d transfers were running, which is the maximum", l.o.Transfers))
		}
	}
	leave := func(error) {
		l.slots.Release(1)
		if transfer {
			l.transfers.Release(1)
		}
	}
	if err := l.slots.Acquire(ctx, 1); err != nil {
		if transfer {
			l.transfers.Release(1)
		}
		return nil, l.gaveUp(ctx, c.op, fmt.Sprintf("%d calls were running, which is the maximum for the account", l.o.Concurrency))
	}
	if err := l.takeToken(ctx, c.op, transfer); err != nil {
		leave(nil)
		return nil, err
	}
	if l.o.recheck != nil {
		if err := l.o.recheck(c.op); err != nil {
			leave(nil)
			return nil, err
		}
	}
	return leave, nil
}

// takeToken waits until another call may begin.
func (l *Limiter) takeToken(ctx context.Context, op providers.Op, transfer bool) error {
	if l.tokens.Limit() == rate.Inf {
		return nil
	}
	why := fmt.Sprintf("the account allows %d calls per minute", l.o.PerMinute)
	if transfer {
		if err := l.turn.Acquire(ctx, 1); err != nil {
			return l.gaveUp(ctx, op, why)
		}
		defer l.turn.Release(1)
	}
	if err := l.tokens.Wait(ctx); err != nil {
		return l.gaveUp(ctx, op, why)
	}
	return nil
}

// gaveUp is the error of a call that was not made. If the context has not ended, the
// wait for a token would be longer than the context's deadline.
func (l *Limiter) gaveUp(ctx context.Context, op providers.Op, why string) error {
	e := &providers.Error{
		Provider: l.Describe().Provider, Op: op, Kind: providers.KindTransient, Code: CodeLimited, TooMany: true,
		Message: "the call was not made: " + why, Hint: "try again with more time", Cause: ctx.Err(),
	}
	if e.Cause == nil {
		e.Cause = context.DeadlineExceeded
	}
	if errors.Is(e.Cause, context.DeadlineExceeded) && l.tokens.Limit() != rate.Inf {
		if missing := 1 - l.tokens.Tokens(); missing > 0 {
			e.RetryAfter = time.Duration(missing / float64(l.tokens.Limit()) * float64(time.Second))
		}
	}
	return e
}
