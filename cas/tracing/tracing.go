// Package tracing makes the spans of OpenTelemetry for the work that a request causes. A
// span is made only below another one that is recorded. So without tracing, and for a
// request that is not sampled, a call costs a look at the context, and no memory.
package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Scope is the name of the gateway's own instrumentation.
const Scope = "casgate"

// The attributes of spans that OpenTelemetry has no name for.
const (
	OperationID = "casgate.operation_id" // that of the answer, the log and the journal
	Provider    = "casgate.provider"
	Purpose     = "casgate.purpose"
	Size        = "casgate.size"
)

// Parents reads and writes the header field traceparent (W3C Trace Context). Baggage is
// neither read nor sent.
var Parents propagation.TextMapPropagator = propagation.TraceContext{}

// Span is a span that is recorded, or nothing: then all its methods do nothing.
type Span struct{ span trace.Span }

// Start begins a span of work in this process. The caller ends it.
func Start(ctx context.Context, name string) (context.Context, Span) {
	return start(ctx, name, trace.SpanKindInternal)
}

// Call begins a span of a call of another server. The caller ends it.
func Call(ctx context.Context, name string) (context.Context, Span) {
	return start(ctx, name, trace.SpanKindClient)
}

func start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := parent.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, Span{span}
}

// Background begins the span of work that no request waits for, in a trace of its own. It
// has a link to the span that asked for the work, if that is known. Without a provider it
// begins nothing. The caller ends the span.
func Background(ctx context.Context, provider trace.TracerProvider, name string, asked trace.SpanContext) (context.Context, Span) {
	if provider == nil {
		return ctx, Span{}
	}
	options := []trace.SpanStartOption{trace.WithNewRoot()}
	if asked.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: asked}))
	}
	ctx, span := provider.Tracer(Scope).Start(ctx, name, options...)
	return ctx, Span{span}
}

// Below returns ctx with the span of another context, for work that may outlive that one.
func Below(ctx, of context.Context) context.Context {
	span := trace.SpanFromContext(of)
	if !span.IsRecording() {
		return ctx
	}
	return trace.ContextWithSpan(ctx, span)
}

// ID returns the id of the trace that a context belongs to; "" if the trace is not recorded.
func ID(ctx context.Context) string {
	of := trace.SpanContextFromContext(ctx)
	if !of.IsSampled() {
		return ""
	}
	return of.TraceID().String()
}

// Set adds a text to the span. An empty text adds nothing.
func (s Span) Set(key, value string) {
	if s.span != nil && value != "" {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// SetInt adds a number to the span.
func (s Span) SetInt(key string, value int64) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int64(key, value))
	}
}

// Fail marks the span as failed. The reason is a word such as "unavailable", never the text
// of an error: that may have names of files in it, which don't belong into traces.
func (s Span) Fail(reason string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String("error.type", reason))
		s.span.SetStatus(codes.Error, reason)
	}
}

// End ends the span.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
