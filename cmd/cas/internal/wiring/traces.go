package wiring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
)

const (
	// traceFlush is how long a gateway that stops may take to send its last spans.
	traceFlush = 5 * time.Second
	// traceErrorInterval is the least time between two lines of the log about spans that could
	// not be sent.
	traceErrorInterval = 10 * time.Second
)

// samplers are the values of OTEL_TRACES_SAMPLER that the SDK knows. With another one it would
// sample everything.
var samplers = []string{"", "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}

// traceEndpoint returns the setting that has the address of the collector, and its value. The
// setting is "" if no traces are sent.
func traceEndpoint(c settings.Traces) (setting, endpoint string, err error) {
	setting, endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.OTLPTracesEndpoint
	if endpoint == "" {
		setting, endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT", c.OTLPEndpoint
	}
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	if endpoint == "" || exporter == "none" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return "", "", nil
	}
	if exporter != "" && exporter != "otlp" {
		return "", "", exit.Usagef("OTEL_TRACES_EXPORTER is %q; casgate has otlp, and none", exporter)
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", "", exit.Usagef("%s must be a URL such as http://127.0.0.1:4318", setting) // it may have a password in it
	}
	if sampler := os.Getenv("OTEL_TRACES_SAMPLER"); !slices.Contains(samplers, sampler) {
		return "", "", exit.Usagef("OTEL_TRACES_SAMPLER is %q; casgate has %s", sampler, strings.Join(samplers[1:], ", "))
	}
	return setting, endpoint, nil
}

// traceProtocol returns how spans are sent.
func traceProtocol(c settings.Traces) (string, error) {
	switch protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), c.OTLPProtocol); protocol {
	case "http/protobuf", "grpc":
		return protocol, nil
	default:
		return "", exit.Usagef("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is %q; casgate has http/protobuf and grpc", protocol)
	}
}

// traceClient returns what sends spans. All further variables are read by OpenTelemetry's own
// code.
func traceClient(c settings.Traces, endpoint string) (otlptrace.Client, error) {
	protocol, err := traceProtocol(c)
	if err != nil {
		return nil, err
	}
	if protocol == "grpc" {
		return otlptracegrpc.NewClient(otlptracegrpc.WithEndpointURL(endpoint)), nil
	}
	if c.OTLPTracesEndpoint == "" {
		if endpoint, err = url.JoinPath(endpoint, "v1/traces"); err != nil {
			return nil, err
		}
	}
	return otlptracehttp.NewClient(otlptracehttp.WithEndpointURL(endpoint)), nil
}

// Traces sends the spans of a gateway.
type Traces struct {
	trace.TracerProvider // nil: no spans are made
	sdk                  *sdk.TracerProvider
	log                  zerolog.Logger
}

// OpenTraces prepares to send spans, if the settings name a collector. It sends nothing yet:
// a collector that is away must not keep a gateway from its start. The caller must close it.
func OpenTraces(ctx context.Context, c settings.Traces, version string, log zerolog.Logger) (*Traces, error) {
	setting, endpoint, err := traceEndpoint(c)
	if err != nil || setting == "" {
		return &Traces{}, err
	}
	seldom := rate.Sometimes{Interval: traceErrorInterval}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		seldom.Do(func() { log.Warn().Err(err).Str("setting", setting).Msg("traces could not be sent") })
	}))
	attributes := []attribute.KeyValue{attribute.String("service.name", "casgate"), attribute.String("service.version", version)}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(attributes...), resource.WithFromEnv())
	if err == nil && c.ServiceName != "" {
		about, err = resource.Merge(about, resource.NewSchemaless(attribute.String("service.name", c.ServiceName)))
	}
	if err != nil {
		return nil, exit.Usagef("the attributes of traces: %w (see OTEL_RESOURCE_ATTRIBUTES)", err)
	}
	client, err := traceClient(c, endpoint)
	if err != nil {
		return nil, exit.Usagef("%s: %w", setting, err)
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, exit.Usagef("%s: %w", setting, err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return &Traces{TracerProvider: provider, sdk: provider, log: log}, nil
}

// Close sends the last spans, for a limited time.
func (t *Traces) Close() {
	if t.sdk == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceFlush)
	defer cancel()
	if err := t.sdk.Shutdown(ctx); err != nil {
		t.log.Warn().Err(err).Msg("the last traces could not be sent")
	}
}

// CheckTraces sends an empty list of spans. It returns the setting that names the collector,
// or "" if there is none.
func CheckTraces(ctx context.Context, c settings.Traces) (setting string, err error) {
	setting, endpoint, err := traceEndpoint(c)
	if err != nil || setting == "" {
		return setting, err
	}
	client, err := traceClient(c, endpoint)
	if err != nil {
		return setting, err
	}
	ctx, cancel := context.WithTimeout(ctx, traceFlush)
	defer cancel()
	if err := client.Start(ctx); err != nil {
		return setting, err
	}
	err = client.UploadTraces(ctx, nil)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("no answer within %v: %w", traceFlush, err)
	}
	return setting, errors.Join(err, client.Stop(context.WithoutCancel(ctx)))
}
