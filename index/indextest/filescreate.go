package indextest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"casgate/cas"
)

var createFileTests = []test{
	{"returns the created file", func(t *testing.T, x Index) {
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
			sameFile(t, "the existing file", getFile(t, x, f.ID), got)
		}
	}},
	{"has the size of its blob", func(t *testing.T, x Index) {
		f := fileOf(t, 1, live(t, x, 0))
		f.Size = 5
		if got := createFile(t, x, f); got.Size != size {
			t.Errorf("its size is %d; want %d", got.Size, size)
		}
	}},
	{"keeps the file's origin, and the time it was read", func(t *testing.T, x Index) {
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
				_, err := x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, 2*i+j, b.Digest), Unique: unique})
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
		_, err := x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, 100, cas.Digest{})})
		notFound(t, "CreateFile without a digest", err)
	}},
	{"wants a visible blob, though another file may refer to it", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		createFile(t, x, fileOf(t, 1, d))
		if err := x.Condemn(t.Context(), d, cas.CondemnOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		for _, unique := range []bool{false, true} {
			_, err := x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, 2, d), Unique: unique})
			notFound(t, "CreateFile", err)
		}
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
		if err := x.Condemn(t.Context(), b.Digest, cas.CondemnOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		expect(t, x, b.Digest, cas.StateCondemned, 0)
		notFound(t, "Condemn again", x.Condemn(t.Context(), b.Digest, cas.CondemnOptions{}))
		sameFile(t, "the file", getFile(t, x, f.ID), f)
		refs, err := StartDeleting(t.Context(), x, 0, 10)
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
	{"is refused if unique bytes are wanted, and another file has them", func(t *testing.T, x Index) {
		d, another := live(t, x, 0), live(t, x, 1)
		create := func(n int, d cas.Digest) (cas.File, error) {
			return x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, n, d), Unique: true})
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
		f, err := x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, 3, d), Unique: true})
		if err != nil {
			t.Fatal(err)
		}
		other, err := x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, 4, d), Unique: true})
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
			_, err := x.CreateFile(t.Context(), cas.NewFile{File: f})
			invalid(t, fmt.Sprintf("CreateFile that expired at %s", at), err, "expires_at")
		}
		_, err := x.File(t.Context(), f.ID)
		noFile(t, "File after that", err)
		f.ExpiresAt = later(long)
		createFile(t, x, f)
	}},
	{"returns the existing file", func(t *testing.T, x Index) {
		d, another := live(t, x, 0), live(t, x, 1)
		first := createFile(t, x, fullFile(t, 1, d))
		again := fileOf(t, 1, another)
		for _, state := range []string{"live", "condemned"} {
			for _, unique := range []bool{false, true} {
				got, err := x.CreateFile(t.Context(), cas.NewFile{File: again, Unique: unique})
				if err != nil {
					t.Errorf("CreateFile again, blob %s: %v", state, err)
				}
				sameFile(t, "the file created again", got, first)
			}
			if err := x.Condemn(t.Context(), d, cas.CondemnOptions{Force: true}); state == "live" && err != nil {
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
				got, err := x.CreateFile(t.Context(), cas.NewFile{File: f, Unique: unique})
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
	{"refuses fields that can't be stored", func(t *testing.T, x Index) {
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
			{"media_type", func(f *cas.File) { f.MediaType = "text/plain; a=\"\x00\"" }},
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
			_, err := x.CreateFile(t.Context(), cas.NewFile{File: f})
			invalid(t, fmt.Sprintf("case %d", i), err, c.field)
		}
		condemn(t, x, d)
	}},
	{"accepts all fields that can be stored", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		for i, change := range []func(f *cas.File){
			func(f *cas.File) { f.ID = "file-a_B-9" },
			func(f *cas.File) { f.Name, f.Context = "\u202etxt.exe", "a\nb\tc\\d'e\"f$1%s?" },
			func(f *cas.File) { f.Name = strings.Repeat("n", 255) },
			func(f *cas.File) { f.Name, f.Context = strings.Repeat("😀", 255), strings.Repeat("😀", 255) },
			func(f *cas.File) { // as long as tags can be
				f.Tags = make([]string, 64)
				for i := range f.Tags {
					f.Tags[i] = string(rune('a'+i)) + strings.Repeat("😀", 63)
				}
			},
			func(f *cas.File) { f.Tags = []string{`"`, `\`, "{}", " ", "null", "NULL", "'", "\ufffd", "😀"} },
			func(f *cas.File) { f.Metadata = json.RawMessage(`{}`) },
			func(f *cas.File) { f.Metadata = json.RawMessage(`{"regex":"\\u0000 \\ud800"}`) },
			func(f *cas.File) { f.Metadata = json.RawMessage(`{"regex":"\u0001"}`) },
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
