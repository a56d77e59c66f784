package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"casgate/providers"
)

// BreakOptions configures a Breaker. Zero means the default.
type BreakOptions struct {
	// Faults is the number of consecutive faults that opens the breaker. Default 5.
	Faults int
	// OpenFor is how long the open breaker refuses all calls. Default 10 s.
	OpenFor time.Duration

	// changed is called at each change of state, while the breaker is locked. New sets
	// it.
	changed func(from, to string, last *providers.Error)
}

// probeWait is the wait for callers that come while one call tests whether the
// provider works again.
const probeWait = time.Second

// Breaker is a circuit breaker.
type Breaker struct {
	layer
	o       BreakOptions
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu    sync.Mutex
	since time.Time // when it opened, having been closed
	until time.Time // when it goes half-open
	last  *providers.Error
}

// Break refuses calls for a while after the provider failed several times in a row.
// Then it lets one call of any kind but deletes through as a test. If that call succeeds, the
// breaker closes; otherwise it stays open for the same time again. A refused call
// fails at once with KindTransient, CodeUnavailable, and the time to wait.
//
// Only the provider's own faults count: 5xx, time-outs, failed connections and answers
// that make no sense, of KindTransient or KindUnknown. A refusal (4xx, also 429) counts
// as a success. A call that ends with the caller's context, or by the gateway's own
// fault, doesn't count. Nor does a failed delete: a provider that can't delete still takes
// uploads, and deletes are repeated for hours. So a delete is no test either, and passes
// beside it. A call counts when it ends; a stream when it is closed.
func Break(p providers.Provider, o BreakOptions) *Breaker {
	o.Faults = cmp.Or(o.Faults, 5)
	o.OpenFor = cmp.Or(o.OpenFor, 10*time.Second)
	b := &Breaker{o: o}
	b.layer = layer{next: p, around: bracket(b.begin)}
	b.circuit = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		// gobreaker is still open at exactly the end of its time-out, when the refused
		// callers return.
		Timeout:       o.OpenFor - time.Nanosecond,
		ReadyToTrip:   func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= uint32(o.Faults) },
		IsExcluded:    func(err error) bool { return errors.Is(err, errNoSignal) },
		OnStateChange: b.onStateChange,
	})
	return b
}

// The outcomes of a call for gobreaker; nil means that the provider answered.
var (
	errNoSignal = errors.New("no signal")
	errFault    = errors.New("fault")
)

func (b *Breaker) begin(ctx context.Context, c *call) (func(error), error) {
	if c.op == providers.OpDelete && b.circuit.State() == gobreaker.StateHalfOpen {
		return func(error) {}, nil // it is no test, and takes no other call's turn
	}
	done, err := b.circuit.Allow()
	if err != nil {
		return nil, b.refusal(c.op, err)
	}
	return func(err error) {
		signal := classify(ctx, c, err)
		if signal == fault && c.op == providers.OpDelete {
			signal = noSignal
		}
		switch signal {
		case answered:
			done(nil)
		case noSignal:
			done(errNoSignal)
		case fault:
			b.mu.Lock()
			b.last = asError(b.Describe().Provider, c.op, err)
			b.mu.Unlock()
			done(errFault)
		}
	}, nil
}

// State returns providers.BreakerClosed, BreakerOpen or BreakerHalfOpen.
func (b *Breaker) State() string { return stateName(b.circuit.State()) }

// RetryAfter returns how long the breaker still refuses calls; 0 if it doesn't.
func (b *Breaker) RetryAfter() time.Duration {
	if b.circuit.State() != gobreaker.StateOpen {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(time.Until(b.until), 0)
}

func (b *Breaker) onStateChange(_ string, from, to gobreaker.State) {
	b.mu.Lock()
	if to == gobreaker.StateOpen {
		now := time.Now()
		b.until = now.Add(b.o.OpenFor)
		if from == gobreaker.StateClosed {
			b.since = now
		}
	}
	last := b.last
	b.mu.Unlock()
	if b.o.changed != nil {
		b.o.changed(stateName(from), stateName(to), last)
	}
}

// refusal is the error of a refused call.
func (b *Breaker) refusal(op providers.Op, why error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := max(time.Until(b.until), time.Millisecond)
	hint := fmt.Sprintf("try again in %v", wait.Round(time.Millisecond))
	if errors.Is(why, gobreaker.ErrTooManyRequests) {
		wait = probeWait
		hint = "another call is testing whether the provider works again; try again in a moment"
	}
	return &providers.Error{
		Provider: b.Describe().Provider, Op: op, Kind: providers.KindTransient, Code: providers.CodeUnavailable,
		Message:    fmt.Sprintf("the provider has failed since %s, so calls to it stop for a while; the last error was: %v", b.since.UTC().Format(time.RFC3339), b.last),
		RetryAfter: wait, Hint: hint,
	}
}

func stateName(s gobreaker.State) string {
	switch s {
	case gobreaker.StateOpen:
		return providers.BreakerOpen
	case gobreaker.StateHalfOpen:
		return providers.BreakerHalfOpen
	}
	return providers.BreakerClosed
}
