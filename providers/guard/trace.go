package guard

import (
	"context"

	"casgate/cas/tracing"
	"casgate/providers"
)

// Tracer makes a span of each attempt of a call, if its context has a span that is recorded.
type Tracer struct{ layer }

// Trace makes spans of the calls to p.
func Trace(p providers.Provider) *Tracer {
	name := p.Describe().Provider
	return &Tracer{layer{next: p, around: bracket(func(ctx context.Context, c *call) (func(error), error) {
		_, span := tracing.Call(ctx, name+" "+string(c.op))
		span.Set(tracing.Provider, name)
		span.Set(tracing.Purpose, c.purpose)
		if c.op == providers.OpUpload {
			span.SetInt(tracing.Size, c.size)
		}
		return func(err error) {
			if err != nil {
				span.Fail(outcome(err))
			}
			span.End()
		}, nil
	})}}
}
