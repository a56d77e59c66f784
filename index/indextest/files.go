package indextest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
)

// FileAger is an ability to give the index that is tested, beside those it has for
// real, as TimeSetter is.
type FileAger interface {
	// AgeFile makes every time that the file's row has earlier by that much.
	AgeFile(t testing.TB, id string, by time.Duration)
}

// FileCounter is another: it is asked after every test.
type FileCounter interface {
	// CheckFileCounts fails the test where a blob doesn't know how many files refer to
	// it.
	CheckFileCounts(t testing.TB)
}

// ageFile lets time pass for a file, or skips the test.
func ageFile(t testing.TB, x Index, id string, by time.Duration) {
	t.Helper()
	ager, ok := x.(FileAger)
	if !ok {
		t.Skip("the index has no AgeFile")
	}
	ager.AgeFile(t, id, by)
}

// fileID makes an id of its own for each test and number; those of greater numbers
// come later.
func fileID(t testing.TB, n int) string {
	return fmt.Sprintf("file-%s%06d", cas.DigestOf([]byte(t.Name())).Hex()[:10], n)
}

// fileOf is a file of its own for each test and number.
func fileOf(t testing.TB, n int, d cas.Digest) cas.File {
	return cas.File{ID: fileID(t, n), Digest: d, Size: size, Name: "a.txt", MediaType: "text/plain", Purpose: "assistants"}
}

// fullFile is one that says all it can.
func fullFile(t testing.TB, n int, d cas.Digest) cas.File {
	f := fileOf(t, n, d)
	f.Name, f.MediaType, f.Purpose, f.Context = "Größe 文件 😀.pdf", "text/plain; charset=utf-8", "file-extract", "conversation 7"
	f.Tags = []string{"b", "a", "«ü»"}
	f.Metadata = json.RawMessage(`{"user":"7","n":1.50,"list":[1,null,true],"nested":{"<a>":"b & c\u2028"}}`)
	f.ExpiresAt = expiry
	return f
}

// expiry is a time that is far ahead, the same for all.
var expiry = later(long)

// imported is a file to import.
func imported(t testing.TB, n int) cas.File {
	f := fullFile(t, n, cas.Digest{})
	f.Size = -1
	f.CreatedAt = time.Unix(1_700_000_000+int64(n), 123456000).UTC()
	f.Origin = &cas.Origin{
		Source: "old", Key: "uploads/«ü» 1.pdf", Digest: digest(t, n), Provider: provider, ProviderFileID: "abc",
	}
	return f
}

// live commits a blob.
func live(t testing.TB, x Index, n int) cas.Digest {
	t.Helper()
	row, _ := commit(t, x, blob(digest(t, n), 0))
	return row.Digest
}

// createFile creates and fails the test where that fails.
func createFile(t testing.TB, x Index, f cas.File) cas.File {
	t.Helper()
	created, err := x.CreateFile(t.Context(), f, false)
	if err != nil {
		t.Fatalf("CreateFile(%s): %v", f.ID, err)
	}
	return created
}

// getFile reads a file and fails the test where that fails.
func getFile(t testing.TB, x Index, id string) cas.File {
	t.Helper()
	f, err := x.File(t.Context(), id)
	if err != nil {
		t.Fatalf("File(%s): %v", id, err)
	}
	return f
}

// deleteFile deletes and fails the test where that fails.
func deleteFile(t testing.TB, x Index, id string) {
	t.Helper()
	if _, err := x.DeleteFile(t.Context(), id); err != nil {
		t.Fatalf("DeleteFile(%s): %v", id, err)
	}
}

// expired makes a file that has expired.
func expired(t testing.TB, x Index, f cas.File) {
	t.Helper()
	f.ExpiresAt = later(long)
	createFile(t, x, f)
	ageFile(t, x, f.ID, 2*long)
}

// sameFile fails the test where two files differ. Of metadata it is the values that
// count.
func sameFile(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, jsonValues); diff != "" {
		t.Errorf("%s is not as it should be (-want +got):\n%s", what, diff)
	}
}

// jsonValues compares JSON by its values. Empty metadata means {}.
var jsonValues = cmp.Transformer("values", func(text json.RawMessage) string {
	var value any
	if len(text) == 0 {
		text = json.RawMessage(`{}`)
	}
	if err := json.Unmarshal(text, &value); err != nil {
		return err.Error()
	}
	canonical, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(canonical)
})

