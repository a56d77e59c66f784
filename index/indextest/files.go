package indextest

import (
	"context"
	"crypto/sha256"
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
	// AgeFile makes every time that the file's row has earlier by that much, and the time at which a
	// deleted file was deleted.
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

// fullFile has a value in every field.
func fullFile(t testing.TB, n int, d cas.Digest) cas.File {
	f := fileOf(t, n, d)
	f.Name, f.MediaType, f.Purpose, f.Context = "Größe 文件 😀.pdf", "text/plain; charset=utf-8", "file-extract", "conversation 7"
	f.Tags = []string{"b", "a", "«ü»"}
	f.Metadata = json.RawMessage(`{"user":"7","n":1.50,"list":[1,null,true],"nested":{"<a>":"b & c\u2028"}}`)
	f.ExpiresAt, f.OnExpiry = expiry, cas.OnExpiryEverywhere
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

// plain is one to import by the thousand, with little to say.
func plain(t testing.TB, n int) cas.File {
	f := imported(t, n)
	f.Context, f.Tags, f.Metadata, f.ExpiresAt = "", nil, nil, time.Time{}
	return f
}

// live commits a blob.
func live(t testing.TB, x Index, n int) cas.Digest {
	t.Helper()
	row, _ := commit(t, x, blob(digest(t, n), 0))
	return row.Digest
}

// createFile calls CreateFile, and fails the test on an error.
func createFile(t testing.TB, x Index, f cas.File) cas.File {
	t.Helper()
	created, err := x.CreateFile(t.Context(), cas.NewFile{File: f})
	if err != nil {
		t.Fatalf("CreateFile(%s): %v", f.ID, err)
	}
	return created
}

// getFile reads a file, and fails the test on an error.
func getFile(t testing.TB, x Index, id string) cas.File {
	t.Helper()
	f, err := x.File(t.Context(), id)
	if err != nil {
		t.Fatalf("File(%s): %v", id, err)
	}
	return f
}

// deleteFile calls DeleteFile, and fails the test on an error.
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
	err := x.Condemn(t.Context(), d, cas.CondemnOptions{})
	if !errors.Is(err, cas.ErrBlobInUse) || errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("Condemn(%s): error %v; want one that wraps ErrBlobInUse only", d.Short(), err)
	}
}

// fileCalls lists one call of each method about files, with one to create and one to
// import, neither of which is there.
func fileCalls(x Index, f, toImport cas.File) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"CreateFile":   func(ctx context.Context) error { _, err := x.CreateFile(ctx, cas.NewFile{File: f}); return err },
		"File":         func(ctx context.Context) error { _, err := x.File(ctx, f.ID); return err },
		"KeyUse":       func(ctx context.Context) error { _, err := x.KeyUse(ctx, [sha256.Size]byte{}); return err },
		"ListFiles":    func(ctx context.Context) error { _, err := x.ListFiles(ctx, cas.FileQuery{Limit: 1}); return err },
		"DeleteFile":   func(ctx context.Context) error { _, err := x.DeleteFile(ctx, f.ID); return err },
		"ReleaseFile":  func(ctx context.Context) error { _, _, err := x.ReleaseFile(ctx, f.ID); return err },
		"FilePosition": func(ctx context.Context) error { _, err := x.FilePosition(ctx, f.ID); return err },
		"TouchFiles":   func(ctx context.Context) error { return x.TouchFiles(ctx, map[string]time.Time{f.ID: time.Now()}) },
		"ProlongFiles": func(ctx context.Context) error { return x.ProlongFiles(ctx, map[string]time.Time{f.ID: time.Now()}) },
		"ExpireFiles":  func(ctx context.Context) error { _, err := x.ExpireFiles(ctx, 1); return err },
		"ImportFiles": func(ctx context.Context) error {
			_, err := x.ImportFiles(ctx, []cas.File{toImport}, cas.ImportFilesOptions{})
			return err
		},
		"KnownImports": func(ctx context.Context) error {
			_, err := x.KnownImports(ctx, []string{toImport.ID}, cas.ImportFilesOptions{})
			return err
		},
		"ResolveFile": func(ctx context.Context) error { _, err := x.ResolveFile(ctx, f.ID, blob(f.Digest, 0)); return err },
		"FailFile":    func(ctx context.Context) error { return x.FailFile(ctx, f.ID, "no") },
	}
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
