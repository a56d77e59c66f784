package observe

import (
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"casgate/cas"
	"casgate/gateway/record"
	"casgate/gateway/request"
)

// Metrics counts requests. Labels are route templates, methods and statuses: never a
// digest, a name or a token.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	problems *prometheus.CounterVec
	bytesIn  prometheus.Counter
	bytesOut prometheus.Counter
	// series holds the members of requests and duration that have been used: to find
	// them by their labels costs several times what counting does.
	series sync.Map // seriesKey → *series
}

type seriesKey struct {
	route, method string
	status        int
}

type series struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// Gauges are the figures that other parts of the gateway know.
type Gauges struct {
	// Uploads returns the number of uploads under way.
	Uploads func() int
	// Memory returns the figures of the memory that keeps small blobs.
	Memory func() cas.MemoryStats
}

// NewMetrics registers the metrics.
func NewMetrics(registry *prometheus.Registry, g Gauges) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_http_requests_total",
			Help: "Requests answered, by route, method and status; 499 where the client hung up first.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "casgate_http_request_duration_seconds",
			Help:    "Time from the request's headers to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"route", "method"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_http_problems_total",
			Help: "Requests refused or failed, by the code of the problem; unknown_route, unauthorized, store_unavailable and so on.",
		}, []string{"code"}),
		bytesIn: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casgate_http_received_bytes_total",
			Help: "Bytes of upload bodies read.",
		}),
		bytesOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casgate_http_sent_bytes_total",
			Help: "Bytes of answers' bodies written.",
		}),
	}
	registry.MustRegister(m.requests, m.duration, m.problems, m.bytesIn, m.bytesOut,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "casgate_uploads_in_flight",
			Help: "Uploads under way.",
		}, func() float64 { return float64(g.Uploads()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "casgate_blob_memory_hits_total",
			Help: "Reads of small blobs answered from memory.",
		}, func() float64 { return float64(g.Memory().Hits) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "casgate_blob_memory_misses_total",
			Help: "Reads of small blobs that went to the object store.",
		}, func() float64 { return float64(g.Memory().Misses) }),
	)
	return m
}

// count counts a request that has ended.
func (m *Metrics) count(c echo.Context, took time.Duration) {
	state := request.StateOf(c)
	key := seriesKey{c.Path(), c.Request().Method, c.Response().Status}
	if key.route == "" { // no route matched: path and method are the client's invention
		key.route, key.method = "none", "other"
	}
	found, ok := m.series.Load(key)
	if !ok {
		// Two at once find the same members, so either may stay.
		found, _ = m.series.LoadOrStore(key, &series{
			requests: m.requests.WithLabelValues(key.route, key.method, strconv.Itoa(key.status)),
			duration: m.duration.WithLabelValues(key.route, key.method),
		})
	}
	s := found.(*series)
	s.requests.Inc()
	s.duration.Observe(took.Seconds())
	if state.Failure != nil {
		m.problems.WithLabelValues(record.CodeOf(state.Failure)).Inc()
	}
	m.bytesIn.Add(float64(state.BytesIn()))
	m.bytesOut.Add(float64(state.BytesOut()))
}
