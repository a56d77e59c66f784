package wiring

import (
	"bytes"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/cmd/cas/internal/settings"
)

// A store that isn't the index's is refused: an empty one in its place, and that of
// another index.
func TestStoreMark(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) ObjectStore{
		"folder": func(t *testing.T) ObjectStore {
			s, err := folderstore.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return ObjectStore{ObjectStore: s, Folder: s, Text: "folder"}
		},
		"bucket": func(t *testing.T) ObjectStore {
			s, err := s3store.New(s3test.NewBucket(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return ObjectStore{ObjectStore: s, S3: s, Text: "bucket"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, other := openEmbedded(t), openEmbedded(t)
			objects, empty := open(t), open(t)
			check := func(what string, x Index, objects ObjectStore, accepted bool) {
				t.Helper()
				if err := CheckStoreMark(t.Context(), x, objects); (err == nil) != accepted {
					t.Errorf("%s: error %v", what, err)
				}
			}
			// A blob from before stores had marks.
			content := castest.RandomBytes(100)
			ref := cas.ObjectRef{Digest: cas.DigestOf(content)}
			if err := objects.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(content), ref.Digest, 100)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := x.Commit(t.Context(), cas.Blob{Digest: ref.Digest, Size: 100}); err != nil {
				t.Fatal(err)
			}
			check("an empty store in place of the index's", x, empty, false)
			check("the index's store, without a mark", x, objects, true)
			if err := objects.Delete(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			check("the index's store, with its mark", x, objects, true)
			check("the store of another index", other, objects, false)
			check("an empty store of an empty index", other, empty, true)
			check("a store that another index has marked", x, empty, false)
			if err := AdoptStore(t.Context(), x, empty); err != nil {
				t.Fatal(err)
			}
			check("an adopted store", x, empty, true)
		})
	}
}

func openEmbedded(t *testing.T) Index {
	t.Helper()
	x, err := OpenCurrentIndex(t.Context(), settings.Index{}, settings.Data{DataDir: t.TempDir()}, Observers{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}
