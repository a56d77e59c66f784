package importer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/cas/importer"
)

func TestBackfill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newFakeFiles(100)
		x.change("0050", func(f *cas.File) { f.Origin.Error = "failed before" })
		x.change("0051", func(f *cas.File) { f.Origin.Source = "file:///elsewhere" })
		x.takeIn = func(f cas.File, try int) (bool, error) {
			switch {
			case f.Name == "0010":
				return false, fmt.Errorf("%w: nothing there", cas.ErrObjectMissing)
			case f.Name == "0011":
				return false, cas.ErrFileNotFound
			case f.Name == "0012" && try < 4:
				return false, cas.ErrOriginUnavailable
			case f.Name == "0013":
				return false, nil
			case f.Name == "0014":
				return false, errors.New("an unexpected error")
			}
			return true, nil
		}
		o := x.options()
		var events []importer.Event
		o.Notify = func(e importer.Event) { events = append(events, e) }
		counts, err := importer.Backfill(t.Context(), o)
		want := importer.BackfillCounts{Taken: 95, Duplicates: 1, Bytes: 950, Failed: 2, PutOff: 1, Gone: 1, FailedBefore: 1}
		if err != nil || counts != want {
			t.Errorf("%+v, %v", counts, err)
		}
		if len(events) != 99 {
			t.Errorf("%d events", len(events))
		}
		if got := x.pending(); !slices.Equal(got, []string{"0010", "0011", "0014", "0050", "0051"}) {
			t.Errorf("pending: %v", got)
		}

		// Again: only files without a recorded failure are tried.
		clear(x.tries)
		counts, err = importer.Backfill(t.Context(), x.options())
		want = importer.BackfillCounts{Failed: 1, PutOff: 1, Gone: 1, FailedBefore: 2}
		if err != nil || counts != want || x.tries["0010"] != 0 {
			t.Errorf("again: %+v, %v", counts, err)
		}

		// Now the failed files work, and are stored too.
		x.takeIn = nil
		o = x.options()
		o.Pending = importer.PendingAll
		counts, err = importer.Backfill(t.Context(), o)
		want = importer.BackfillCounts{Taken: 4, Bytes: 40, PutOff: 1}
		if err != nil || counts != want {
			t.Errorf("retried: %+v, %v", counts, err)
		}
	})
}

// One file that can't be read because of its server is put off; a server that is
// away for all of them ends the run, and fails none.
func TestBackfillWithoutAServer(t *testing.T) {
	t.Parallel()
	for _, away := range []error{cas.ErrOriginUnavailable, cas.ErrIndexUnavailable, cas.ErrStoreUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			x := newFakeFiles(100)
			x.takeIn = func(f cas.File, try int) (bool, error) {
				if f.Name == "0020" || f.Name >= "0060" {
					return false, fmt.Errorf("dial: %w", away)
				}
				return true, nil
			}
			o := x.options()
			o.Patience = time.Minute
			start := time.Now()
			counts, err := importer.Backfill(t.Context(), o)
			if !errors.Is(err, away) || counts.Taken != 59 || counts.Failed != 0 || counts.PutOff > 4 {
				t.Errorf("%+v, %v", counts, err)
			}
			if waited := time.Since(start); waited < 40*time.Second || waited > 3*time.Minute {
				t.Errorf("it took %v", waited)
			}
			if n := len(x.pending()); n != 41 {
				t.Errorf("%d pending", n)
			}
		})
	}
}

func TestBackfillStopsWhereNoSpaceIsLeft(t *testing.T) {
	t.Parallel()
	x := newFakeFiles(100)
	x.takeIn = func(f cas.File, _ int) (bool, error) {
		if f.Name >= "0060" {
			return false, cas.ErrNoSpace
		}
		return true, nil
	}
	counts, err := importer.Backfill(t.Context(), x.options())
	if !errors.Is(err, cas.ErrNoSpace) || counts.Taken != 60 || counts.Failed+counts.PutOff != 0 {
		t.Errorf("%+v, %v", counts, err)
	}
}

// When its context is done, it finishes the files in progress and waits for no server.
func TestBackfillStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newFakeFiles(100)
		ctx, cancel := context.WithCancel(t.Context())
		x.takeIn = func(f cas.File, _ int) (bool, error) {
			switch f.Name {
			case "0020":
				cancel()
			case "0018":
				return false, cas.ErrOriginUnavailable
			}
			time.Sleep(time.Second)
			return true, nil
		}
		start := time.Now()
		counts, err := importer.Backfill(ctx, x.options())
		if !errors.Is(err, context.Canceled) || counts.Taken < 20 || counts.Taken > 24 || counts.Failed+counts.PutOff != 0 {
			t.Errorf("%+v, %v", counts, err)
		}
		if int(counts.Taken) != 100-len(x.pending()) {
			t.Errorf("%d taken, and %d pending", counts.Taken, len(x.pending()))
		}
		if took := time.Since(start); took > 12*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestBackfillKeepsItsPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newFakeFiles(101)
		o := x.options()
		o.ObjectsPerSecond = 10
		start := time.Now()
		if _, err := importer.Backfill(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start).Round(time.Second); took != 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
