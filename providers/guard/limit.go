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

// CodeLimited is the code of the error of a call that was not made because the
// account's limits, as the gateway keeps them, left no room for it in time.
const CodeLimited = "limited"

// LimitOptions bounds the calls of an account. For each number 0 means the
// default, and a negative one no bound.
type LimitOptions struct {
	// Concurrency is how many calls there are at once. Default: the description's.
	Concurrency int
	// Transfers is how many of those may be uploads, texts and downloads, which can
	// take minutes; the rest is kept for the others, which are short. At most
	// Concurrency. Default: three quarters of it; where it is 1 there is nothing to
	// keep back, and a short call waits for the transfer under way.
	Transfers int
	// PerMinute is how many calls begin in a minute. Default: the description's.
	PerMinute int
}

// Limiter keeps the calls of an account below its limits. It bounds those of its
// own process: several gateways on one account share what the provider grants.
type Limiter struct {
	layer
	o LimitOptions
	// slots are the account's; a transfer needs one of transfers before it.
	slots, transfers *semaphore.Weighted
	tokens           *rate.Limiter
	// turn is held by the one transfer that waits for a token, so that a short call
	// finds at most that one before it in the queue for tokens, not all of them.
	turn *semaphore.Weighted
}

// Limit makes the calls to p wait until the account's limits leave room for them.
//
// Waiting is fair: first come, first served, among transfers (uploads, texts,
// downloads) and among short calls (all others). However many transfers queue, a
// short call waits for at most one of them. Who waits and whose context ends, or
// will have ended before it is its turn, gets an error of KindTransient with
// CodeLimited: nothing was sent.
//
// A call's place is taken until it returns; that of Text and Download until their
// stream is closed, that of List until its loop is left. So whoever holds a stream
// or is in a loop over a list must not wait for another call of the account
// meanwhile: with a concurrency of 1 that would never come. A list counts as one
// call in a minute, since how many pages it takes doesn't show from outside.
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

// minute returns a limiter that lets no more than n calls begin in any minute, of
// which a tenth may come at once. What may come at once is taken off the rate: a
// bucket that is full at the start would else let both through in the first minute.
func minute(n int) *rate.Limiter {
	burst := max(1, n/10)
	return rate.NewLimiter(rate.Limit(float64(n-burst+1)/60), burst)
}

// isTransfer reports whether a call may take minutes.
func isTransfer(op providers.Op) bool {
	return op == providers.OpUpload || op == providers.OpText || op == providers.OpDownload
}

// begin waits for the call's turn. The slot comes before the token, so that calls
// begin when their tokens say.
func (l *Limiter) begin(ctx context.Context, c *call) (func(error), error) {
	if ctx.Err() != nil {
		return nil, l.gaveUp(ctx, c.op, "its time was over")
	}
	transfer := isTransfer(c.op)
	if transfer {
		if err := l.transfers.Acquire(ctx, 1); err != nil {
			return nil, l.gaveUp(ctx, c.op, fmt.Sprintf("%d transfers were under way, which is all that may be at once", l.o.Transfers))
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
		return nil, l.gaveUp(ctx, c.op, fmt.Sprintf("%d calls were under way, which is all that the account stands", l.o.Concurrency))
	}
	if err := l.takeToken(ctx, c.op, transfer); err != nil {
		leave(nil)
		return nil, err
	}
	return leave, nil
}

// takeToken waits until another call may begin in this minute.
func (l *Limiter) takeToken(ctx context.Context, op providers.Op, transfer bool) error {
	if l.tokens.Limit() == rate.Inf {
		return nil
	}
	why := fmt.Sprintf("the account stands %d calls a minute", l.o.PerMinute)
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

// gaveUp is the error of a call that was not made. Where the context hasn't ended
// it is that the wait for a token would outlast it.
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
