package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/folderstore"
	"casgate/index/export"
	"casgate/index/sqliteindex"
	"casgate/providers/ledger"
)

func newIndex(t *testing.T) *sqliteindex.Index {
	t.Helper()
	x, err := sqliteindex.Open(t.Context(), filepath.Join(t.TempDir(), "index.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	if err := x.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return x
}

// world is an index with rows of each kind, and their store.
type world struct {
	index   *sqliteindex.Index
	objects *folderstore.Store
	blobs   []cas.Digest
}

const blobCount = 600 // more than a page

func newWorld(t *testing.T) *world {
	t.Helper()
	objects, err := folderstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	w := &world{index: newIndex(t), objects: objects}
	now := time.Now().UTC().Add(-time.Hour).Truncate(time.Microsecond)
	var rows []export.Blob
	for i := range blobCount {
		content := fmt.Appendf(nil, "blob %d", i)
		b := cas.Blob{Digest: cas.DigestOf(content), Size: int64(len(content)), MediaType: "text/plain", Name: "<n>", State: cas.StateLive, CreatedAt: now}
		row := export.Blob{Blob: b, TouchedAt: now}
		if i%100 == 99 {
			row.State, row.CondemnedAt = cas.StateCondemned, now
		} else if i < 3 {
			if err := objects.Put(t.Context(), b.Object(), cas.NewVerifyingReader(bytes.NewReader(content), b.Digest, b.Size)); err != nil {
				t.Fatal(err)
			}
		}
		rows = append(rows, row)
		w.blobs = append(w.blobs, b.Digest)
	}
	if _, err := w.index.RestoreBlobs(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	files := []cas.File{{ID: "file-a", Digest: w.blobs[0], Size: 6, Name: "ä\u2028.txt", Purpose: "batch", Tags: []string{"t"}, Metadata: []byte(`{"a":"<&>"}`), CreatedAt: now}}
	if _, err := w.index.RestoreFiles(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	copies := []ledger.Copy{{
		Key: ledger.Key{Digest: w.blobs[0], Provider: "kimi", Account: "a", Purpose: "batch"}, State: ledger.StateReady,
		Fence: 3, FileID: "f", Size: 6, CreatedAt: now, ReadyAt: now, Strays: []ledger.Stray{{Fence: 2, At: now}}, LookAt: now,
	}}
	if _, err := w.index.RestoreCopies(t.Context(), copies); err != nil {
		t.Fatal(err)
	}
	text := []export.Text{{TextKey: ledger.TextKey{Digest: w.blobs[0], Provider: "kimi"}, Text: w.blobs[1], CreatedAt: now}}
	if _, err := w.index.RestoreTexts(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	return w
}

func write(t *testing.T, x export.Source) []byte {
	t.Helper()
	var text bytes.Buffer
	if _, err := export.Write(t.Context(), &text, x, export.WriteOptions{StoreMark: "casaaaaaaaaaa"}); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// rows returns the lines of an export without the first and the last one.
func rows(text []byte) []string {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	return lines[1 : len(lines)-1]
}

func open(t *testing.T, text []byte) *export.Export {
	t.Helper()
	e, err := export.Open(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What is read back is exported as it was, except blobs without their bytes.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := write(t, w.index)
	e := open(t, text)
	if want := (export.Counts{Files: 1, Copies: 1, Texts: 1, Blobs: blobCount}); e.Counts != want || e.Header.StoreMark != "casaaaaaaaaaa" || e.Header.Mark == "" {
		t.Errorf("%+v, %+v", e.Counts, e.Header)
	}
	x := newIndex(t)
	between := 0
	problems := 0
	restore := func() export.Result {
		t.Helper()
		result, err := export.Restore(t.Context(), export.RestoreOptions{
			Export: e, Index: x, Objects: w.objects, Report: func(export.Problem) { problems++ },
		}, func() error { between++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	const missing = blobCount - blobCount/100 - 3
	if r := restore(); r.Blobs.Restored != blobCount || r.Files.Restored != 1 || r.Copies.Restored != 1 || r.Texts.Restored != 1 || r.Missing != missing || r.Deleted != blobCount/100 || problems != missing || between != 1 {
		t.Errorf("%+v, %d problems", r, problems)
	}
	if r := restore(); r.Blobs.Kept != blobCount || r.Files.Kept != 1 || r.Copies.Kept != 1 || r.Texts.Kept != 1 || r.Missing != 0 || r.Deleted != blobCount/100 {
		t.Errorf("again: %+v", r)
	}
	// Except for the state of the blobs without an object, and the grace period of those that were deleted, every row is as it was.
	condemnedAt := regexp.MustCompile(`"condemned_at":"([^"]*)"`)
	before, after := rows(text), rows(write(t, x))
	suspect := 0
	for i := range before {
		if strings.Contains(after[i], `"state":"suspect"`) {
			suspect++
			after[i] = strings.Replace(after[i], `"state":"suspect"`, `"state":"live"`, 1)
		}
		if found := condemnedAt.FindStringSubmatch(after[i]); found != nil {
			at, err := time.Parse(time.RFC3339Nano, found[1])
			if err != nil || time.Since(at) > time.Minute {
				t.Errorf("the grace period begins at %s, %v", found[1], err)
			}
			after[i] = condemnedAt.ReplaceAllString(after[i], condemnedAt.FindString(before[i]))
		}
		if before[i] != after[i] {
			t.Errorf("row %d:\n%s\n%s", i, before[i], after[i])
		}
	}
	if len(before) != len(after) || suspect != missing {
		t.Errorf("%d rows become %d, with %d suspect blobs", len(before), len(after), suspect)
	}
}

// A truncated or damaged file is refused before a row of it is used.
func TestDamagedExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := write(t, w.index)
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	last := len(lines) - 1
	without := func(i int) []byte {
		var all []byte
		for n, line := range append(lines[:last:last], append(bytes.Clone(lines[last]), '\n')) {
			if n != i {
				all = append(all, line...)
			}
		}
		return all
	}
	for name, damaged := range map[string][]byte{
		"empty":             nil,
		"no header":         without(0),
		"a row is missing":  without(5),
		"no last line":      without(last),
		"cut in a line":     text[:len(text)/2],
		"cut at the end":    text[:len(text)-1],
		"a changed byte":    bytes.Replace(text, []byte("blob"), []byte("blub"), 1),
		"another file":      []byte("name,size\n"),
		"something after":   append(bytes.Clone(text), '\n'),
		"twice":             append(bytes.Clone(text), text...),
		"another version":   bytes.Replace(text, []byte(`"version":1`), []byte(`"version":2`), 1),
		"an unknown field":  bytes.Replace(text, []byte(`"state"`), []byte(`"stale"`), 1),
		"an unknown kind":   bytes.Replace(text, []byte(`{"file"`), []byte(`{"tile"`), 1),
		"a changed counter": bytes.Replace(text, []byte(`"end":{"files":1`), []byte(`"end":{"files":2`), 1),
	} {
		if e, err := export.Open(bytes.NewReader(damaged)); !errors.Is(err, export.ErrInvalid) {
			t.Errorf("%s: %+v, error %v", name, e, err)
		}
	}
	open(t, without(-1))
}

// A blob that was collected and uploaded again since the export is not missing: its object has a
// higher generation, and gets the row between.
func TestAnObjectOfALaterGeneration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, x := open(t, write(t, w.index)), newIndex(t)
	const missing = blobCount - blobCount/100 - 3
	found := []cas.Digest{w.blobs[5], w.blobs[blobCount-2]}
	between := func() error {
		var later []cas.Blob
		for _, d := range found {
			later = append(later, cas.Blob{Digest: d, Generation: 2, Size: 1, MediaType: cas.DefaultMediaType, State: cas.StateLive, CreatedAt: time.Now()})
		}
		adopted, err := x.AdoptBlobs(t.Context(), later)
		if len(adopted) != len(found) {
			t.Errorf("adopted: %v", adopted)
		}
		return err
	}
	reported := map[string]bool{}
	r, err := export.Restore(t.Context(), export.RestoreOptions{
		Export: e, Index: x, Objects: w.objects, Report: func(p export.Problem) { reported[p.Name] = true },
	}, between)
	if err != nil || r.Missing != missing-int64(len(found)) || len(reported) != missing-len(found) {
		t.Errorf("%+v, %d reported, error %v", r, len(reported), err)
	}
	for _, d := range found {
		if reported[d.String()] {
			t.Errorf("%s is reported", d)
		}
	}
	// After an error the missing ones are reported nevertheless: the next run finds their rows.
	clear(reported)
	broken := errors.New("broken")
	r, err = export.Restore(t.Context(), export.RestoreOptions{
		Export: e, Index: newIndex(t), Objects: w.objects, Report: func(p export.Problem) { reported[p.Name] = true },
	}, func() error { return broken })
	if !errors.Is(err, broken) || r.Missing != missing || len(reported) != missing {
		t.Errorf("%+v, %d reported, error %v", r, len(reported), err)
	}
}

// A store that has none of the blobs is another one. Nothing is written.
func TestOtherStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := open(t, write(t, w.index))
	other, err := folderstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	x := newIndex(t)
	o := export.RestoreOptions{Export: e, Index: x, Objects: other, Report: func(export.Problem) {}}
	if _, err := export.Restore(t.Context(), o, func() error { return nil }); !errors.Is(err, export.ErrOtherStore) {
		t.Errorf("error %v", err)
	}
	if page, err := x.ExportBlobs(t.Context(), cas.Digest{}, 1); err != nil || len(page) > 0 {
		t.Errorf("%d rows, error %v", len(page), err)
	}
	o.AnyStore = true
	if r, err := export.Restore(t.Context(), o, func() error { return nil }); err != nil || r.Missing != blobCount-blobCount/100 {
		t.Errorf("%+v, error %v", r, err)
	}
}

// The way back continues after an outage at each of its writes, whether that was applied
// or not.
func TestRestoreContinues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := write(t, w.index)
	e, x := open(t, text), newIndex(t)
	for _, applied := range []bool{false, true} {
		for fails := 1; ; fails++ {
			faulty := &faultyTarget{Target: x, fails: fails, applied: applied}
			_, err := export.Restore(t.Context(), export.RestoreOptions{Export: e, Index: faulty, Objects: w.objects, Report: func(export.Problem) {}}, func() error { return nil })
			if err == nil {
				if fails < 5 {
					t.Errorf("only %d writes", fails-1)
				}
				break
			}
			if !errors.Is(err, cas.ErrIndexUnavailable) {
				t.Fatal(err)
			}
		}
		if got := rows(write(t, x)); len(got) != len(rows(text)) {
			t.Errorf("%d rows; want %d", len(got), len(rows(text)))
		}
		x = newIndex(t)
	}
	if _, err := export.Restore(t.Context(), export.RestoreOptions{Export: e, Index: x, Objects: unreachable{}, Report: func(export.Problem) {}}, func() error { return nil }); !errors.Is(err, cas.ErrStoreUnavailable) {
		t.Errorf("without a store: %v", err)
	}
}

// faultyTarget fails at one of its writes.
type faultyTarget struct {
	export.Target
	fails   int
	applied bool
}

func (f *faultyTarget) write(do func() ([]export.Outcome, error)) ([]export.Outcome, error) {
	f.fails--
	if f.fails != 0 {
		return do()
	}
	if f.applied {
		if _, err := do(); err != nil {
			return nil, err
		}
	}
	return nil, cas.ErrIndexUnavailable
}

func (f *faultyTarget) RestoreBlobs(ctx context.Context, rows []export.Blob) ([]export.Outcome, error) {
	return f.write(func() ([]export.Outcome, error) { return f.Target.RestoreBlobs(ctx, rows) })
}

func (f *faultyTarget) RestoreFiles(ctx context.Context, rows []cas.File) ([]export.Outcome, error) {
	return f.write(func() ([]export.Outcome, error) { return f.Target.RestoreFiles(ctx, rows) })
}

func (f *faultyTarget) RestoreCopies(ctx context.Context, rows []ledger.Copy) ([]export.Outcome, error) {
	return f.write(func() ([]export.Outcome, error) { return f.Target.RestoreCopies(ctx, rows) })
}

func (f *faultyTarget) RestoreTexts(ctx context.Context, rows []export.Text) ([]export.Outcome, error) {
	return f.write(func() ([]export.Outcome, error) { return f.Target.RestoreTexts(ctx, rows) })
}

// unreachable is a store that does not answer.
type unreachable struct{}

func (unreachable) Stat(context.Context, cas.ObjectRef) (cas.ObjectStat, error) {
	return cas.ObjectStat{}, cas.ErrStoreUnavailable
}
