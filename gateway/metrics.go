package gateway

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the gateway's own. Labels are route templates, methods and
// statuses: never a digest, a name or a token.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	bytesIn  prometheus.Counter
	bytesOut prometheus.Counter
	// series are the members of requests and duration that have come up: finding them
	// by their labels costs several times what counting does.
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

func newMetrics(registry *prometheus.Registry, g *Gateway) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "casgate_http_requests_total",
			Help: "Requests answered, by route, method and status; 499 where the client hung up first.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "casgate_http_request_duration_seconds",
			Help:    "Time from the request's headers to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"route", "method"}),
		bytesIn: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casgate_http_received_bytes_total",
			Help: "Bytes of upload bodies read.",
		}),
		bytesOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "casgate_http_sent_bytes_total",
			Help: "Bytes of answers' bodies written.",
		}),
	}
	registry.MustRegister(m.requests, m.duration, m.bytesIn, m.bytesOut,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "casgate_uploads_in_flight",
			Help: "Uploads under way.",
		}, func() float64 { return float64(len(g.uploads)) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "casgate_blob_memory_hits_total",
			Help: "Reads of small blobs answered from memory.",
		}, func() float64 { return float64(g.store.MemoryStats().Hits) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "casgate_blob_memory_misses_total",
			Help: "Reads of small blobs that went to the object store.",
		}, func() float64 { return float64(g.store.MemoryStats().Misses) }),
	)
	return m
}

func (m *metrics) observe(route, method string, status int, took time.Duration, bytesIn, bytesOut int64) {
	if route == "" {
		route = "none" // no route matched: the path is the client's invention
		method = "other"
	}
	key := seriesKey{route, method, status}
	found, ok := m.series.Load(key)
	if !ok {
		// Two at once find the same members, so either may stay.
		found, _ = m.series.LoadOrStore(key, &series{
			requests: m.requests.WithLabelValues(route, method, strconv.Itoa(status)),
			duration: m.duration.WithLabelValues(route, method),
		})
	}
	s := found.(*series)
	s.requests.Inc()
	s.duration.Observe(took.Seconds())
	m.bytesIn.Add(float64(bytesIn))
	m.bytesOut.Add(float64(bytesOut))
}