// noFile fails the test unless err is about a file that isn't there, and not about
// the index.
func noFile(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, cas.ErrFileNotFound) || errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("%s: error %v; want one that wraps ErrFileNotFound only", what, err)
	}
}

// invalid fails the test unless err is about this field.
func invalid(t testing.TB, what string, err error, field string) {
	t.Helper()
	problem, ok := errors.AsType[*cas.InvalidField](err)
	if !ok || problem.Field != field || errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("%s: error %v; want an InvalidField about %s", what, err, field)
	}
}

// inUse fails the test unless the blob can't be condemned because of its files.
func inUse(t testing.TB, x Index, d cas.Digest) {
	t.Helper()
	err := x.Condemn(t.Context(), d, false)
	if !errors.Is(err, cas.ErrBlobInUse) || errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("Condemn(%s): error %v; want one that wraps ErrBlobInUse only", d.Short(), err)
	}
}

// fileCalls lists one call of each method about files, with one to create and one to
// import, neither of which is there.
func fileCalls(x Index, f, toImport cas.File) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"CreateFile":  func(ctx context.Context) error { _, err := x.CreateFile(ctx, f, false); return err },
		"File":        func(ctx context.Context) error { _, err := x.File(ctx, f.ID); return err },
		"ListFiles":   func(ctx context.Context) error { _, err := x.ListFiles(ctx, cas.FileQuery{Limit: 1}); return err },
		"DeleteFile":  func(ctx context.Context) error { _, err := x.DeleteFile(ctx, f.ID); return err },
		"TouchFiles":  func(ctx context.Context) error { return x.TouchFiles(ctx, map[string]time.Time{f.ID: time.Now()}) },
		"ExpireFiles": func(ctx context.Context) error { _, err := x.ExpireFiles(ctx, 1); return err },
		"ImportFiles": func(ctx context.Context) error { _, err := x.ImportFiles(ctx, []cas.File{toImport}); return err },
		"ResolveFile": func(ctx context.Context) error { _, err := x.ResolveFile(ctx, f.ID, blob(f.Digest, 0)); return err },
		"FailFile":    func(ctx context.Context) error { return x.FailFile(ctx, f.ID, "no") },
	}
}

