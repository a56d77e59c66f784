package indextest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/index/export"
	"casgate/providers"
	"casgate/providers/ledger"
)

// exportTime returns a time as precise as rows are.
func exportTime(minute int) time.Time {
	return time.Date(2026, 1, 2, 3, minute, 5, 678000, time.UTC)
}

// exportedRows are rows in which each field is set in one row at least.
type exportedRows struct {
	blobs  []export.Blob
	files  []cas.File
	copies []ledger.Copy
	texts  []export.Text
}

func makeExportedRows(t *testing.T) (rows exportedRows) {
	for i, state := range []cas.State{cas.StateLive, cas.StateSuspect, cas.StateCondemned, cas.StateDeleting, cas.StateGone} {
		b := export.Blob{Blob: blob(digest(t, i), int32(i)), TouchedAt: exportTime(1)}
		b.State, b.CreatedAt = state, exportTime(2)
		if !state.Visible() {
			b.CondemnedAt, b.DeletingAt, b.VerifiedAt = exportTime(3), exportTime(4), exportTime(5)
		}
		rows.blobs = append(rows.blobs, b)
	}
	live := rows.blobs[0].Digest
	rows.files = []cas.File{
		{
			ID: "file-all", Digest: live, Size: size, Name: "名.txt", MediaType: "text/plain", Purpose: "batch", Context: "c",
			Tags: []string{"b", "a"}, Metadata: json.RawMessage(`{"k": [1, "<\u0001>"]}`),
			CreatedAt: exportTime(6), AccessedAt: exportTime(7), ExpiresAt: exportTime(8).AddDate(100, 0, 0), OnExpiry: cas.OnExpiryEverywhere,
		},
		{
			ID: "file-pending", Size: -1, Name: "p", Purpose: "user_data", Metadata: json.RawMessage(`{}`), CreatedAt: exportTime(9),
			Origin: &cas.Origin{Source: "s3://old", Key: "k", Digest: digest(t, 90), Provider: "kimi", ProviderFileID: "f", Error: "e"},
		},
	}
	full := ledger.Copy{
		Key:   ledger.Key{Digest: live, Provider: "kimi", Account: "a", Purpose: "batch", Extension: ".txt"},
		State: ledger.StateReady, Fence: 7, FileID: "f1", RemoteName: "r", Name: "n", MediaType: "text/plain", Size: size,
		LaterDeletes: []string{"later", "latest"},
		Strays:       []ledger.Stray{{Fence: 6, FileID: "old", At: exportTime(10)}, {Fence: 5, At: exportTime(11)}},
		Attempts:     1, Losses: 2, Error: &providers.Error{Provider: "kimi", Op: "upload", Kind: providers.KindTransient, Message: "m", Code: "c", Status: 500},
		OperationID: "op", CreatedAt: exportTime(12), UploadedAt: exportTime(13), ReadyAt: exportTime(14), LastUsedAt: exportTime(15),
		LostAt: exportTime(16), ExpiresAt: exportTime(17), LookAt: exportTime(18),
	}
	deleting := ledger.Copy{Key: full.Key, State: ledger.StateDeleting, Evicting: true, CreatedAt: exportTime(19), NextAttemptAt: exportTime(20), LeaseUntil: exportTime(21)}
	deleting.Purpose = "image"
	deleted := ledger.Copy{Key: full.Key, State: ledger.StateDeleted, Fence: 3, CreatedAt: exportTime(22)}
	deleted.Extension = ""
	rows.copies = []ledger.Copy{deleted, full, deleting}
	rows.texts = []export.Text{{TextKey: ledger.TextKey{Digest: live, Provider: "kimi", Extension: ".pdf"}, Text: digest(t, 1), CreatedAt: exportTime(23)}}
	return rows
}

// restore stores the rows, and fails the test unless each has this outcome.
func (r exportedRows) restore(t *testing.T, x Index, want export.Outcome) {
	t.Helper()
	all, err := x.RestoreBlobs(t.Context(), r.blobs)
	for _, more := range []func() ([]export.Outcome, error){
		func() ([]export.Outcome, error) { return x.RestoreFiles(t.Context(), r.files) },
		func() ([]export.Outcome, error) { return x.RestoreCopies(t.Context(), r.copies) },
		func() ([]export.Outcome, error) { return x.RestoreTexts(t.Context(), r.texts) },
	} {
		if err != nil {
			t.Fatal(err)
		}
		var outcomes []export.Outcome
		outcomes, err = more()
		all = append(all, outcomes...)
	}
	if err != nil || len(all) != len(r.blobs)+len(r.files)+len(r.copies)+len(r.texts) {
		t.Fatalf("%d outcomes, error %v", len(all), err)
	}
	for i, got := range all {
		if got != want {
			t.Errorf("row %d has the outcome %d; want %d", i, got, want)
		}
	}
}

