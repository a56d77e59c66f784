package scrubber_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/scrubber"
	indexcache "casgate/index"
)

// watchedSource is a source without bytes that calls a function before each repair.
type watchedSource func()

func (s watchedSource) Candidates(context.Context, cas.Blob) ([]scrubber.Candidate, error) {
	s()
	return nil, nil
}

// watchedMarks is an index that calls a function before it marks damaged blobs, and whose
// answer may then be lost.
type watchedMarks struct {
	index
	before func()
	isLost bool
}

func (x watchedMarks) FinishChecks(ctx context.Context, claim string, checks ...scrubber.Check) ([]cas.ObjectRef, error) {
	marks := slices.ContainsFunc(checks, func(c scrubber.Check) bool { return c.Verdict == scrubber.VerdictDamaged })
	if marks {
		x.before()
	}
	refs, err := x.index.FinishChecks(ctx, claim, checks...)
	if marks && x.isLost {
		return nil, cas.ErrIndexUnavailable
	}
	return refs, err
}

// A gateway's cache has a damaged blob as suspect as soon as its scrub has marked it: not
// only after the repairs, and also if the answer to the mark is lost.
func TestMarkedBlobsAreForgottenAtOnce(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		for name, lost := range map[string]bool{"marked": false, "marked, and the answer is lost": true} {
			t.Run(name, func(t *testing.T) {
				cached, err := indexcache.NewCached(w.index, indexcache.CacheOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer cached.Close()
				store, err := cas.NewStore(w.objects, cached, cas.Options{SpoolDir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				defer store.Close()
				all := w.putSome(3)
				cacheRows := func() {
					for _, b := range all {
						castest.Eventually(t, "a cached row", func() bool {
							before := cached.Hits()
							if row, err := store.Blob(t.Context(), cas.DigestOf(b)); err != nil || row.State != cas.StateLive {
								t.Fatalf("%s, %v", row.State, err)
							}
							return cached.Hits() > before
						})
					}
				}
				for _, b := range all {
					w.replace(t, cas.ObjectRef{Digest: cas.DigestOf(b)}, castest.RandomBytes(len(b)))
				}
				check := func() {
					t.Helper()
					for _, b := range all {
						if row, err := store.Blob(t.Context(), cas.DigestOf(b)); err != nil || row.State != cas.StateSuspect {
							t.Errorf("a marked blob is %s, %v", row.State, err)
						}
					}
				}
				repairs := 0
				s := w.scrubber(func(o *scrubber.Options) {
					o.Forget = store.ForgetObject
					o.Sources = []scrubber.Source{watchedSource(func() { repairs++; check() })}
					o.Index = watchedMarks{w.index, cacheRows, lost}
				})
				if _, err := s.Scrub(t.Context(), scrubber.Plan{}); errors.Is(err, cas.ErrIndexUnavailable) != lost || !lost && err != nil {
					t.Errorf("error %v", err)
				}
				check()
				if !lost && repairs != len(all) {
					t.Errorf("%d repairs were tried", repairs)
				}
				for _, b := range all {
					w.put(b)
				}
			})
		}
	})
}
