package tracing_test

import (
	"context"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"casgate/cas/tracing"
)

// Without a span that is recorded, nothing is made, and no memory is used.
func TestOff(t *testing.T) {
	ctx := context.Background()
	unsampled := sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample()))
	for name, ctx := range map[string]context.Context{
		"without traces": ctx,
		"not sampled":    func() context.Context { c, _ := unsampled.Tracer("").Start(ctx, "request"); return c }(),
	} {
		if used := testing.AllocsPerRun(100, func() {
			below, span := tracing.Call(ctx, "work")
			span.Set(tracing.Provider, "kimi")
			span.SetInt(tracing.Size, 1)
			span.Fail("unavailable")
			span.End()
			if tracing.Below(ctx, below) != ctx || tracing.ID(ctx) != "" {
				t.Errorf("%s: a span is there", name)
			}
		}); used != 0 {
			t.Errorf("%s: %v allocations", name, used)
		}
	}
	if got, _ := tracing.Background(ctx, nil, "work", trace.SpanContext{}); got != ctx {
		t.Error("work in the background has a span without traces")
	}
}

// A failed span has a word for the reason. Work in the background has a trace of its own,
// with a link.
func TestSpans(t *testing.T) {
	recorded := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorded))
	request, root := provider.Tracer("").Start(t.Context(), "request")
	work, span := tracing.Start(request, "work")
	span.Set(tracing.Provider, "")
	span.Fail("unavailable")
	span.End()
	_, other := tracing.Background(work, provider, "later", trace.SpanContextFromContext(request))
	other.End()
	root.End()
	ended := recorded.Ended()
	if len(ended) != 3 {
		t.Fatalf("%d spans", len(ended))
	}
	if s := ended[0]; s.Parent().SpanID() != root.SpanContext().SpanID() || s.Status().Description != "unavailable" || len(s.Attributes()) != 1 {
		t.Errorf("the failed work is %v, %v", s.Status(), s.Attributes())
	}
	if s := ended[1]; s.Parent().IsValid() || s.SpanContext().TraceID() == root.SpanContext().TraceID() || len(s.Links()) != 1 {
		t.Errorf("the later work has the parent %v and the links %v", s.Parent(), s.Links())
	}
	if tracing.ID(work) != root.SpanContext().TraceID().String() {
		t.Errorf("the trace is %s", tracing.ID(work))
	}
}
