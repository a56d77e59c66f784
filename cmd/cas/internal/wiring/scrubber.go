package wiring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"casgate/cas"
	"casgate/cas/folderstore/foldersource"
	"casgate/cas/journal"
	"casgate/cas/scrubber"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/providers/replicator"
)

// OpenScrubber makes the scrubber that the settings describe, for the index's own object
// store. It starts nothing.
func OpenScrubber(c settings.Scrub, x Index, objects ObjectStore, o scrubber.Options, registry prometheus.Registerer) (*scrubber.Scrubber, error) {
	if c.ScrubMaxDamaged > 100 {
		return nil, exit.Usagef("a share of %g %% is more than 100 (CAS_SCRUB_MAX_DAMAGED)", c.ScrubMaxDamaged)
	}
	o.Index = x
	if o.Objects == nil {
		o.Objects = objects
	}
	o.Brake = scrubber.Brake{MaxShare: c.ScrubMaxDamaged / 100}
	o.CheckStore = func(ctx context.Context) error { return hasMarkOf(ctx, x, objects) }
	s := scrubber.New(o)
	registerScrubMetrics(registry, s)
	return s, nil
}

// hasMarkOf returns an error unless the object store has the mark of the index.
func hasMarkOf(ctx context.Context, x Index, objects ObjectStore) error {
	want, err := x.Mark(ctx)
	if err != nil {
		return err
	}
	got, err := objects.marked().Mark(ctx)
	if err == nil && got != string(want) {
		err = exit.Usagef("the object store (%s) has the mark %q, and not the index's, %q; is its disk mounted, and the bucket the right one?", objects.Text, got, want)
	}
	return err
}

func registerScrubMetrics(registry prometheus.Registerer, s *scrubber.Scrubber) {
	counter := func(name, help string, value func(scrubber.Stats) int64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(value(s.Stats())) }))
	}
	gauge := func(name, help string, value func(scrubber.Stats) float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(s.Stats()) }))
	}
	counter("casgate_scrub_blobs_total", "Blobs whose objects this process has checked.",
		func(s scrubber.Stats) int64 { return s.Blobs })
	counter("casgate_scrub_bytes_total", "Bytes that this process has read to check objects.",
		func(s scrubber.Stats) int64 { return s.Bytes })
	counter("casgate_scrub_damaged_total", "Objects that a check by this process found missing or damaged, with those it repaired.",
		func(s scrubber.Stats) int64 { return s.Damaged })
	counter("casgate_scrub_healed_total", "Suspect blobs whose objects a check by this process found right.",
		func(s scrubber.Stats) int64 { return s.Healed })
	counter("casgate_scrub_repaired_total", "Damaged objects that this process has repaired.",
		func(s scrubber.Stats) int64 { return s.Repaired })
	counter("casgate_scrub_unread_total", "Checks by this process that could not read the object, which proves nothing.",
		func(s scrubber.Stats) int64 { return s.Unread })
	gauge("casgate_scrub_stopped", "1 if the last pass stopped early: the store failed, is not the index's, or lacks too many objects.",
		func(s scrubber.Stats) float64 {
			if s.Stopped {
				return 1
			}
			return 0
		})
	gauge("casgate_scrub_last_success_timestamp_seconds", "When this process last found no more blobs to check.",
		func(s scrubber.Stats) float64 { return float64(s.LastSuccess) })
}

// RecordScrubbed returns a function that records what a gateway's scrub found. A nil
// writer records nothing. Right objects are not recorded: there are too many of them.
func RecordScrubbed(w *journal.Writer) func(scrubber.Result) {
	return func(r scrubber.Result) {
		if w == nil || r.Outcome == scrubber.OutcomeRight || r.Outcome == scrubber.OutcomeChanged {
			return
		}
		record := scrubRecord(r)
		record.Actor = journal.ActorGateway
		w.Add(endedNow(record, r.Began, scrubFailure(r)))
	}
}

// RecordScrubbed records the check of a blob by a command.
func (j *CommandJournal) RecordScrubbed(r scrubber.Result) {
	j.Add(scrubRecord(r), r.Began, scrubFailure(r))
}

func scrubRecord(r scrubber.Result) journal.Record {
	return journal.Record{Kind: journal.KindScrub, Digest: r.Blob.Digest, Bytes: r.Blob.Size}
}

// scrubFailure is the error of an object that is not right now.
func scrubFailure(r scrubber.Result) error {
	if r.Outcome == scrubber.OutcomeRepaired {
		return nil
	}
	return r.Err
}

