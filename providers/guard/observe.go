package guard

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/providers"
)

// ObserveOptions sets the registry and the log of an Observer.
type ObserveOptions struct {
	// Registry gets the metrics. Several Observers may share one. Optional.
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

// Observe counts, times and logs the calls to p. A call includes the work of the
// decorators in p: waits, retries, refusals.
//
// Each call writes one log line at its end: at level warn if it failed, at info if it
// changed something (upload, delete), and otherwise at debug. A call that an open
// breaker refused is at debug, since the opening of the breaker was logged.
func Observe(p providers.Provider, o ObserveOptions) *Observer {
	x := newObserver(p.Describe().Provider, o)
	x.next = p
	return x
}

// newObserver makes an Observer. The caller sets its next provider.
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

// report logs a call that has ended.
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

// retrying counts and logs a retry.
func (x *Observer) retrying(c *call, err error, wait time.Duration) {
	x.metrics.retries.WithLabelValues(x.provider, string(c.op)).Inc()
	x.log.Debug().Str("op", string(c.op)).Int64("wait_us", wait.Microseconds()).
		Interface("error", asError(x.provider, c.op, err)).Msg("provider call failed and will be made again")
}

// breakerMade counts a new breaker, which is closed.
func (x *Observer) breakerMade() {
	x.metrics.breakers.WithLabelValues(x.provider, providers.BreakerClosed).Inc()
}

// breakerChanged counts and logs a breaker's change of state.
func (x *Observer) breakerChanged(from, to string, last *providers.Error) {
	x.metrics.breakers.WithLabelValues(x.provider, from).Dec()
	x.metrics.breakers.WithLabelValues(x.provider, to).Inc()
	switch to {
	case providers.BreakerOpen:
		x.log.Warn().Interface("error", last).Msg("the provider fails; calls to it stop for a while")
	case providers.BreakerHalfOpen:
		x.log.Debug().Msg("the provider is tried again")
	case providers.BreakerClosed:
		x.log.Info().Msg("the provider works again")
	}
}