var exportTests = []test{
	{"stores rows as they are, and returns them in the order of their keys", func(t *testing.T, x Index) {
		rows := makeExportedRows(t)
		rows.restore(t, x, export.Restored)
		rows.restore(t, x, export.Kept)
		got := map[cas.Digest]export.Blob{}
		var after cas.Digest
		for range len(rows.blobs) {
			page, err := x.ExportBlobs(t.Context(), after, 1)
			if err != nil || len(page) != 1 {
				t.Fatalf("a page of %d blobs, error %v", len(page), err)
			}
			if bytes.Compare(page[0].Digest[:], after[:]) <= 0 {
				t.Errorf("%s comes after %s", page[0].Digest, after)
			}
			after = page[0].Digest
			got[after] = page[0]
		}
		for _, want := range rows.blobs {
			if diff := gocmp.Diff(want, got[want.Digest]); diff != "" {
				t.Errorf("a blob is exported as another row (-want +got):\n%s", diff)
			}
		}
		files, err := x.ExportFiles(t.Context(), "", 10)
		if diff := gocmp.Diff(normal(rows.files), normal(files)); err != nil || diff != "" {
			t.Errorf("files, error %v (-want +got):\n%s", err, diff)
		}
		copies, err := x.ExportCopies(t.Context(), ledger.Key{}, 10)
		if diff := gocmp.Diff(rows.copies, copies); err != nil || diff != "" {
			t.Errorf("copies, error %v (-want +got):\n%s", err, diff)
		}
		texts, err := x.ExportTexts(t.Context(), ledger.TextKey{}, 10)
		if diff := gocmp.Diff(rows.texts, texts); err != nil || diff != "" {
			t.Errorf("texts, error %v (-want +got):\n%s", err, diff)
		}
		files, err = x.ExportFiles(t.Context(), rows.files[1].ID, 10)
		copies, err2 := x.ExportCopies(t.Context(), rows.copies[2].Key, 10)
		texts, err3 := x.ExportTexts(t.Context(), rows.texts[0].TextKey, 10)
		if err := errors.Join(err, err2, err3); err != nil || len(files)+len(copies)+len(texts) > 0 {
			t.Errorf("after the last row: %v, %v, %v, error %v", files, copies, texts, err)
		}
	}},
	{"leaves other rows as they are, and says so", func(t *testing.T, x Index) {
		rows := makeExportedRows(t)
		rows.restore(t, x, export.Restored)
		changed := exportedRows{blobs: rows.blobs[:1], files: rows.files[:1], copies: rows.copies[1:2], texts: rows.texts}
		changed.blobs[0].Size++
		changed.files[0].Digest = digest(t, 2)
		changed.copies[0].FileID = "f2"
		changed.texts[0].Text = digest(t, 2)
		changed.restore(t, x, export.Differs)
		if f, err := x.File(t.Context(), "file-all"); err != nil || f.Digest != digest(t, 0) {
			t.Errorf("the file is %+v, error %v", f, err)
		}
	}},
	{"completes a row without name and media type, and no other", func(t *testing.T, x Index) {
		full := makeExportedRows(t).blobs[0]
		for i, c := range []struct {
			state           cas.State
			name, mediaType string // of the row that is there
			size            int64
			want            export.Outcome
		}{
			{cas.StateLive, "", cas.DefaultMediaType, full.Size, export.Completed},
			{cas.StateSuspect, "", "text/css", full.Size, export.Completed},
			{cas.StateLive, "own.css", cas.DefaultMediaType, full.Size, export.Completed},
			{cas.StateLive, "own.css", "text/css", full.Size, export.Kept},
			{cas.StateLive, "", cas.DefaultMediaType, full.Size + 1, export.Differs},
			{cas.StateGone, "", cas.DefaultMediaType, full.Size, export.Kept},
		} {
			there := full
			there.Digest = digest(t, 100+i)
			there.State, there.Name, there.MediaType, there.Size = c.state, c.name, c.mediaType, c.size
			if got, err := x.RestoreBlobs(t.Context(), []export.Blob{there}); err != nil || got[0] != export.Restored {
				t.Fatalf("outcome %v, error %v", got, err)
			}
			exported := full
			exported.Digest, exported.Name, exported.MediaType = there.Digest, "exported.txt", "text/plain"
			got, err := x.RestoreBlobs(t.Context(), []export.Blob{exported})
			if err != nil || got[0] != c.want {
				t.Errorf("%+v: outcome %v, error %v", c, got, err)
			}
			want := there
			if c.want == export.Completed {
				want.Name, want.MediaType = cmp.Or(c.name, exported.Name), exported.MediaType
				if c.mediaType != cas.DefaultMediaType {
					want.MediaType = c.mediaType
				}
			}
			all, err := x.ExportBlobs(t.Context(), cas.Digest{}, 100)
			if err != nil {
				t.Fatal(err)
			}
			found := slices.IndexFunc(all, func(b export.Blob) bool { return b.Digest == want.Digest })
			if diff := gocmp.Diff(want, all[found]); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", c, diff)
			}
			if again, err := x.RestoreBlobs(t.Context(), []export.Blob{exported}); err != nil || again[0] == export.Completed {
				t.Errorf("%+v, repeated: outcome %v, error %v", c, again, err)
			}
		}
	}},
	{"counts the files of a blob, in any order", func(t *testing.T, x Index) {
		rows := makeExportedRows(t)
		live := rows.blobs[0]
		if _, err := x.RestoreFiles(t.Context(), rows.files[:1]); err != nil {
			t.Fatal(err)
		}
		// Without a row the blob has a tombstone, and the next upload brings the bytes.
		expect(t, x, live.Digest, cas.StateGone, 0)
		commit(t, x, blob(live.Digest, 1))
		second := rows.files[0]
		second.ID, second.Tags = "file-second", nil
		if _, err := x.RestoreFiles(t.Context(), []cas.File{second}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := x.Condemn(t.Context(), live.Digest, cas.CondemnOptions{}); !errors.Is(err, cas.ErrBlobInUse) {
				t.Errorf("a blob with files is deleted: error %v", err)
			}
			page, err := x.ListFiles(t.Context(), cas.FileQuery{Limit: 1, Metadata: json.RawMessage(`{"k": [1]}`)})
			if err != nil || len(page) != 1 {
				t.Fatalf("%d files are found, error %v", len(page), err)
			}
			if _, err := x.DeleteFile(t.Context(), page[0].ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.Condemn(t.Context(), live.Digest, cas.CondemnOptions{}); err != nil {
			t.Errorf("a blob without files: %v", err)
		}
	}},
	{"restores the metadata that was taken, in any form of its numbers", func(t *testing.T, x Index) {
		rows := makeExportedRows(t)
		if _, err := x.RestoreBlobs(t.Context(), rows.blobs); err != nil {
			t.Fatal(err)
		}
		f := rows.files[0]
		for text, in := range map[string]string{
			"a number in full": `{"a": 1` + strings.Repeat("0", 200) + `}`,
			"many of them":     `{"a": [` + strings.Repeat("1"+strings.Repeat("0", 60)+",", 900) + `1]}`,
		} {
			f.Metadata = json.RawMessage(in)
			f.ID = cas.NewFileID()
			if _, err := x.RestoreFiles(t.Context(), []cas.File{f}); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		// The number is the one that was sent.
		page, err := x.ListFiles(t.Context(), cas.FileQuery{Limit: 10, Metadata: json.RawMessage(`{"a": 1e200}`)})
		if err != nil || len(page) != 1 {
			t.Errorf("%d files are found, error %v", len(page), err)
		}
	}},
	{"refuses a file that can't be stored", func(t *testing.T, x Index) {
		f := makeExportedRows(t).files[0]
		f.Name = "a\x00b"
		if _, err := x.RestoreFiles(t.Context(), []cas.File{f}); !errors.Is(err, cas.ErrInvalidFile) {
			t.Errorf("error %v", err)
		}
	}},
}

// normal returns files in a form that can be compared: their metadata has one form.
func normal(files []cas.File) (all []string) {
	for _, f := range files {
		var object any
		if err := json.Unmarshal(f.Metadata, &object); err != nil {
			panic(err)
		}
		f.Metadata = nil
		origin := f.Origin
		f.Origin = nil
		all = append(all, fmt.Sprintf("%+v %+v %v", f, origin, object))
	}
	return all
}