// RepairSources are the places from which damaged objects are repaired.
type RepairSources struct {
	All     []scrubber.Source
	folders []*foldersource.Source
}

// Close closes the folders.
func (s RepairSources) Close() {
	for _, f := range s.folders {
		f.Close() // it was only read
	}
}

// RepairParts are what repairs take bytes from, besides the folders of the settings.
type RepairParts struct {
	Objects ObjectStore
	Data    settings.Data
	Tier    *Tier // nil: there is none
	// Files says where imported files came from, and Origins are the sources of imports that
	// are configured.
	Files   FileLister
	Origins []cas.Source
	Copies  *replicator.Replicator
}

// OpenRepairSources opens the local tier, the folders that the settings name, and the data
// folder's object folder if it is not the store itself. Then come the sources of imported files.
// Copies at providers come last, since they may cost money.
func OpenRepairSources(c settings.Scrub, p RepairParts) (s RepairSources, err error) {
	if p.Tier != nil && p.Tier.tier != nil {
		s.All = append(s.All, tierSource{p.Tier.tier})
	}
	dirs := c.RepairFrom
	own := p.Data.Path(settings.ObjectsDir)
	if _, err := os.Stat(own); err == nil && p.Objects.S3 != nil {
		dirs = append([]string{own}, dirs...)
	}
	for _, dir := range dirs {
		folder, err := foldersource.Open(dir)
		if err != nil {
			s.Close()
			return RepairSources{}, exit.Usagef("%w (see CAS_REPAIR_FROM)", err)
		}
		s.folders = append(s.folders, folder)
		s.All = append(s.All, scrubber.ObjectSource{Source: folder})
	}
	if len(p.Origins) > 0 {
		s.All = append(s.All, originSource{p.Files, p.Origins})
	}
	if p.Copies != nil {
		s.All = append(s.All, copySource{p.Copies})
	}
	return s, nil
}

// FileLister lists files.
type FileLister interface {
	ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error)
}

// maxOrigins limits the files of a blob whose origins a repair tries.
const maxOrigins = 100

// originSource takes bytes from where the imported files of a blob came from.
type originSource struct {
	files   FileLister
	sources []cas.Source
}

// Candidates implements scrubber.Source.
func (s originSource) Candidates(ctx context.Context, b cas.Blob) ([]scrubber.Candidate, error) {
	files, err := s.files.ListFiles(ctx, cas.FileQuery{Digest: b.Digest, Limit: maxOrigins})
	if err != nil {
		return nil, fmt.Errorf("look for imported files: %w", err)
	}
	var candidates []scrubber.Candidate
	for _, f := range files {
		if f.Origin == nil {
			continue
		}
		for _, source := range s.sources {
			if source.Name() != f.Origin.Source {
				continue
			}
			candidates = append(candidates, scrubber.Candidate{Name: source.Name(), Open: func(ctx context.Context) (io.ReadCloser, error) {
				object, err := source.Open(ctx, f.Origin.Key)
				return object.Body, err
			}})
		}
	}
	return candidates, nil
}

// copySource takes bytes from the copies at providers that return them unchanged.
type copySource struct{ *replicator.Replicator }

// Candidates implements scrubber.Source.
func (s copySource) Candidates(ctx context.Context, b cas.Blob) ([]scrubber.Candidate, error) {
	copies, err := s.Copies(ctx, b.Digest)
	if err != nil {
		return nil, fmt.Errorf("look for copies: %w", err)
	}
	var candidates []scrubber.Candidate
	for _, c := range copies {
		if !s.ReturnsBytes(c) {
			continue
		}
		candidates = append(candidates, scrubber.Candidate{Name: c.Provider, Open: func(ctx context.Context) (io.ReadCloser, error) { return s.Download(ctx, c) }})
	}
	return candidates, nil
}

// ScrubError gives the error of a scrub its exit code.
func ScrubError(err error) error {
	_, stopped := errors.AsType[*scrubber.BrakeError](err)
	switch {
	case errors.Is(err, scrubber.ErrRunning):
		return exit.With(exit.UnderWay, fmt.Errorf("%w; `cas scrub --status` shows it", err))
	case errors.Is(err, scrubber.ErrNothingToResume):
		return exit.With(exit.NotFound, fmt.Errorf("%w; start one with `cas scrub`", err))
	case stopped:
		return exit.With(exit.TooMuch, fmt.Errorf("%w; look whether the object store is the right one, and raise --scrub-max-damaged if the objects are really damaged", err))
	}
	return err
}
