package importer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/cas/importer"
)

// fakeIndex keeps files in memory, in the order of their ids.
type fakeIndex struct {
	files map[string]cas.File
	calls int
	// fail is asked before each call.
	fail func(call int) error
}

func (x *fakeIndex) ImportFiles(_ context.Context, files []cas.File, _ cas.ImportFilesOptions) (stored []string, err error) {
	x.calls++
	if x.fail != nil {
		if err := x.fail(x.calls); err != nil {
			return nil, err
		}
	}
	if x.files == nil {
		x.files = map[string]cas.File{}
	}
	for _, f := range files { // as every index does
		if err := f.CheckImport(); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		if _, ok := x.files[f.ID]; !ok {
			x.files[f.ID] = f
			stored = append(stored, f.ID)
		}
	}
	return stored, nil
}

// rowsOf returns n good rows, with the given rows among them.
func rowsOf(n int, more ...any) importer.Rows {
	return func(yield func(importer.Row, error) bool) {
		for i := range n {
			if !yield(importer.Row{ID: fmt.Sprint(i), Key: fmt.Sprint("k", i), Size: "10"}, nil) {
				return
			}
		}
		for _, m := range more {
			row, _ := m.(importer.Row)
			err, _ := m.(error)
			if !yield(row, err) {
				return
			}
		}
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	index := &fakeIndex{}
	var problems []importer.Problem
	o := importer.ImportOptions{Index: index, Source: "s3://old", Report: func(p importer.Problem) { problems = append(problems, p) }}
	rows := rowsOf(1200,
		importer.Row{ID: "0", Key: "again"},
		importer.Row{ID: "x", Key: "kx", Size: "-5"},
		importer.Row{ID: "y"},
		&importer.RowError{Where: "line 9", Err: errors.New("broken")},
		importer.Row{ID: "z", Key: "kz"},
		importer.Row{ID: "z", Key: "twice in a batch"},
	)
	counts, err := importer.Import(t.Context(), rows, o)
	if err != nil {
		t.Fatal(err)
	}
	want := importer.ImportCounts{Rows: 1206, Imported: 1202, Already: 2, Noted: 1, Failed: 2, Bytes: 12000}
	if counts != want || len(index.files) != 1202 {
		t.Errorf("%+v, %d files", counts, len(index.files))
	}
	slices.SortFunc(problems, func(a, b importer.Problem) int { return cmpText(a.Row, b.Row) })
	wantProblems := []importer.Problem{
		{Row: "line 9", Outcome: importer.Failed, Reason: "broken"},
		{Row: "x", FileID: importer.FileID("s3://old", "x"), Key: "kx", Outcome: importer.Imported, Reason: "its size -5 is left out: it is negative"},
		{Row: "y", Outcome: importer.Failed, Reason: "it has no storage path"},
	}
	if diff := cmp.Diff(wantProblems, problems); diff != "" {
		t.Error(diff)
	}

	before := len(index.files)
	problems = nil
	counts, err = importer.Import(t.Context(), rows, o)
	want = importer.ImportCounts{Rows: 1206, Already: 1204, Failed: 2}
	if err != nil || counts != want || len(index.files) != before || len(problems) != 2 {
		t.Errorf("again: %+v, %v, problems %v", counts, err, problems)
	}
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// The import waits for an index that is unavailable for a moment. An index that stays
// unavailable ends the import.
func TestImportWaitsForTheIndex(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		index := &fakeIndex{fail: func(call int) error {
			if call < 4 {
				return fmt.Errorf("gone: %w", cas.ErrIndexUnavailable)
			}
			return nil
		}}
		if counts, err := importer.Import(t.Context(), rowsOf(3), importer.ImportOptions{Index: index}); err != nil || counts.Imported != 3 {
			t.Errorf("%+v, %v", counts, err)
		}
		start := time.Now()
		index.fail = func(int) error { return cas.ErrIndexUnavailable }
		_, err := importer.Import(t.Context(), rowsOf(3), importer.ImportOptions{Index: index})
		if waited := time.Since(start); !errors.Is(err, cas.ErrIndexUnavailable) || waited < 20*time.Second || waited > 31*time.Second {
			t.Errorf("after %v: %v", waited, err)
		}
		index.fail = func(int) error { return errors.New("no such column") }
		index.calls = 0
		if _, err := importer.Import(t.Context(), rowsOf(3), importer.ImportOptions{Index: index}); err == nil || index.calls != 1 {
			t.Errorf("%d calls: %v", index.calls, err)
		}
	})
}

// The rows that were read before an error are stored.
func TestImportOfRowsThatBreakOff(t *testing.T) {
	t.Parallel()
	index := &fakeIndex{}
	counts, err := importer.Import(t.Context(), rowsOf(700, cas.ErrOriginUnavailable), importer.ImportOptions{Index: index})
	if !errors.Is(err, cas.ErrOriginUnavailable) || counts.Imported != 700 || len(index.files) != 700 {
		t.Errorf("%+v, %v", counts, err)
	}
}

func TestImportStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	index := &fakeIndex{}
	o := importer.ImportOptions{Index: index, Progress: func(importer.ImportCounts) { cancel() }}
	counts, err := importer.Import(ctx, rowsOf(5000), o)
	if !errors.Is(err, context.Canceled) || counts.Imported != 500 {
		t.Errorf("%+v, %v", counts, err)
	}
}

// A row that no index can store does not affect the others of its batch.
func TestImportOfWhatTheIndexRefuses(t *testing.T) {
	t.Parallel()
	index := &fakeIndex{}
	var problems []string
	o := importer.ImportOptions{Index: index, Source: old, Report: func(p importer.Problem) {
		problems = append(problems, fmt.Sprint(p.Row, " ", p.Outcome))
	}}
	counts, err := importer.Import(t.Context(), rowsOf(600,
		importer.Row{ID: "large", Key: "k", Name: "a/b", Metadata: `{"n":1e999}`},
		importer.Row{ID: "never", Key: "never\x00"},
	), o)
	want := importer.ImportCounts{Rows: 602, Imported: 601, Noted: 1, Failed: 1, Bytes: 6000}
	if err != nil || counts != want {
		t.Errorf("%+v, %v", counts, err)
	}
	slices.Sort(problems)
	if !slices.Equal(problems, []string{"large imported", "never failed"}) {
		t.Error(problems)
	}
	if f := index.files[importer.FileID(old, "large")]; string(f.Metadata) != `{"imported_id":"large","imported_name":"a/b"}` {
		t.Errorf("metadata %s", f.Metadata)
	}
}
