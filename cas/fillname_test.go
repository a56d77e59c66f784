package cas_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"casgate/cas"
	"casgate/cas/folderstore"
	"casgate/index/sqliteindex/sqlitetest"
)

// An upload of a blob that exists gives it a name, if it has none.
func TestUploadNamesABlobWithoutName(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(*testing.T, *cas.Store, cas.Upload) (cas.Blob, bool, error){
		"unsent": func(t *testing.T, s *cas.Store, u cas.Upload) (cas.Blob, bool, error) {
			u.Body = iotest.ErrReader(errors.New("the bytes were read"))
			return s.Put(t.Context(), u)
		},
		"verified": func(t *testing.T, s *cas.Store, u cas.Upload) (cas.Blob, bool, error) {
			return s.PutVerified(t.Context(), u)
		},
		"without a digest": func(t *testing.T, s *cas.Store, u cas.Upload) (cas.Blob, bool, error) {
			u.Digest = nil
			return s.PutVerified(t.Context(), u)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStudy(t, cas.FilesOptions{})
			const content = "a text"
			d := cas.DigestOf([]byte(content))
			upload := func(name string) cas.Upload {
				return cas.Upload{Body: strings.NewReader(content), Size: int64(len(content)), Digest: &d, Name: name}
			}
			if b, _, err := s.store.Put(t.Context(), upload("")); err != nil || b.Name != "" {
				t.Fatalf("the first upload: %+v, %v", b, err)
			}
			u := upload("of-a-text.txt")
			u.NameIfNew = true
			if b, _, err := put(t, s.store, u); err != nil || b.Name != "" {
				t.Errorf("a name for a new blob only: the blob is %q, %v", b.Name, err)
			}
			for _, tt := range []struct{ given, want string }{
				{"", ""}, {"first.txt", "first.txt"}, {"second.txt", "first.txt"}, {"", "first.txt"},
			} {
				b, stored, err := put(t, s.store, upload(tt.given))
				if err != nil || stored || b.Name != tt.want {
					t.Errorf("an upload named %q: the blob is %q, %t, %v; want %q", tt.given, b.Name, stored, err, tt.want)
				}
				if b, err := s.store.Blob(t.Context(), d); err != nil || b.Name != tt.want {
					t.Errorf("after an upload named %q readers see %q, %v; want %q", tt.given, b.Name, err, tt.want)
				}
			}
		})
	}
}

// overtaken is an index where another upload names a blob first.
type overtaken struct{ cas.Index }

func (o overtaken) FillName(ctx context.Context, d cas.Digest, name string) error {
	if err := o.Index.FillName(ctx, d, "another.txt"); err != nil {
		return err
	}
	return o.Index.FillName(ctx, d, name)
}

// If another upload was first to name a blob, the answer has its name.
func TestAnswerHasTheNameOfTheFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	objects, err := folderstore.Open(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	s, err := cas.NewStore(objects, overtaken{sqlitetest.Open(t, filepath.Join(dir, "index.sqlite"))}, cas.Options{SpoolDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	var b cas.Blob
	for _, name := range []string{"", "mine.txt"} {
		if b, _, err = s.Put(t.Context(), cas.Upload{Body: strings.NewReader("a text"), Size: 6, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if b.Name != "another.txt" {
		t.Errorf("the blob is %q", b.Name)
	}
}
