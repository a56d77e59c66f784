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

// Folder is a folder that a gateway fills.
type Folder struct {
	Name string // for metrics and logs
	Path string
}

// Disks knows how much room is left on the disks of a gateway.
type Disks struct {
	folders []Folder // one for each disk
	low     int64    // bytes
	isLow   atomic.Bool
	log     zerolog.Logger
}

// NewDisks returns the disks that the folders are on. A disk with fewer free bytes than low
// is nearly full. The folders must exist.
func NewDisks(folders []Folder, low int64, registry *prometheus.Registry, log zerolog.Logger) (*Disks, error) {
	d := &Disks{low: low, log: log}
	devices := map[any]bool{}
	for _, f := range folders {
		space, err := disk.Of(f.Path)
		if err != nil {
			return nil, fmt.Errorf("look at the disk of %s: %w", f.Path, err)
		}
		if devices[space.Device] {
			continue
		}
		devices[space.Device] = true
		d.folders = append(d.folders, f)
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "casgate_disk_free_bytes", ConstLabels: prometheus.Labels{"folder": f.Name},
			Help: "Bytes left on the disk of a folder; -1 if the disk does not answer.",
		}, func() float64 {
			space, err := disk.Of(f.Path)
			if err != nil {
				return -1
			}
			return float64(space.Free)
		}))
	}
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

// IsLow reports whether one of the disks is nearly full. A change is logged.
func (d *Disks) IsLow() bool {
	isLow := false
	event := d.log.Warn()
	for _, f := range d.folders {
		space, err := disk.Of(f.Path)
		if err != nil { // an outage, which other checks report
			continue
		}
		event.Int64("free_in_"+f.Name, space.Free)
		isLow = isLow || space.Free < d.low
	}
	switch wasLow := d.isLow.Swap(isLow); {
	case isLow && !wasLow:
		event.Msg("a disk is nearly full: make room, or delete blobs; on a full disk only deletes work")
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
