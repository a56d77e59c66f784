package service

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/disk"
)

// disksInterval is the time between two looks of Disks.Run.
const disksInterval = time.Minute

// Disks knows how much room is left on the disks of a gateway. A disk may be mounted below a
// folder while the gateway runs, so each look finds out anew which disks there are.
type Disks struct {
	folders []disk.Folder
	low     int64 // bytes
	isLow   atomic.Bool
	log     zerolog.Logger
}

// NewDisks returns the disks that the folders are on. A disk with fewer free bytes than low
// is nearly full. The folders must exist.
func NewDisks(folders []disk.Folder, low int64, registry *prometheus.Registry, log zerolog.Logger) (*Disks, error) {
	d := &Disks{folders: folders, low: low, log: log}
	for _, found := range disk.Distinct(d.folders) {
		if found.Err != nil {
			return nil, fmt.Errorf("look at the disk of %s: %w", found.Path, found.Err)
		}
	}
	registry.MustRegister(freeBytes{d})
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "casgate_disk_low",
		Help: "1 if a disk of the data folder has fewer free bytes than CAS_DISK_LOW.",
	}, func() float64 {
		if d.IsLow() {
			return 1
		}
		return 0
	}))
	return d, nil
}

// freeBytes is the metric casgate_disk_free_bytes.
type freeBytes struct{ disks *Disks }

var freeBytesDesc = prometheus.NewDesc("casgate_disk_free_bytes", "Bytes left on the disk of a folder; -1 if the disk does not answer.", []string{"folder"}, nil)

// Describe implements prometheus.Collector.
func (freeBytes) Describe(descs chan<- *prometheus.Desc) { descs <- freeBytesDesc }

// Collect implements prometheus.Collector.
func (m freeBytes) Collect(metrics chan<- prometheus.Metric) {
	for _, found := range disk.Distinct(m.disks.folders) {
		free := float64(found.Free)
		if found.Err != nil {
			free = -1
		}
		metrics <- prometheus.MustNewConstMetric(freeBytesDesc, prometheus.GaugeValue, free, found.Name)
	}
}

// IsLow reports whether one of the disks is nearly full. A change is logged.
func (d *Disks) IsLow() bool {
	isLow := false
	event := d.log.Warn()
	for _, found := range disk.Distinct(d.folders) {
		if found.Err != nil { // an outage, which other checks report
			continue
		}
		event.Int64("free_in_"+found.Name, found.Free)
		isLow = isLow || found.Free < d.low
	}
	switch wasLow := d.isLow.Swap(isLow); {
	case isLow && !wasLow:
		event.Msg("a disk is nearly full: make room, or delete blobs; on a full disk reads and deletes work, and uploads don't")
	case wasLow && !isLow:
		event.Msg("the disks have room again")
	default:
		event.Discard().Send()
	}
	return isLow
}

// Run looks at the disks in intervals, so that the log has what it should, until ctx is
// done. It returns ctx's error.
func (d *Disks) Run(ctx context.Context) error {
	tick := time.NewTicker(disksInterval)
	defer tick.Stop()
	for {
		d.IsLow()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
