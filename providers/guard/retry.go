package guard

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"casgate/providers"
)

// RetryOptions says how often calls are tried. Zero means the default.
type RetryOptions struct {
	// Attempts is how often a call is made at most. Default 3.
	Attempts int
	// FirstWait is how long the wait before the second attempt is about, half as long
	// or half as long again; each one after it is twice as long. Default 500 ms.
	FirstWait time.Duration
	// MaxWait is the longest wait; where the provider asks for more, the error is
	// given back instead. Default 10 s.
	MaxWait time.Duration

	// retrying is told of each wait before an attempt. New sets it.
	retrying func(c *call, err error, wait time.Duration)
}

// Retrier makes calls again.
type Retrier struct {
	layer
	o RetryOptions
}

// Retry makes the calls to p again that failed with KindTransient, which means
// that nothing was done, and no others. It waits as long as the provider asks, else
// longer each time; where that is longer than MaxWait, or than the time left in the
// context, it gives the error back at once, so that the caller can tell its own.
// Where the context ends during a wait the error is the last attempt's, and wraps
// the context's.
//
// An upload is made again, and its content opened again, only where the answer says
// that the provider took nothing: 429, 503, or no connection. After another 5xx the
// file may be there nevertheless, so that the remote files must be looked through
// first. Nor is it made again where its content can't be read. A list is begun
// again only before its first file was handed out, Text and Download before their
// stream was.
func Retry(p providers.Provider, o RetryOptions) *Retrier {
	o.Attempts = cmp.Or(o.Attempts, 3)
	o.FirstWait = cmp.Or(o.FirstWait, 500*time.Millisecond)
	o.MaxWait = cmp.Or(o.MaxWait, 10*time.Second)
	r := &Retrier{o: o}
	r.layer = layer{next: p, around: r.try}
	return r
}

// try makes a call until it succeeds or there is no sense in going on.
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
			// A little later than asked, since all who were turned away were told the same.
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

// repeatable returns the error of a call that can be made again without harm, and
// whether it is one.
func repeatable(c *call, err error) (*providers.Error, bool) {
	e, ok := errors.AsType[*providers.Error](err)
	_, own := providers.GatewayFault(err)
	if !ok || e.Kind != providers.KindTransient || c.begun || own || isUnsent(err) {
		return nil, false
	}
	if c.op != providers.OpUpload {
		return e, true
	}
	tookNothing := e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable ||
		e.Status == 0 && e.Code == providers.CodeConnection
	return e, tookNothing
}

// interrupted is the error of a call whose context ended before it was made again.
func interrupted(ctx context.Context, last *providers.Error) error {
	e := *last
	e.Cause = errors.Join(ctx.Err(), last.Cause)
	return &e
}