var createFileTests = []test{
	{"returns what was created", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		for i, f := range []cas.File{fileOf(t, 1, d), fullFile(t, 2, d), {ID: fileID(t, 3), Digest: d, Name: "x", Purpose: "batch"}} {
			want := f
			want.Size = size
			f.CreatedAt = time.Unix(1, 0)
			before := time.Now()
			got := createFile(t, x, f)
			if got.CreatedAt.Sub(before).Abs() > 24*time.Hour || got.CreatedAt.Location() != time.UTC {
				t.Errorf("file %d was created at %s, at %s", i, got.CreatedAt, before)
			}
			want.CreatedAt = got.CreatedAt
			sameFile(t, "the file", got, want)
			sameFile(t, "the file that is there", getFile(t, x, f.ID), got)
		}
	}},
	{"has the size of its blob", func(t *testing.T, x Index) {
		f := fileOf(t, 1, live(t, x, 0))
		f.Size = 5
		if got := createFile(t, x, f); got.Size != size {
			t.Errorf("its size is %d; want %d", got.Size, size)
		}
	}},
	{"keeps where the file came from, and when it was read", func(t *testing.T, x Index) {
		f := fullFile(t, 1, live(t, x, 0))
		f.Origin = &cas.Origin{Source: "old", Key: "k", Digest: digest(t, 5), Provider: "p", ProviderFileID: "i", Error: "e"}
		f.AccessedAt = later(-time.Hour)
		got := createFile(t, x, f)
		f.CreatedAt = got.CreatedAt
		sameFile(t, "the file", got, f)
	}},
	{"wants a visible blob", func(t *testing.T, x Index) {
		for i, state := range states {
			b := blob(digest(t, i), 0)
			arrange(t, x, b, state)
			for j, unique := range []bool{false, true} {
				_, err := x.CreateFile(t.Context(), fileOf(t, 2*i+j, b.Digest), unique)
				switch {
				case state.Visible() && !unique && err != nil:
					t.Errorf("CreateFile of a %s blob: %v", state, err)
				case !state.Visible():
					notFound(t, fmt.Sprintf("CreateFile of a %s blob", state), err)
					_, err = x.File(t.Context(), fileID(t, 2*i+j))
					noFile(t, "File after that", err)
				}
			}
		}
		_, err := x.CreateFile(t.Context(), fileOf(t, 100, cas.Digest{}), false)
		notFound(t, "CreateFile without a digest", err)
	}},
	{"keeps its blob from being condemned until the last file is deleted", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateLive, cas.StateSuspect} {
			b := blob(digest(t, i), 0)
			arrange(t, x, b, state)
			for n := range 3 {
				createFile(t, x, fileOf(t, 10*i+n, b.Digest))
				inUse(t, x, b.Digest)
			}
			for n := range 3 {
				inUse(t, x, b.Digest)
				expect(t, x, b.Digest, state, 0)
				deleteFile(t, x, fileID(t, 10*i+n))
			}
			condemn(t, x, b.Digest)
			expect(t, x, b.Digest, cas.StateCondemned, 0)
		}
	}},
	{"doesn't keep its blob from being condemned by force, and has it back with the next upload", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		commit(t, x, b)
		f := createFile(t, x, fileOf(t, 1, b.Digest))
		if err := x.Condemn(t.Context(), b.Digest, true); err != nil {
			t.Fatal(err)
		}
		expect(t, x, b.Digest, cas.StateCondemned, 0)
		notFound(t, "Condemn again", x.Condemn(t.Context(), b.Digest, false))
		sameFile(t, "the file", getFile(t, x, f.ID), f)
		refs, err := x.StartDeleting(t.Context(), 0, 10)
		if err != nil || len(refs) != 1 || refs[0] != b.Object() {
			t.Errorf("StartDeleting took %v, error %v; want %v", refs, err, b.Object())
		}
		if err := x.FinishDeleting(t.Context(), b.Object()); err != nil {
			t.Fatal(err)
		}
		sameFile(t, "the file", getFile(t, x, f.ID), f)
		commit(t, x, blob(b.Digest, 1))
		inUse(t, x, b.Digest)
		deleteFile(t, x, f.ID)
		condemn(t, x, b.Digest)
	}},
	{"is refused where another file has the same bytes, and unique ones are wanted", func(t *testing.T, x Index) {
		d, another := live(t, x, 0), live(t, x, 1)
		create := func(n int, d cas.Digest) (cas.File, error) {
			return x.CreateFile(t.Context(), fileOf(t, n, d), true)
		}
		first, err := create(5, d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := create(6, another); err != nil {
			t.Errorf("a file of another blob: %v", err)
		}
		createFile(t, x, fileOf(t, 1, d)) // unique or not is the caller's wish, not the file's
		for range 2 {
			other, err := create(2, d)
			if !errors.Is(err, cas.ErrDuplicateFile) || errors.Is(err, cas.ErrIndexUnavailable) {
				t.Fatalf("error %v; want one that wraps ErrDuplicateFile only", err)
			}
			sameFile(t, "the other file", other, first)
		}
		_, err = x.File(t.Context(), fileID(t, 2))
		noFile(t, "File after that", err)
		again, err := create(5, d)
		if err != nil {
			t.Errorf("the same file again: %v", err)
		}
		sameFile(t, "the same file again", again, first)
		deleteFile(t, x, first.ID)
		if other, err := create(2, d); !errors.Is(err, cas.ErrDuplicateFile) || other.ID != fileID(t, 1) {
			t.Errorf("after the first was deleted: %s, error %v", other.ID, err)
		}
		deleteFile(t, x, fileID(t, 1))
		if _, err := create(2, d); err != nil {
			t.Errorf("after all were deleted: %v", err)
		}
	}},
	{"is not refused because of files that have expired", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		expired(t, x, fileOf(t, 1, d))
		expired(t, x, fileOf(t, 2, d))
		f, err := x.CreateFile(t.Context(), fileOf(t, 3, d), true)
		if err != nil {
			t.Fatal(err)
		}
		other, err := x.CreateFile(t.Context(), fileOf(t, 4, d), true)
		if !errors.Is(err, cas.ErrDuplicateFile) {
			t.Errorf("error %v; want ErrDuplicateFile", err)
		}
		sameFile(t, "the other file", other, f)
		inUse(t, x, d)
	}},
	{"must expire in the future", func(t *testing.T, x Index) {
		f := fileOf(t, 1, live(t, x, 0))
		for _, at := range []time.Time{time.Unix(1, 0), later(-long)} {
			f.ExpiresAt = at
			_, err := x.CreateFile(t.Context(), f, false)
			invalid(t, fmt.Sprintf("CreateFile that expired at %s", at), err, "expires_at")
		}
		_, err := x.File(t.Context(), f.ID)
		noFile(t, "File after that", err)
		f.ExpiresAt = later(long)
		createFile(t, x, f)
	}},
	{"returns the file that is there", func(t *testing.T, x Index) {
		d, another := live(t, x, 0), live(t, x, 1)
		first := createFile(t, x, fullFile(t, 1, d))
		again := fileOf(t, 1, another)
		for _, state := range []string{"live", "condemned"} {
			for _, unique := range []bool{false, true} {
				got, err := x.CreateFile(t.Context(), again, unique)
				if err != nil {
					t.Errorf("CreateFile again, blob %s: %v", state, err)
				}
				sameFile(t, "the file created again", got, first)
			}
			if err := x.Condemn(t.Context(), d, true); state == "live" && err != nil {
				t.Fatal(err)
			}
		}
		condemn(t, x, another)
	}},
	{"may have the id of a file that has expired", func(t *testing.T, x Index) {
		for n, d := range []cas.Digest{live(t, x, 0), live(t, x, 1)} {
			for _, unique := range []bool{false, true} {
				f := fileOf(t, n, digest(t, 0))
				expired(t, x, f)
				f.Digest, f.Name = d, "new.txt"
				got, err := x.CreateFile(t.Context(), f, unique)
				if err != nil || got.Digest != d || got.Name != "new.txt" {
					t.Errorf("CreateFile: %+v, error %v", got, err)
				}
				sameFile(t, "the file", getFile(t, x, f.ID), got)
				deleteFile(t, x, f.ID)
			}
		}
		condemn(t, x, digest(t, 0))
		condemn(t, x, digest(t, 1))
	}},
	{"refuses what can't be stored", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		metadata := func(text string) func(f *cas.File) {
			return func(f *cas.File) { f.Metadata = json.RawMessage(text) }
		}
		for i, c := range []struct {
			field  string
			change func(f *cas.File)
		}{
			{"id", func(f *cas.File) { f.ID = "" }},
			{"id", func(f *cas.File) { f.ID = "file-\x00" }},
			{"id", func(f *cas.File) { f.ID = strings.Repeat("file-", 20) }},
			{"name", func(f *cas.File) { f.Name = "" }},
			{"name", func(f *cas.File) { f.Name = "a\x00b" }},
			{"name", func(f *cas.File) { f.Name = "\xff" }},
			{"name", func(f *cas.File) { f.Name = strings.Repeat("n", 5000) }},
			{"purpose", func(f *cas.File) { f.Purpose = "" }},
			{"media_type", func(f *cas.File) { f.MediaType = "no media type" }},
			{"context", func(f *cas.File) { f.Context = "a\xc3" }},
			{"tags", func(f *cas.File) { f.Tags = []string{"a", "\x00"} }},
			{"tags", func(f *cas.File) { f.Tags = []string{"a", "a"} }},
			{"metadata", metadata(`[]`)},
			{"metadata", metadata(`{"a":1`)},
			{"metadata", metadata(`{"a":"\u0000"}`)},
			{"metadata", metadata(`{"a":"\ud800"}`)},
			{"metadata", metadata(`{"a":"\udc00\ud800"}`)},
			{"metadata", metadata(`{"a":"` + "\xff" + `"}`)},
			{"metadata", metadata(`{"a":1e100000}`)},
			{"metadata", metadata(`{"a":-1e-100000}`)},
			{"metadata", metadata(`{"a":1e99999999999999999999}`)},
			{"metadata", metadata(`{"a":` + strings.Repeat("1", 1000) + `}`)},
			{"metadata", metadata(`{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`)},
			{"metadata", metadata(`{"a":"` + strings.Repeat("a", 20_000) + `"}`)},
			{"origin", func(f *cas.File) { f.Origin = &cas.Origin{Key: "a\x00"} }},
		} {
			f := fullFile(t, i, d)
			c.change(&f)
			_, err := x.CreateFile(t.Context(), f, false)
			invalid(t, fmt.Sprintf("case %d", i), err, c.field)
		}
		condemn(t, x, d)
	}},
	{"takes whatever can be", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		for i, change := range []func(f *cas.File){
			func(f *cas.File) { f.ID = "file-a_B-9" },
			func(f *cas.File) { f.Name, f.Context = "\u202etxt.exe", "a\nb\tc\\d'e\"f$1%s?" },
			func(f *cas.File) { f.Name = strings.Repeat("n", 255) },
			func(f *cas.File) { f.Name = strings.Repeat("ü", 127) },
			func(f *cas.File) { f.Tags = []string{`"`, `\`, "{}", " ", "null", "NULL", "'", "\ufffd", "😀"} },
			func(f *cas.File) { f.Metadata = json.RawMessage(`{}`) },
			func(f *cas.File) {
				f.Metadata = json.RawMessage("\n{ \"\" : \"\" , \"\\ud83d\\ude00\\\\u0001\" : \"\\ud83d\\ude00\" }\t")
			},
			func(f *cas.File) { f.Metadata = json.RawMessage(`{"a":[5e-324,1.7976931348623157e308,0.1]}`) },
			func(f *cas.File) { f.Metadata = json.RawMessage(`{"a":1,"a":2}`) },
			func(f *cas.File) {
				f.Metadata = json.RawMessage(`{"a":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`)
			},
			func(f *cas.File) { f.Metadata = json.RawMessage(`{"a":"` + strings.Repeat("a", 16_000) + `"}`) },
			func(f *cas.File) { // as many values as it can have
				f.Metadata = json.RawMessage(`{"a":[1` + strings.Repeat(",1", 8000) + `]}`)
			},
		} {
			f := fullFile(t, i, d)
			change(&f)
			want := f
			want.CreatedAt = createFile(t, x, f).CreatedAt
			sameFile(t, fmt.Sprintf("file %d", i), getFile(t, x, f.ID), want)
		}
	}},
}

var fileTests = []test{
	{"finds no file that isn't there", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		expired(t, x, fileOf(t, 1, d))
		createFile(t, x, fileOf(t, 2, d))
		deleteFile(t, x, fileID(t, 2))
		for _, id := range []string{fileID(t, 0), fileID(t, 1), fileID(t, 2), "", "file-\x00", "\xff", strings.Repeat("x", 5000)} {
			_, err := x.File(t.Context(), id)
			noFile(t, fmt.Sprintf("File(%.50q)", id), err)
		}
	}},
}

var deleteFileTests = []test{
	{"returns the file as it was, and leaves its blob", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		f := createFile(t, x, fullFile(t, 1, d))
		stays := createFile(t, x, fullFile(t, 2, d))
		got, err := x.DeleteFile(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		sameFile(t, "the file", got, f)
		_, err = x.File(t.Context(), f.ID)
		noFile(t, "File", err)
		sameFile(t, "the other file", getFile(t, x, stays.ID), stays)
		expect(t, x, d, cas.StateLive, 0)
	}},
	{"deletes pending files", func(t *testing.T, x Index) {
		importFiles(t, x, imported(t, 1))
		f := getFile(t, x, fileID(t, 1))
		got, err := x.DeleteFile(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		sameFile(t, "the file", got, f)
	}},
	{"finds no file that isn't there", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		expired(t, x, fileOf(t, 1, d))
		createFile(t, x, fileOf(t, 2, d))
		deleteFile(t, x, fileID(t, 2))
		for _, id := range []string{fileID(t, 0), fileID(t, 1), fileID(t, 2), "", "file-\x00"} {
			_, err := x.DeleteFile(t.Context(), id)
			noFile(t, fmt.Sprintf("DeleteFile(%q)", id), err)
		}
		gone, err := x.ExpireFiles(t.Context(), 10)
		if err != nil || len(gone) != 1 {
			t.Errorf("ExpireFiles returned %v, error %v; want the one that has expired", gone, err)
		}
	}},
}
