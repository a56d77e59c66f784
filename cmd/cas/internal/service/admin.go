package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"casgate/cas/access"
	"casgate/cmd/cas/internal/build"
)

// ServeAdmin serves metrics and profiles until ctx is done.
func ServeAdmin(ctx context.Context, ln net.Listener, registry *prometheus.Registry) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: onlyLocalHosts(ln.Addr(), refusePages(mux)), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics on %s: %w", ln.Addr(), err)
	}
	return nil
}

// onlyLocalHosts refuses other names of hosts if the address is a loopback one: see
// access.IsLocalHost.
func onlyLocalHosts(addr net.Addr, next http.Handler) http.Handler {
	if tcp, ok := addr.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !access.IsLocalHost(r.Host) {
			http.Error(w, "this address is for local programs: use its IP address or localhost in the URL", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refusePages refuses requests that a browser sends for a page of another origin, but GET,
// HEAD and OPTIONS: this address has no authentication.
func refusePages(next http.Handler) http.Handler {
	var crossOrigin http.CrossOriginProtection
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "this address takes only GET and HEAD from pages of another origin (fields Sec-Fetch-Site and Origin)", http.StatusForbidden)
	}))
	return crossOrigin.Handler(next)
}

// BuildMetric is in the metrics of every gateway.
const BuildMetric = "casgate_build_info"

// NewRegistry returns a registry with the metrics of the Go runtime, of the process
// and of the build.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        BuildMetric,
		Help:        "Always 1; the labels name the build.",
		ConstLabels: prometheus.Labels{"version": build.Version()},
	})
	info.Set(1)
	registry.MustRegister(info)
	return registry
}
