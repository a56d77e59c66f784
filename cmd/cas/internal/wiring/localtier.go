package wiring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/collector"
	"casgate/cas/localtier"
	"casgate/cas/scrubber"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/index"
)

// CheckTier returns an error if the settings of the local tier don't fit each other, or the
// object store.
func CheckTier(c settings.LocalTier, objects settings.ObjectStore) error {
	switch {
	case c.CacheDir == "" && c.CacheSize == 0 && c.CacheFill == settings.DefaultCacheFill:
		return nil
	case objects.Embedded():
		return exit.Usagef("a local tier (CAS_CACHE_DIR, CAS_CACHE_SIZE, CAS_CACHE_FILL) is for a bucket: the objects lie in a local folder already; unset all, or set CAS_S3_ENDPOINT")
	case c.CacheDir == "" && c.CacheSize == 0:
		return exit.Usagef("CAS_CACHE_FILL is set, and CAS_CACHE_DIR is not; unset it, or set CAS_CACHE_DIR and CAS_CACHE_SIZE, too")
	case c.CacheDir == "":
		return exit.Usagef("CAS_CACHE_SIZE is set, and CAS_CACHE_DIR is not; set both or none")
	case strings.TrimSpace(c.CacheDir) != c.CacheDir:
		return exit.Usagef("CAS_CACHE_DIR begins or ends with a space: %q", c.CacheDir)
	case strings.HasPrefix(c.CacheDir, "~"):
		return exit.Usagef("CAS_CACHE_DIR begins with ~, which only a shell replaces; write the whole path instead of %s, or ./%s", c.CacheDir, c.CacheDir)
	case c.CacheSize <= 0:
		return exit.Usagef("CAS_CACHE_DIR is set, and CAS_CACHE_SIZE is not; set both or none")
	}
	return nil
}

// Tier is the local tier in front of a bucket. Without one it is the object store itself.
type Tier struct {
	cas.ObjectStore // what blobs are read from and uploaded to
	Batches         collector.BatchObjects
	tier            *localtier.Tier // nil: there is none
	dir             string
	log             zerolog.Logger
}

// OpenTier opens the local tier that the settings describe, for the gateway of a data folder. If
// it was a tier before, and its disk fails, there is none until the next start: that costs speed
// only. The caller closes it before the object store.
func OpenTier(c settings.LocalTier, data settings.Data, objects ObjectStore, registry prometheus.Registerer, log zerolog.Logger) (*Tier, error) {
	if c.CacheDir == "" {
		return &Tier{ObjectStore: objects.ObjectStore, Batches: objects.Batches()}, nil
	}
	t, err := localtier.New(objects.ObjectStore, localtier.Options{
		Dir: c.CacheDir, Size: int64(c.CacheSize), FillLimit: int64(c.CacheFill), Log: log, Owner: tierOwner(data),
	})
	if errors.Is(err, localtier.ErrDiskFails) {
		log.Error().Err(err).Msg("the gateway runs without its local tier until the next start; repair the disk")
		registry.MustRegister(prometheus.NewGaugeFunc(failingOpts, func() float64 { return 1 }))
		return &Tier{ObjectStore: objects.ObjectStore, Batches: objects.Batches()}, nil
	}
	if err != nil {
		return nil, exit.Usagef("%w (see CAS_CACHE_DIR)", err)
	}
	registerTierMetrics(registry, t)
	return &Tier{ObjectStore: t, Batches: t.Batches(objects.Batches()), tier: t, dir: c.CacheDir, log: log}, nil
}

// tierOwner names the gateway of a data folder, which has one gateway at a time.
func tierOwner(data settings.Data) string {
	dir, err := filepath.Abs(data.DataDir)
	if err != nil { // there is no working directory
		return data.DataDir
	}
	return dir
}

// What LookAtTier can find.
var (
	ErrForeignFolder = localtier.ErrForeignFolder
	ErrTierInUse     = localtier.ErrInUse
	ErrDamagedRecord = localtier.ErrDamagedRecord
)

// LookAtTier checks a tier's folder, which the gateway of the data folder may use, and returns
// the bytes of its copies.
func LookAtTier(dir string, data settings.Data) (int64, error) {
	return localtier.Look(dir, tierOwner(data))
}

// Describe says what the tier is, or is empty if there is none.
func (t *Tier) Describe() string {
	if t.tier == nil {
		return ""
	}
	s := t.tier.Stats()
	return fmt.Sprintf("%s, with %s of %s", t.dir, humanize.IBytes(uint64(s.Bytes)), humanize.IBytes(uint64(s.Limit)))
}

// TryTierFolder returns an error if nothing can be written to a folder of, or for, a tier.
func TryTierFolder(dir string) error { return localtier.TryWrite(dir) }

