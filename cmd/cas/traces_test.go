package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"casgate/cas"
	"casgate/cas/castest"
)

// traceCollector takes spans as a collector of OpenTelemetry does, by OTLP over HTTP.
type traceCollector struct {
	*httptest.Server
	mu    sync.Mutex
	all   []*spans.Span
	paths map[string]bool
	about string // the resource of the last request
}

func collectTraces(t *testing.T) *traceCollector {
	t.Helper()
	c := &traceCollector{paths: make(map[string]bool)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unzipped
		}
		raw, err := io.ReadAll(body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(raw, &request)
		}
		if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("a request with %s: %v", r.Header.Get("Content-Type"), err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.paths[r.URL.Path] = true
		for _, resource := range request.ResourceSpans {
			c.about = prototext.Format(resource.Resource)
			for _, scope := range resource.ScopeSpans {
				c.all = append(c.all, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// named returns the spans of a name.
func (c *traceCollector) named(name string) []*spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*spans.Span
	for _, s := range c.all {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

// one returns the only span of a name.
func (c *traceCollector) one(t *testing.T, name string) *spans.Span {
	t.Helper()
	found := c.named(name)
	if len(found) != 1 {
		t.Fatalf("%d spans are named %q; all: %s", len(found), name, c.text())
	}
	return found[0]
}

// below returns the names of the spans below one, at any depth.
func (c *traceCollector) below(parent *spans.Span) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	inside := map[string]bool{string(parent.SpanId): true}
	for range c.all { // spans come in the order of their ends, so the inner ones come first
		for _, s := range c.all {
			if inside[string(s.ParentSpanId)] && !inside[string(s.SpanId)] {
				inside[string(s.SpanId)] = true
				names = append(names, s.Name)
			}
		}
	}
	return strings.Join(names, ", ")
}

func (c *traceCollector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, s := range c.all {
		b.WriteString(prototext.Format(s) + "\n")
	}
	return b.String()
}

// traceService takes spans by OTLP over gRPC.
type traceService struct {
	collector.UnimplementedTraceServiceServer
	names chan string
}

func (s traceService) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	for _, resource := range r.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				s.names <- span.Name
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// Spans go by gRPC if the settings say so.
func TestTracesByGRPC(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := traceService{names: make(chan string, 100)}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, to)
	go func() { _ = server.Serve(ln) }() // until Stop
	t.Cleanup(server.Stop)
	env := append(embeddedEnv(t), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+ln.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_BSP_SCHEDULE_DELAY=100")
	if _, said := examine(t, env); !strings.Contains(said, "takes traces") {
		t.Errorf("the doctor said %s", said)
	}
	p := serveProcess(t, casCommand(t, env, "serve"))
	if status, _, err := p.request(http.MethodGet, "/v1/blobs", nil); err != nil || status != http.StatusOK {
		t.Fatalf("%d, %v", status, err)
	}
	select {
	case name := <-to.names:
		if name != "GET /v1/blobs" {
			t.Errorf("the span is named %s", name)
		}
	case <-time.After(castest.WaitLimit):
		t.Fatalf("no span came: %s", p.log())
	}
}

func attributeOf(s *spans.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			if text := a.Value.GetStringValue(); text != "" {
				return text
			}
		}
	}
	return ""
}

// A gateway sends the spans of a request, and of the work that it causes, to the collector of
// its settings. It sends the last ones when it stops.
func TestTraces(t *testing.T) {
	t.Parallel()
	for name, env := range setUps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := collectTraces(t)
			// Nothing is sent before the stop, so the flush is what sends it.
			p := serveProcess(t, casCommand(t, append(env(t), "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL, "OTEL_BSP_SCHEDULE_DELAY=3600000",
				"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test"), "serve", "--simulate-providers"))
			content := []byte("traced content")
			d := cas.DigestOf(content)
			const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
			tracedRequest(t, p, http.MethodPut, "/v1/blobs/"+d.String(), content, http.StatusCreated)
			tracedRequest(t, p, http.MethodPut, "/v1/blobs/"+d.String()+"/copies/kimi?wait=60s", nil, http.StatusOK)
			tracedRequest(t, p, http.MethodPut, "/v1/blobs/"+d.String()+"/copies/glm", nil, http.StatusAccepted, "Prefer", "respond-async")
			castest.Eventually(t, "the copy at GLM is ready", func() bool {
				_, body, err := p.request(http.MethodGet, "/v1/blobs/"+d.String()+"/copies/glm", nil)
				return err == nil && bytes.Contains(body, []byte(`"ready"`))
			})
			body := tracedRequest(t, p, http.MethodGet, "/v1/blobs/"+cas.DigestOf([]byte("none")).String()+"?download=secret-in-query", nil, http.StatusNotFound,
				"Authorization", "Bearer secret-in-header", "Baggage", "secret=in-baggage", "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
			var problem struct {
				TraceID string `json:"trace_id"`
			}
			if err := json.Unmarshal(body, &problem); err != nil || problem.TraceID != trace {
				t.Errorf("the problem has the trace %q, %v", problem.TraceID, err)
			}
			tracedRequest(t, p, "ANYTHING", "/v1/blobs", nil, http.StatusMethodNotAllowed)
			tracedRequest(t, p, http.MethodGet, "/healthz", nil, http.StatusOK)
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			<-p.read
			if err := p.cmd.Wait(); err != nil {
				t.Fatalf("%v: %s", err, p.log())
			}

			refused := to.one(t, "GET /v1/blobs/:digest")
			if hex.EncodeToString(refused.TraceId) != trace || hex.EncodeToString(refused.ParentSpanId) != "00f067aa0ba902b7" || attributeOf(refused, "error.type") != "blob_not_found" {
				t.Errorf("the request with a traceparent: %s", prototext.Format(refused))
			}
			if !strings.Contains(p.log(), `"trace_id":"`+trace+`"`) {
				t.Error("the log does not name the trace")
			}
			if text := to.text(); strings.Contains(text, "ANYTHING") || !strings.Contains(text, "_OTHER") {
				t.Errorf("a method that HTTP doesn't know: %s", text)
			}
			put := to.below(to.one(t, "PUT /v1/blobs/:digest"))
			if !strings.Contains(put, "store put") {
				t.Errorf("an upload has the spans %s", put)
			}
			synced := to.named("PUT /v1/blobs/:digest/copies/:provider")
			if len(synced) != 2 {
				t.Fatalf("%d spans are of copies", len(synced))
			}
			if made := to.below(synced[0]); !strings.Contains(made, "make copy") || !strings.Contains(made, "kimi upload") {
				t.Errorf("a copy that its request waits for has the spans %s", made)
			}
			background := to.one(t, "continue copy")
			if len(background.Links) != 1 || !bytes.Equal(background.Links[0].SpanId, synced[1].SpanId) || attributeOf(background, "casgate.operation_id") != attributeOf(synced[1], "casgate.operation_id") {
				t.Errorf("work in the background is not linked to its request %s: %s", prototext.Format(synced[1]), prototext.Format(background))
			}
			if made := to.below(background); !strings.Contains(made, "glm upload") {
				t.Errorf("work in the background has the spans %s", made)
			}
			if name == "served" && !strings.Contains(put, "INSERT") {
				t.Errorf("an upload has no span of the index: %s", put)
			}
			if text := to.text(); strings.Contains(text, "secret") || strings.Contains(text, "healthz") || strings.Contains(text, "postgres:") {
				t.Errorf("the spans have secrets, or probes: %s", text)
			}
			if !to.paths["/v1/traces"] || !strings.Contains(to.about, `"casgate"`) || !strings.Contains(to.about, "deployment.environment.name") {
				t.Errorf("sent to %v, about %s", to.paths, to.about)
			}
		})
	}
}

func tracedRequest(t *testing.T, p *process, method, path string, body []byte, want int, fields ...string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("%s %s: %s, %v: %s; want %d", method, path, resp.Status, err, answer, want)
	}
	return answer
}

