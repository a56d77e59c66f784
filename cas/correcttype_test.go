package cas_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"casgate/cas"
)

// Each upload of a blob that exists may know its media type better than the row.
func TestUploadCorrectsTheMediaType(t *testing.T) {
	t.Parallel()
	s := newStudy(t, cas.FilesOptions{})
	for name, size := range map[string]int{"in memory": 100, "streamed": 2 << 20} {
		content := []byte(strings.Repeat("a text ", size/7))
		d := cas.DigestOf(content)
		put := func(u cas.Upload) cas.Blob {
			t.Helper()
			u.Body, u.Size = bytes.NewReader(content), int64(len(content))
			b, _, err := s.store.PutVerified(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			read, err := s.store.Blob(t.Context(), d)
			if err != nil || read.MediaType != b.MediaType {
				t.Errorf("%s: PutVerified returned the type %q, and readers see %q, %v", name, b.MediaType, read.MediaType, err)
			}
			return b
		}
		if b := put(cas.Upload{MediaType: "image/png", Digest: &d}); b.MediaType != "text/plain; charset=utf-8" {
			t.Errorf("%s: a text declared as a picture is %s", name, b.MediaType)
		}
		if b := put(cas.Upload{MediaType: "text/markdown", Digest: &d}); b.MediaType != "text/markdown" {
			t.Errorf("%s: after an upload as Markdown it is %s", name, b.MediaType)
		}
		if b := put(cas.Upload{MediaType: "text/csv"}); b.MediaType != "text/markdown" {
			t.Errorf("%s: after an upload as CSV it is %s", name, b.MediaType)
		}
	}
}

// A file's name and declared type are the file's own: the blob, and other files of the
// same bytes, don't get them.
func TestDeclarationBelongsToTheFile(t *testing.T) {
	t.Parallel()
	s := newStudy(t, cas.FilesOptions{})
	const page = "<!DOCTYPE html><html></html>"
	create := func(name, declared string) cas.File {
		t.Helper()
		n := newFile(name)
		n.MediaType = declared
		f, _, err := s.create(strings.NewReader(page), cas.Upload{Name: name, MediaType: declared}, n)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, tt := range []struct{ name, declared, want string }{
		{"first.x", "application/x-first", "application/x-first"},
		{"second.html", "", "text/html; charset=utf-8"},
		{"README.md", "", "text/markdown; charset=utf-8"},
		{"third.txt", "", "text/plain; charset=utf-8"},
	} {
		if f := create(tt.name, tt.declared); f.MediaType != tt.want || f.Name != tt.name {
			t.Errorf("%s: %q, %s", tt.name, f.Name, f.MediaType)
		}
		if b, err := s.store.Blob(t.Context(), cas.DigestOf([]byte(page))); err != nil || b.Name != "" || strings.Contains(b.MediaType, "first") {
			t.Errorf("after %s the blob is %q of type %s, %v", tt.name, b.Name, b.MediaType, err)
		}
	}
}

// An upload that need not send its bytes may know the media type better, too: the stored
// bytes decide.
func TestUnsentUploadCorrectsTheMediaType(t *testing.T) {
	t.Parallel()
	s := newStudy(t, cas.FilesOptions{})
	for name, content := range map[string]string{
		"small": "a text\n", "large": strings.Repeat("a text\n", 300000), "other charset": strings.Repeat("caf\xe9, a text. ", 1000),
	} {
		d, size := cas.DigestOf([]byte(content)), int64(len(content))
		if _, _, err := s.store.Put(t.Context(), cas.Upload{Body: strings.NewReader(content), Size: size, Digest: &d}); err != nil {
			t.Fatal(err)
		}
		charset := "; charset=utf-8"
		if name == "other charset" {
			charset = ""
		}
		for _, tt := range []struct{ declared, name, want string }{
			{"image/png", "", "text/plain" + charset},
			{"", "x.txt", "text/plain" + charset},
			{"text/markdown; charset=utf-8", "", "text/markdown" + charset},
			{"text/csv", "", "text/markdown" + charset},
		} {
			unread := iotest.ErrReader(errors.New("the bytes were read"))
			b, stored, err := s.store.Put(t.Context(), cas.Upload{Body: unread, Size: size, Digest: &d, MediaType: tt.declared, Name: tt.name})
			if err != nil || stored || b.MediaType != tt.want {
				t.Errorf("%s, declared as %q, named %q: %s, %t, %v", name, tt.declared, tt.name, b.MediaType, stored, err)
			}
			if b, err := s.store.Blob(t.Context(), d); err != nil || b.MediaType != tt.want {
				t.Errorf("%s, declared as %q, named %q: readers see %s, %v", name, tt.declared, tt.name, b.MediaType, err)
			}
		}
	}
	page := "<!DOCTYPE html><html></html>"
	d := cas.DigestOf([]byte(page))
	for _, u := range []cas.Upload{{Body: strings.NewReader(page)}, {Body: iotest.ErrReader(errors.New("read")), Name: "README.md", Digest: &d}} {
		u.Size = int64(len(page))
		if _, _, err := s.store.Put(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := s.store.Blob(t.Context(), d); err != nil || b.MediaType != "text/markdown; charset=utf-8" {
		t.Errorf("README.md: %s, %v", b.MediaType, err)
	}
}