// Close closes the tier, and not the object store.
func (t *Tier) Close() {
	if t.tier == nil {
		return
	}
	if err := t.tier.Close(); err != nil {
		t.log.Warn().Err(err).Msg("the local tier was not closed cleanly; its copies may be counted at the next start")
	}
}

// Listener tells the tier of blobs that are no longer live.
func (t *Tier) Listener() index.Listener {
	if t.tier == nil {
		return index.Listener{}
	}
	return index.Listener{BlobChanged: t.tier.Changed}
}

// Watch returns an index that tells the tier of the blobs that are deleted through it. A
// feed tells of those that others delete.
func (t *Tier) Watch(x cas.Index) cas.Index {
	if t.tier == nil {
		return x
	}
	return watchedIndex{x, t.tier}
}

type watchedIndex struct {
	cas.Index
	tier *localtier.Tier
}

// Condemn implements cas.Index.
func (x watchedIndex) Condemn(ctx context.Context, d cas.Digest, o cas.CondemnOptions) error {
	err := x.Index.Condemn(ctx, d, o)
	x.tier.Changed(d) // also after an error: the delete may have been applied
	return err
}

// Run removes the copies of deleted blobs until ctx is done. It calls forget for damaged
// objects that it has told the index of.
func (t *Tier) Run(ctx context.Context, x Index, forget func(cas.ObjectRef)) error {
	if t.tier == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return t.tier.Run(ctx, tierRows{x, forget})
}

// tierRows is an index whose caches hear of damage at once.
type tierRows struct {
	Index
	forget func(cas.ObjectRef)
}

// Suspect implements localtier.Rows.
func (r tierRows) Suspect(ctx context.Context, ref cas.ObjectRef) error {
	err := r.Index.Suspect(ctx, ref)
	r.forget(ref) // also after an error: the write may have been applied
	return err
}

// tierSource takes bytes for repairs from the local tier.
type tierSource struct{ *localtier.Tier }

// Candidates implements scrubber.Source.
func (s tierSource) Candidates(_ context.Context, b cas.Blob) ([]scrubber.Candidate, error) {
	refs, err := s.Copies(b)
	if err != nil {
		return nil, err
	}
	var candidates []scrubber.Candidate
	for _, ref := range refs {
		candidates = append(candidates, scrubber.Candidate{Name: "the local tier", Open: func(ctx context.Context) (io.ReadCloser, error) { return s.OpenCopy(ctx, ref) }})
	}
	return candidates, nil
}

func registerTierMetrics(registry prometheus.Registerer, t *localtier.Tier) {
	counter := func(name, help string, value func(localtier.Stats) int64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(value(t.Stats())) }))
	}
	gauge := func(name, help string, value func(localtier.Stats) float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(t.Stats()) }))
	}
	counter("casgate_tier_hits_total", "Reads of objects from their copies in the local tier.",
		func(s localtier.Stats) int64 { return s.Hits })
	counter("casgate_tier_joins_total", "Reads of objects from copies in the local tier that another read was making.",
		func(s localtier.Stats) int64 { return s.Joins })
	counter("casgate_tier_misses_total", "Reads of objects from the bucket, with a local tier.",
		func(s localtier.Stats) int64 { return s.Misses })
	counter("casgate_tier_fills_total", "Copies made in the local tier, of reads and of uploads.",
		func(s localtier.Stats) int64 { return s.Fills })
	counter("casgate_tier_refused_total", "Copies that were not made, since the local tier had no room for them.",
		func(s localtier.Stats) int64 { return s.Refused })
	counter("casgate_tier_evictions_total", "Copies removed from the local tier to make room.",
		func(s localtier.Stats) int64 { return s.Evictions })
	counter("casgate_tier_evicted_bytes_total", "Bytes of the copies removed from the local tier to make room.",
		func(s localtier.Stats) int64 { return s.EvictedBytes })
	counter("casgate_tier_damaged_total", "Copies in the local tier that had wrong bytes, and were dropped.",
		func(s localtier.Stats) int64 { return s.Damaged })
	counter("casgate_tier_errors_total", "Failures of the local tier's folder. They cost speed only.",
		func(s localtier.Stats) int64 { return s.Errors })
	gauge("casgate_tier_bytes", "Bytes of all copies in the local tier, with those that are being made.",
		func(s localtier.Stats) float64 { return float64(s.Bytes) })
	gauge("casgate_tier_limit_bytes", "The most bytes of all copies in the local tier.",
		func(s localtier.Stats) float64 { return float64(s.Limit) })
	registry.MustRegister(prometheus.NewGaugeFunc(failingOpts, func() float64 {
		if t.Stats().IsFailing {
			return 1
		}
		return 0
	}))
}

var failingOpts = prometheus.GaugeOpts{
	Name: "casgate_tier_failing",
	Help: "1 if the local tier's folder has failed in the last moments, or at the start, so that no copies are made.",
}