// A collector that is away costs a line in the log. It delays neither the start nor, for
// long, the stop.
func TestTracesWithoutCollector(t *testing.T) {
	t.Parallel()
	away := httptest.NewServer(nil)
	away.Close()
	p := serveProcess(t, casCommand(t, append(embeddedEnv(t), "OTEL_EXPORTER_OTLP_ENDPOINT="+away.URL), "serve"))
	if status, _, err := p.request(http.MethodGet, "/v1/blobs/"+cas.DigestOf(nil).String(), nil); err != nil || status != http.StatusNotFound {
		t.Errorf("%d, %v", status, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.read
	if err := p.cmd.Wait(); err != nil || !strings.Contains(p.log(), "traces could not be sent") {
		t.Errorf("%v: %s", err, p.log())
	}
}

// The doctor and serve say which setting of traces is wrong.
func TestWrongTraceSettings(t *testing.T) {
	t.Parallel()
	away := httptest.NewServer(nil)
	away.Close()
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	for name, c := range map[string]struct{ set, doctor, serve string }{
		"no collector":        {"OTEL_EXPORTER_OTLP_ENDPOINT=" + away.URL, "listens at OTEL_EXPORTER_OTLP_ENDPOINT, and speaks", ""},
		"another server":      {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + elsewhere.URL, "404", ""},
		"no URL":              {"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL", "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL"},
		"a sampler's name":    {"OTEL_EXPORTER_OTLP_ENDPOINT=" + away.URL + "\nOTEL_TRACES_SAMPLER=sometimes", "OTEL_TRACES_SAMPLER is \"sometimes\"", "OTEL_TRACES_SAMPLER is \"sometimes\""},
		"an unknown exporter": {"OTEL_EXPORTER_OTLP_ENDPOINT=" + away.URL + "\nOTEL_TRACES_EXPORTER=zipkin", "OTEL_TRACES_EXPORTER is \"zipkin\"", "OTEL_TRACES_EXPORTER is \"zipkin\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := append(embeddedEnv(t), strings.Split(c.set, "\n")...)
			if _, said := examine(t, env); !strings.Contains(said, "  traces") || !strings.Contains(said, c.doctor) {
				t.Errorf("the doctor said %s; want %q", said, c.doctor)
			}
			if c.serve == "" {
				return
			}
			cmd := casCommand(t, env, "serve")
			if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), c.serve) {
				t.Errorf("%v: %s; want %q", err, out, c.serve)
			}
		})
	}
	to := collectTraces(t)
	if _, said := examine(t, append(embeddedEnv(t), "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL)); !strings.Contains(said, "takes traces") || !to.paths["/v1/traces"] {
		t.Errorf("the doctor said %s of a collector that works", said)
	}
}
