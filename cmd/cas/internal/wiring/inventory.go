package wiring

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/index"
)

// A count of a large index takes seconds, so the pause after it is at least inventoryPause,
// and inventoryShare times as long as the count.
const (
	inventoryPause = 30 * time.Second
	inventoryShare = 50
)

// Inventory exports how many of each kind of row the index has. It implements
// prometheus.Collector.
type Inventory struct {
	source index.InventorySource
	log    zerolog.Logger

	mu    sync.Mutex
	found index.Inventory
	at    time.Time // of the last count; zero: there was none
}

// NewInventory registers the metrics. They have no values before the first count.
func NewInventory(source index.InventorySource, registry *prometheus.Registry, log zerolog.Logger) *Inventory {
	i := &Inventory{source: source, log: log}
	registry.MustRegister(i)
	return i
}

var (
	blobsDesc     = prometheus.NewDesc("casgate_blobs", "Blobs by state: live, suspect (damage was found), condemned (deleted; the bytes go later), deleting, gone.", []string{"state"}, nil)
	blobBytesDesc = prometheus.NewDesc("casgate_blob_bytes", "Bytes of the blobs by state.", []string{"state"}, nil)
	filesDesc     = prometheus.NewDesc("casgate_files", "Files.", nil, nil)
	copiesDesc    = prometheus.NewDesc("casgate_copies", "Copies by provider and state.", []string{"provider", "state"}, nil)
	oldestDesc    = prometheus.NewDesc("casgate_copies_oldest_age_seconds", "Age of the oldest operation on copies that are not settled, by provider and state.", []string{"provider", "state"}, nil)
	countedDesc   = prometheus.NewDesc("casgate_inventory_timestamp_seconds", "Unix time at which blobs, files and copies were last counted.", nil, nil)
)

// Describe implements prometheus.Collector.
func (i *Inventory) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{blobsDesc, blobBytesDesc, filesDesc, copiesDesc, oldestDesc, countedDesc} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (i *Inventory) Collect(metrics chan<- prometheus.Metric) {
	i.mu.Lock()
	found, at := i.found, i.at
	i.mu.Unlock()
	if at.IsZero() {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, c := range found.Blobs {
		gauge(blobsDesc, float64(c.Count), string(c.State))
		gauge(blobBytesDesc, float64(c.Bytes), string(c.State))
	}
	gauge(filesDesc, float64(found.Files))
	for _, c := range found.Copies {
		gauge(copiesDesc, float64(c.Count), c.Provider, string(c.State))
		if began, ok := c.Began(); ok && !c.State.Settled() {
			gauge(oldestDesc, max(0, at.Sub(began).Seconds()), c.Provider, string(c.State))
		}
	}
	gauge(countedDesc, float64(at.Unix()))
}

// Run counts in intervals until ctx is done. It returns ctx's error. If the index doesn't
// answer, the last counts stay.
func (i *Inventory) Run(ctx context.Context) error {
	for {
		began := time.Now()
		i.count(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(inventoryPause, inventoryShare*time.Since(began))):
		}
	}
}

func (i *Inventory) count(ctx context.Context) {
	found, err := i.source.Inventory(ctx)
	if err != nil {
		if ctx.Err() == nil {
			i.log.Debug().Err(err).Msg("could not count the blobs, files and copies for the metrics")
		}
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.found, i.at = found, time.Now()
}
