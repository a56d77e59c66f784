package service

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How often Reachability asks, and how long it waits for an answer. The wait is that of
// GET /readyz.
const (
	reachabilityInterval = 15 * time.Second
	reachabilityTimeout  = 3 * time.Second
)

// Checked is a part of the gateway that can be asked whether it answers.
type Checked struct {
	Name  string // for metrics
	Check func(ctx context.Context) error
}

// Reachability asks the index and the object store in intervals whether they answer, so
// that an outage shows in the metrics also while no request comes.
type Reachability struct {
	parts []Checked
	up    *prometheus.GaugeVec
	took  *prometheus.GaugeVec
}

// NewReachability registers the metrics.
func NewReachability(parts []Checked, registry *prometheus.Registry) *Reachability {
	r := &Reachability{
		parts: parts,
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "casgate_up",
			Help: "1 if the index or the object store answered the last check, and the index takes writes; else 0.",
		}, []string{"part"}),
		took: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "casgate_check_duration_seconds",
			Help: "How long the last check of the index or the object store took.",
		}, []string{"part"}),
	}
	registry.MustRegister(r.up, r.took)
	return r
}

// Run checks until ctx is done. It returns ctx's error.
func (r *Reachability) Run(ctx context.Context) error {
	tick := time.NewTicker(reachabilityInterval)
	defer tick.Stop()
	for {
		for _, p := range r.parts {
			go r.check(ctx, p)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (r *Reachability) check(ctx context.Context, p Checked) {
	limited, cancel := context.WithTimeout(ctx, reachabilityTimeout)
	defer cancel()
	began := time.Now()
	err := p.Check(limited)
	if ctx.Err() != nil {
		return // the gateway stops
	}
	up := 1.0
	if err != nil {
		up = 0
	}
	r.up.WithLabelValues(p.Name).Set(up)
	r.took.WithLabelValues(p.Name).Set(time.Since(began).Seconds())
}
