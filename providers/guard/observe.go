package guard

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/providers"
)

// ObserveOptions says where calls are counted and logged.
type ObserveOptions struct {
	// Registry gets the metrics; several Observers may share it. Nil: nobody reads
	// them.
	Registry prometheus.Registerer
	Log      zerolog.Logger
}

// Observer counts, times and logs calls.
type Observer struct {
	layer
	provider string
	metrics  *metrics
	log      zerolog.Logger
}

// Observe counts, times and logs the calls to p. What it sees of a call includes
// what the decorators in p do: waits, repetitions, refusals.
//
// Each call is one line when it is over: at info for those that change something
// (upload, delete), else at debug, and at warn where it failed. A call that an open
// breaker didn't let through is at debug, since it is no news: the breaker's opening
// was logged.
func Observe(p providers.Provider, o ObserveOptions) *Observer {
	x := newObserver(p.Describe().Provider, o)
	x.next = p
	return x
}

// newObserver makes an Observer whose next provider is still to be set.
func newObserver(provider string, o ObserveOptions) *Observer {
	x := &Observer{provider: provider, metrics: newMetrics(o.Registry), log: o.Log.With().Str("provider", provider).Logger()}
	x.around = bracket(x.begin)
	return x
}

func (x *Observer) begin(_ context.Context, c *call) (func(error), error) {
	start := time.Now()
	running := x.metrics.running.WithLabelValues(x.provider, string(c.op))
	running.Inc()
	return func(err error) {
		running.Dec()
		took := time.Since(start)
		x.metrics.observe(x.provider, c, took, err)
		x.report(c, took, err)
	}, nil
}

// report logs a call that is over.
func (x *Observer) report(c *call, took time.Duration, err error) {
	level := zerolog.DebugLevel
	switch {
	case err != nil && isUnavailable(err):
	case err != nil:
		level = zerolog.WarnLevel
	case c.op == providers.OpUpload || c.op == providers.OpDelete:
		level = zerolog.InfoLevel
	}
	event := x.log.WithLevel(level)
	if event == nil {
		return
	}
	event = event.Str("op", string(c.op)).Str("outcome", outcome(err)).Int64("took_us", took.Microseconds())
	if c.purpose != "" {
		event = event.Str("purpose", c.purpose)
	}
	if c.id != "" {
		event = event.Str("file", c.id)
	}
	if c.op == providers.OpUpload {
		event = event.Int64("size", c.size)
	}
	if err != nil {
		event = event.Interface("error", asError(x.provider, c.op, err))
	}
	event.Msg("provider call")
}

// retrying notes that a call is going to be made again.
func (x *Observer) retrying(c *call, err error, wait time.Duration) {
	x.metrics.retries.WithLabelValues(x.provider, string(c.op)).Inc()
	x.log.Debug().Str("op", string(c.op)).Int64("wait_us", wait.Microseconds()).
		Interface("error", asError(x.provider, c.op, err)).Msg("provider call failed and will be made again")
}

// breakerMade notes that there is a breaker, which is closed.
func (x *Observer) breakerMade() {
	x.metrics.breakers.WithLabelValues(x.provider, providers.BreakerClosed).Inc()
}

// breakerChanged notes that the breaker has gone from one state to another.
func (x *Observer) breakerChanged(from, to string, last *providers.Error) {
	x.metrics.breakers.WithLabelValues(x.provider, from).Dec()
	x.metrics.breakers.WithLabelValues(x.provider, to).Inc()
	switch to {
	case providers.BreakerOpen:
		x.log.Warn().Interface("error", last).Msg("the provider fails and is left alone for a while")
	case providers.BreakerHalfOpen:
		x.log.Debug().Msg("the provider is tried again")
	case providers.BreakerClosed:
		x.log.Info().Msg("the provider works again")
	}
}
