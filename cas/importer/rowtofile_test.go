package importer_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/cas/importer"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)

const (
	oldUUID = "0F2B7C1E-93A4-4d4e-8a55-0123456789ab"
	oldFile = "file-0f2b7c1e93a44d4e8a550123456789ab"
)

func TestRowBecomesFile(t *testing.T) {
	t.Parallel()
	digest := cas.DigestOf([]byte("some"))
	row := importer.Row{
		ID: oldUUID, Key: "2024/05/report.pdf", Name: "Report.pdf", MediaType: "application/pdf", Size: "4", Type: "batch",
		CreatedAt: "2024-05-06 07:08:09.123456+00", SHA256: strings.ToUpper(digest.Hex()),
		Provider: "Kimi", ProviderFileID: "cn5abc", AccessedAt: "2025-01-02T03:04:05Z", Metadata: `{"project": "x", "n": 12345678901234567890}`,
	}
	f, notes, err := row.File("s3://old", now)
	if err != nil || len(notes) != 0 {
		t.Fatalf("notes %q, error %v", notes, err)
	}
	want := cas.File{
		ID: oldFile, Size: 4, Name: "Report.pdf", MediaType: "application/pdf", Purpose: "batch",
		Metadata:   json.RawMessage(`{"imported_id":"` + oldUUID + `","n":12345678901234567890,"project":"x"}`),
		CreatedAt:  time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC),
		AccessedAt: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC),
		Origin:     &cas.Origin{Source: "s3://old", Key: "2024/05/report.pdf", Digest: digest, Provider: "kimi", ProviderFileID: "cn5abc"},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	if id := importer.OldID(f); id != oldUUID {
		t.Errorf("OldID: %q", id)
	}
}

// The parts of a row that can't be kept are noted; the rest is kept.
func TestOddRows(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ö", 200) + ".pdf"
	for name, tt := range map[string]struct {
		row   importer.Row
		check func(f cas.File) bool
		notes string // in the only note; empty: there is none
	}{
		"bare":                 {importer.Row{Key: "a/b.txt"}, func(f cas.File) bool { return f.Name == "b.txt" && f.Size == -1 && f.CreatedAt.Equal(now) }, ""},
		"no digest":            {importer.Row{Key: "k", SHA256: " "}, func(f cas.File) bool { return f.Origin.Digest.IsZero() }, ""},
		"malformed digest":     {importer.Row{Key: "k", SHA256: "abc"}, func(f cas.File) bool { return f.Origin.Digest.IsZero() }, "SHA-256"},
		"digest as bytes":      {importer.Row{Key: "k", SHA256: `\x` + cas.DigestOf(nil).Hex()}, func(f cas.File) bool { return f.Origin.Digest == cas.DigestOf(nil) }, ""},
		"zero bytes":           {importer.Row{Key: "k", Size: "0"}, func(f cas.File) bool { return f.Size == 0 }, ""},
		"negative size":        {importer.Row{Key: "k", Size: "-1"}, func(f cas.File) bool { return f.Size == -1 }, "negative"},
		"size with a point":    {importer.Row{Key: "k", Size: "12.0"}, func(f cas.File) bool { return f.Size == 12 }, ""},
		"size that is no size": {importer.Row{Key: "k", Size: "NaN"}, func(f cas.File) bool { return f.Size == -1 }, "not a number"},
		"name with folders":    {importer.Row{Key: "k", Name: `C:\temp\x/y.txt`}, func(f cas.File) bool { return f.Name == "y.txt" }, ""},
		"name that is folders": {importer.Row{Key: "a/k", Name: `../..`}, func(f cas.File) bool { return f.Name == "k" }, ""},
		"control characters":   {importer.Row{Key: "k", Name: "a\x00b\nc\u0085d"}, func(f cas.File) bool { return f.Name == "abcd" }, ""},
		"no name at all":       {importer.Row{Key: "..", Name: "\n"}, func(f cas.File) bool { return f.Name == "unnamed" }, ""},
		"name that is long":    {importer.Row{Key: "k", Name: long}, func(f cas.File) bool { return len(f.Name) <= 255 && strings.HasSuffix(f.Name, "ö.pdf") }, ""},
		"name not UTF-8":       {importer.Row{Key: "k", Name: "a\xffb"}, func(f cas.File) bool { return f.Name == "a\ufffdb" }, ""},
		"emoji and Chinese":    {importer.Row{Key: "k", Name: "报告 📎.docx"}, func(f cas.File) bool { return f.Name == "报告 📎.docx" }, ""},
		"type in upper case":   {importer.Row{Key: "k", Type: "Image"}, func(f cas.File) bool { return f.Purpose == "image" }, ""},
		"media type":           {importer.Row{Key: "k", MediaType: "pdf"}, func(f cas.File) bool { return f.MediaType == "" }, "media type"},
		"created in future":    {importer.Row{Key: "k", CreatedAt: "2999-01-01"}, func(f cas.File) bool { return f.CreatedAt.Equal(now) }, "creation"},
		"created at infinity":  {importer.Row{Key: "k", CreatedAt: "infinity"}, func(f cas.File) bool { return f.CreatedAt.Equal(now) }, "malformed"},
		"accessed never":       {importer.Row{Key: "k"}, func(f cas.File) bool { return f.AccessedAt.IsZero() }, ""},
		"copy without name":    {importer.Row{Key: "k", ProviderFileID: "f-1"}, func(f cas.File) bool { return f.Origin.ProviderFileID == "" }, "copy"},
		"provider, no copy":    {importer.Row{Key: "k", Provider: "kimi"}, func(f cas.File) bool { return f.Origin.Provider == "" }, ""},
		"metadata is a list":   {importer.Row{Key: "k", Metadata: "[1]"}, func(f cas.File) bool { return len(f.Metadata) == 0 }, "metadata"},
		"metadata is null":     {importer.Row{Key: "k", Metadata: "null"}, func(f cas.File) bool { return len(f.Metadata) == 0 }, "metadata"},
		"metadata with NUL":    {importer.Row{Key: "k", Metadata: `{"a":"\u0000"}`}, func(f cas.File) bool { return len(f.Metadata) == 0 }, "metadata"},
		"metadata is large":    {importer.Row{ID: "7", Key: "k", Metadata: `{"a":"` + strings.Repeat("x", 20_000) + `"}`}, func(f cas.File) bool { return string(f.Metadata) == `{"imported_id":"7"}` }, "metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, notes, err := tt.row.File("file:///old", now)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(f) {
				t.Errorf("%+v, origin %+v", f, *f.Origin)
			}
			if tt.notes == "" && len(notes) > 0 || tt.notes != "" && (len(notes) != 1 || !strings.Contains(notes[0], tt.notes)) {
				t.Errorf("notes %q, want one with %q", notes, tt.notes)
			}
		})
	}
}

