package guard

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"casgate/providers"
)

// RetryOptions configures a Retrier. Zero means the default.
type RetryOptions struct {
	// Attempts is the maximum number of attempts of a call. Default 3.
	Attempts int
	// FirstWait is the average wait before the second attempt; jitter changes it by up to
	// half. Each further wait is twice as long. Default 500 ms.
	FirstWait time.Duration
	// MaxWait is the longest wait. If the provider asks for a longer one, the call fails
	// with the provider's error. Default 10 s.
	MaxWait time.Duration

	// retrying is called before each wait. New sets it.
	retrying func(c *call, err error, wait time.Duration)
}

// Retrier repeats failed calls.
type Retrier struct {
	layer
	o RetryOptions
}

// Retry repeats the calls to p that failed with KindTransient, which means that
// nothing was done. It waits as long as the provider asks, or otherwise longer each
// time. If the wait is longer than MaxWait, or than the time left in the context, it
// returns the error at once. If the context ends during a wait, the error is the last
// attempt's and wraps the context's.
//
// An upload is never repeated, since each attempt may cost all its bytes: package
// replicator decides when to send them again. A list is repeated only before its first
// file, and Text and Download only before their stream.
func Retry(p providers.Provider, o RetryOptions) *Retrier {
	o.Attempts = cmp.Or(o.Attempts, 3)
	o.FirstWait = cmp.Or(o.FirstWait, 500*time.Millisecond)
	o.MaxWait = cmp.Or(o.MaxWait, 10*time.Second)
	r := &Retrier{o: o}
	r.layer = layer{next: p, around: r.try}
	return r
}

// try repeats a call until it succeeds or another attempt is useless.
func (r *Retrier) try(ctx context.Context, c *call, do func() error) (func(error), error) {
	pace := backoff.ExponentialBackOff{
		InitialInterval: r.o.FirstWait, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: r.o.MaxWait,
	}
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil {
			return nil, nil
		}
		e, ok := repeatable(c, err)
		if !ok || attempt >= r.o.Attempts || ctx.Err() != nil || e.RetryAfter > r.o.MaxWait {
			return nil, err
		}
		wait := min(pace.NextBackOff(), r.o.MaxWait)
		if e.RetryAfter > 0 {
			// A little later than asked: all refused callers got the same time.
			wait = e.RetryAfter + rand.N(e.RetryAfter/8+1)
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return nil, err
		}
		if r.o.retrying != nil {
			r.o.retrying(c, err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, interrupted(ctx, e)
		}
	}
}

// repeatable returns the *providers.Error in err, and whether the call is safe to
// repeat.
func repeatable(c *call, err error) (*providers.Error, bool) {
	e, ok := errors.AsType[*providers.Error](err)
	_, own := providers.GatewayFault(err)
	if !ok || e.Kind != providers.KindTransient || c.op == providers.OpUpload || c.begun || own || isUnsent(err) {
		return nil, false
	}
	return e, true
}

// interrupted is the error of a call whose context ended before the next attempt.
func interrupted(ctx context.Context, last *providers.Error) error {
	e := *last
	e.Cause = errors.Join(ctx.Err(), last.Cause)
	return &e
}
