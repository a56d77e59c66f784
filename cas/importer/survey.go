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

// Statter is what a survey needs of a source: to know an object's size without
// reading it. Errors are those of cas.Source's Open.
type Statter interface {
	Name() string
	Stat(ctx context.Context, key string) (size int64, err error)
}

// SurveyOptions configures a Survey.
type SurveyOptions struct {
	Sources []Statter
	// Known returns a file that the index has, or cas.ErrFileNotFound. Where it has the
	// file already that is counted, and nothing else. Nil: nobody asks.
	Known func(ctx context.Context, id string) (cas.File, error)
	// Missing is cas.Index's.
	Missing func(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error)
	// MaxSize is the largest blob that the store takes, in bytes.
	MaxSize int64
	// Concurrency is how many objects are looked at at once; 0 means 16.
	Concurrency int
	// Report is told of what would fail, by one goroutine at a time. Nil: nobody is.
	Report func(Problem)
}

// SurveyCounts are what a dry run finds.
type SurveyCounts struct {
	Files   int64 `json:"files"`
	Already int64 `json:"already"` // of an import: are files before
	Bytes   int64 `json:"bytes"`   // as they lie in the source
	// Duplicates have a digest noted that the store has, or that came before. Those
	// without one may be duplicates too.
	Duplicates int64 `json:"duplicates"`
	WouldFail  int64 `json:"would_fail"` // as reported
}

// Survey finds out what would become of files, without reading a byte of theirs.
// It is safe for concurrent use. It remembers each digest noted: some 100 MB for a
// million.
type Survey struct {
	SurveyOptions
	sources map[string]Statter

	mu     sync.Mutex
	counts SurveyCounts
	seen   map[cas.Digest]struct{}
}

// NewSurvey begins a survey.
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

// Counts returns what was found so far.
func (s *Survey) Counts() SurveyCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Rows looks at the rows of an import. Progress is told how many it has looked at.
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

// surveyIndex looks at files in place of importing them.
type surveyIndex struct{ survey *Survey }

// ImportFiles implements FileImporter.
func (x surveyIndex) ImportFiles(ctx context.Context, files []cas.File) ([]string, error) {
	return x.survey.look(ctx, files)
}

// Pending looks at all files whose bytes have yet to be taken in. Those that failed
// before are looked at only where retryFailed says so. Progress is told how many it
// has looked at.
func (s *Survey) Pending(ctx context.Context, files fileLister, retryFailed bool, progress func(files int64)) error {
	return eachPage(ctx, files, defaultBatch, 0, func(page []cas.File) error {
		due := slices.DeleteFunc(page, func(f cas.File) bool { return f.Origin.Error != "" && !retryFailed })
		if _, err := s.look(ctx, due); err != nil {
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

// look looks at a batch of files, several at once. It returns the ids of those
// that the index doesn't have.
func (s *Survey) look(ctx context.Context, files []cas.File) (fresh []string, err error) {
	known := make([]bool, len(files))
	looks, looksCtx := errgroup.WithContext(ctx)
	looks.SetLimit(cmp.Or(s.Concurrency, defaultConcurrency))
	for i, f := range files {
		looks.Go(func() (err error) {
			known[i], err = s.lookAt(looksCtx, f)
			return err
		})
	}
	if err := looks.Wait(); err != nil {
		return nil, err
	}
	var noted []cas.Digest
	for i, f := range files {
		if known[i] {
			continue
		}
		fresh = append(fresh, f.ID)
		if !f.Origin.Digest.IsZero() {
			noted = append(noted, f.Origin.Digest)
		}
	}
	return fresh, s.findDuplicates(ctx, noted)
}

// lookAt looks at one file. The error is one that all others would end in, too.
func (s *Survey) lookAt(ctx context.Context, f cas.File) (known bool, err error) {
	if s.Known != nil {
		_, err := s.Known(ctx, f.ID)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, cas.ErrFileNotFound) {
			return false, err
		}
	}
	problem := Problem{Row: OldID(f), FileID: f.ID, Key: f.Origin.Key, Outcome: Failed}
	source, ok := s.sources[f.Origin.Source]
	if !ok {
		problem.Outcome, problem.Reason = PutOff, fmt.Sprintf("it lies in %s, which isn't configured", f.Origin.Source)
		s.fail(problem)
		return false, nil
	}
	size, err := patiently(ctx, 0, func() (int64, error) { return source.Stat(ctx, f.Origin.Key) })
	switch {
	case errors.Is(err, cas.ErrObjectMissing):
		problem.Reason = err.Error()
	case err != nil:
		return false, err
	case s.MaxSize > 0 && size > s.MaxSize:
		problem.Reason = fmt.Sprintf("%v: it has %d bytes, and %d are the most", cas.ErrBlobTooLarge, size, s.MaxSize)
	case f.Origin.Digest.IsZero() && f.Size >= 0 && f.Size != size:
		problem.Reason = fmt.Sprintf("%v: %d bytes lie at %q, and %d were noted", cas.ErrDigestMismatch, size, f.Origin.Key, f.Size)
	}
	if problem.Reason != "" {
		s.fail(problem)
		return false, nil
	}
	s.mu.Lock()
	s.counts.Bytes += size
	s.mu.Unlock()
	return false, nil
}

// findDuplicates counts the digests that the store has, or that came before.
func (s *Survey) findDuplicates(ctx context.Context, noted []cas.Digest) error {
	missing, err := s.Missing(ctx, noted)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Missing repeats what it is asked twice.
	fresh := int64(0)
	for _, d := range missing {
		if _, ok := s.seen[d]; !ok {
			s.seen[d] = struct{}{}
			fresh++
		}
	}
	s.counts.Duplicates += int64(len(noted)) - fresh
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
