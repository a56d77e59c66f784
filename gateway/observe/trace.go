package observe

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"casgate/cas/access"
	"casgate/cas/tracing"
	"casgate/gateway/record"
	"casgate/gateway/request"
)

// beginSpan begins the span of a request, in the trace that its traceparent names, and puts
// it into the request's context. It returns nil for requests that are no news.
func (o *Observer) beginSpan(c echo.Context) trace.Span {
	r := c.Request()
	if isProbe(r.URL.Path) || isPagePart(r.URL.Path) {
		return nil
	}
	ctx := tracing.Parents.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	// The route is not known yet. The query, the fields of the header and the client's address
	// stay out: they may be secrets, or name a person.
	ctx, span := o.Traces.Tracer(tracing.Scope).Start(ctx, spanMethod(r.Method), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", methodName(r.Method)),
		attribute.String("url.scheme", c.Scheme()),
		attribute.String("url.path", access.WithoutSecrets(r.URL.Path)),
		attribute.String(tracing.OperationID, request.OperationID(c)),
	))
	c.SetRequest(r.WithContext(ctx))
	return span
}

// endSpan ends the span of a request.
func endSpan(span trace.Span, c echo.Context, aborted bool) {
	if !span.IsRecording() {
		return
	}
	state, status := request.StateOf(c), c.Response().Status
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	if route := c.Path(); route != "" {
		span.SetName(spanMethod(c.Request().Method) + " " + route)
		span.SetAttributes(attribute.String("http.route", route))
	}
	if state.Failure != nil {
		span.SetAttributes(attribute.String("error.type", record.CodeOf(state.Failure)))
	}
	switch {
	case status >= 500:
		span.SetStatus(codes.Error, "")
	case aborted:
		span.SetStatus(codes.Error, "broken off")
	}
	span.End()
}

// otherMethod stands for the methods that HTTP's RFCs don't know, since a client may send any
// text as one. Source: OpenTelemetry's semantic conventions for HTTP spans.
const otherMethod = "_OTHER"

func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return otherMethod
}

// spanMethod returns the method for the name of a span.
func spanMethod(method string) string {
	if method = methodName(method); method != otherMethod {
		return method
	}
	return "HTTP"
}

// withTrace adds the id of the request's trace to a line of the log, if there is one.
func withTrace(event *zerolog.Event, c echo.Context) *zerolog.Event {
	if id := tracing.ID(c.Request().Context()); id != "" {
		event = event.Str("trace_id", id)
	}
	return event
}