func TestWhatIsChangedIsKeptInMetadata(t *testing.T) {
	t.Parallel()
	f, _, err := importer.Row{ID: "17", Key: "k", Name: "a/b\x00.txt", Type: "document"}.File("s3://old", now)
	if err != nil {
		t.Fatal(err)
	}
	if want := "{\"imported_id\":\"17\",\"imported_name\":\"a/b\ufffd.txt\",\"imported_type\":\"document\"}"; string(f.Metadata) != want {
		t.Errorf("metadata %s, want %s", f.Metadata, want)
	}
	if f.Purpose != "user_data" {
		t.Errorf("purpose %s", f.Purpose)
	}
}

func TestRowsThatCannotBeImported(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "a\x00b", "a\xff"} {
		if f, _, err := (importer.Row{ID: oldUUID, Key: key}).File("s3://old", now); err == nil {
			t.Errorf("key %q becomes %+v", key, f)
		}
	}
}

func TestFileID(t *testing.T) {
	t.Parallel()
	if id := importer.FileID("s3://a", oldUUID); id != oldFile {
		t.Errorf("%s, want %s", id, oldFile)
	}
	a, b := importer.FileID("s3://a", "17"), importer.FileID("s3://b", "17")
	if a == b || a != importer.FileID("s3://a", "17") || !cas.IsFileID(a) {
		t.Errorf("%s and %s", a, b)
	}
}

// Every row becomes a file that can be stored, or is refused.
func TestAnyRowBecomesAValidFile(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		row := importer.Row{Key: text.Draw(t, "key")}
		for _, f := range importer.Fields[2:] {
			row.Set(f, text.Draw(t, string(f)))
		}
		row.ID = text.Draw(t, "id")
		if rapid.Bool().Draw(t, "json") {
			b, err := json.Marshal(map[string]string{text.Draw(t, "name"): text.Draw(t, "value")})
			if err != nil {
				t.Fatal(err)
			}
			row.Metadata = string(b)
		}
		f, _, err := row.File("s3://old", now)
		if err != nil {
			if row.Key != "" && utf8.ValidString(row.Key) && !strings.Contains(row.Key, "\x00") {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		if err := f.Check(); err != nil || !cas.IsFileID(f.ID) || f.Size < -1 || f.CreatedAt.IsZero() {
			t.Fatalf("%+v: %v", f, err)
		}
	})
}
