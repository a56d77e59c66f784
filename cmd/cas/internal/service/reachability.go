package service

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
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

// Reachability asks the index, the object store and the spool in intervals whether they can be
// used, so that an outage shows in the metrics and the log also while no request comes.
type Reachability struct {
	parts []Checked
	up    *prometheus.GaugeVec
	took  *prometheus.GaugeVec
	log   zerolog.Logger

	mu   sync.Mutex
	down map[string]bool // by the last check of each part
}

// NewReachability registers the metrics.
func NewReachability(parts []Checked, registry *prometheus.Registry, log zerolog.Logger) *Reachability {
	r := &Reachability{
		parts: parts, log: log, down: map[string]bool{},
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "casgate_up",
			Help: "1 if the index or the object store answered the last check, and the index takes writes, or if the spool folder could be written to; else 0.",
		}, []string{"part"}),
		took: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "casgate_check_duration_seconds",
			Help: "How long the last check of the index, the object store or the spool folder took.",
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
	r.note(p.Name, err)
}

// note logs that a part began to fail, or works again.
func (r *Reachability) note(part string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch wasDown := r.down[part]; {
	case err != nil && !wasDown:
		r.log.Warn().Err(err).Str("part", part).Msg("a part of the gateway fails its check")
	case err == nil && wasDown:
		r.log.Info().Str("part", part).Msg("a part of the gateway passes its check again")
	}
	r.down[part] = err != nil
}
