package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
)

// Statter is the part of a source that a survey needs: the size of an object, without
// its bytes. Errors are those of cas.Source's Open.
type Statter interface {
	Name() string
	Stat(ctx context.Context, key string) (size int64, err error)
}

// SurveyOptions configures a Survey.
type SurveyOptions struct {
	Sources []Statter
	// Known returns those of the ids that an import would leave as they are. Their files are only
	// counted. Nil: none.
	Known func(ctx context.Context, ids []string) ([]string, error)
	// Missing is the method of cas.Index.
	Missing func(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error)
	// MaxSize is the largest blob that the store takes, in bytes.
	MaxSize int64
	// Concurrency is the number of objects that are checked at the same time; 0 means 16.
	Concurrency int
	// Report is called for each row or file that would fail, by one goroutine at a time.
	// Optional.
	Report func(Problem)
}

// SurveyCounts is the result of a dry run.
type SurveyCounts struct {
	Files   int64 `json:"files"`
	Already int64 `json:"already"` // of an import: rows that are files already
	Bytes   int64 `json:"bytes"`   // in the source
	// Duplicates counts files whose recorded digest the store has, or an earlier file had.
	// Files without a recorded digest may be duplicates too.
	Duplicates int64 `json:"duplicates"`
	WouldFail  int64 `json:"would_fail"` // as reported
}

// Survey finds out what an import or a backfill would do, without reading the bytes of
// files. It is safe for concurrent use. It keeps each recorded digest in memory: about
// 100 MB for a million.
type Survey struct {
	SurveyOptions
	sources map[string]Statter

	mu     sync.Mutex
	counts SurveyCounts
	seen   map[cas.Digest]struct{}
}

// NewSurvey starts a survey.
func NewSurvey(o SurveyOptions) *Survey {
	s := &Survey{
		SurveyOptions: o,
		sources:       make(map[string]Statter, len(o.Sources)),
		seen:          make(map[cas.Digest]struct{}),
	}
	for _, source := range o.Sources {
		s.sources[source.Name()] = source
	}
	return s
}

// Counts returns the result so far.
func (s *Survey) Counts() SurveyCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Rows checks the rows of an import. It calls progress with the number of checked rows.
func (s *Survey) Rows(ctx context.Context, rows Rows, source string, progress func(rows int64)) error {
	counts, err := Import(ctx, rows, ImportOptions{
		Index: surveyIndex{s}, Source: source,
		Report: func(p Problem) {
			if p.Outcome == Failed {
				s.fail(p)
			}
		},
		Progress: func(n ImportCounts) { progress(n.Rows) },
	})
	s.mu.Lock()
	s.counts.Files = counts.Rows
	s.counts.Already += counts.Already
	s.mu.Unlock()
	return err
}

// surveyIndex checks files in place of importing them.
type surveyIndex struct{ survey *Survey }

// ImportFiles implements FileImporter.
func (x surveyIndex) ImportFiles(ctx context.Context, files []cas.File, _ cas.ImportFilesOptions) ([]string, error) {
	return x.survey.check(ctx, files)
}

// Pending checks the pending files that the selection has. It calls progress with the
// number of checked files.
func (s *Survey) Pending(ctx context.Context, files fileLister, which Pending, progress func(files int64)) error {
	return eachPage(ctx, files, defaultBatch, 0, func(page []cas.File) error {
		due := slices.DeleteFunc(page, func(f cas.File) bool { return !which.has(f) })
		if _, err := s.check(ctx, due); err != nil {
			return err
		}
		s.mu.Lock()
		s.counts.Files += int64(len(due))
		n := s.counts.Files
		s.mu.Unlock()
		progress(n)
		return nil
	})
}

// check checks a batch of files, several at the same time. It returns the ids that the
// index doesn't have.
func (s *Survey) check(ctx context.Context, files []cas.File) (fresh []string, err error) {
	unknown, err := s.unknown(ctx, files)
	if err != nil {
		return nil, err
	}
	checks, checksCtx := errgroup.WithContext(ctx)
	checks.SetLimit(cmp.Or(s.Concurrency, defaultConcurrency))
	for _, f := range unknown {
		checks.Go(func() error { return s.checkFile(checksCtx, f) })
	}
	if err := checks.Wait(); err != nil {
		return nil, err
	}
	var recorded []cas.Digest
	for _, f := range unknown {
		fresh = append(fresh, f.ID)
		if !f.Origin.Digest.IsZero() {
			recorded = append(recorded, f.Origin.Digest)
		}
	}
	return fresh, s.findDuplicates(ctx, recorded)
}

// unknown returns those of the files that are not known.
func (s *Survey) unknown(ctx context.Context, files []cas.File) ([]cas.File, error) {
	if s.Known == nil {
		return files, nil
	}
	ids := make([]string, len(files))
	for i, f := range files {
		ids[i] = f.ID
	}
	known, err := patiently(ctx, 0, func() ([]string, error) { return s.Known(ctx, ids) })
	if err != nil || len(known) == 0 {
		return files, err
	}
	isKnown := make(map[string]bool, len(known))
	for _, id := range known {
		isKnown[id] = true
	}
	return slices.DeleteFunc(slices.Clone(files), func(f cas.File) bool { return isKnown[f.ID] }), nil
}

// checkFile checks one file. It returns an error only if all other files would fail
// with it too.
func (s *Survey) checkFile(ctx context.Context, f cas.File) error {
	problem := Problem{Row: OldID(f), FileID: f.ID, Key: f.Origin.Key, Outcome: Failed}
	source, ok := s.sources[f.Origin.Source]
	if !ok {
		problem.Outcome, problem.Reason = PutOff, fmt.Sprintf("it is in %s, which isn't configured", f.Origin.Source)
		s.fail(problem)
		return nil
	}
	size, err := patiently(ctx, 0, func() (int64, error) { return source.Stat(ctx, f.Origin.Key) })
	switch {
	case errors.Is(err, cas.ErrObjectMissing):
		problem.Reason = err.Error()
	case err != nil:
		return err
	case s.MaxSize > 0 && size > s.MaxSize:
		problem.Reason = fmt.Sprintf("%v: it has %d bytes, and at most %d are allowed", cas.ErrBlobTooLarge, size, s.MaxSize)
	case f.Origin.Digest.IsZero() && f.Size >= 0 && f.Size != size:
		problem.Reason = fmt.Sprintf("%v: %q has %d bytes, but the old manager recorded %d", cas.ErrDigestMismatch, f.Origin.Key, size, f.Size)
	}
	if problem.Reason != "" {
		s.fail(problem)
		return nil
	}
	s.mu.Lock()
	s.counts.Bytes += size
	s.mu.Unlock()
	return nil
}

// findDuplicates counts the digests that the store has, or that an earlier file had.
func (s *Survey) findDuplicates(ctx context.Context, recorded []cas.Digest) error {
	missing, err := s.Missing(ctx, recorded)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Missing keeps duplicates.
	fresh := int64(0)
	for _, d := range missing {
		if _, ok := s.seen[d]; !ok {
			s.seen[d] = struct{}{}
			fresh++
		}
	}
	s.counts.Duplicates += int64(len(recorded)) - fresh
	return nil
}

func (s *Survey) fail(p Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.WouldFail++
	if s.Report != nil {
		s.Report(p)
	}
}
