package cas_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
)

// The bytes of an upload may become needed while they come. The upload then does not say that the blob
// is there, and the next one stores it.
func TestBlobGoesDuringItsUpload(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3000, 2 << 20} {
		for name, lose := range map[string]func(*testing.T, *house, cas.Digest){
			"by a delete": func(t *testing.T, h *house, d cas.Digest) {
				if err := h.store.Delete(t.Context(), d, cas.CondemnOptions{}); err != nil {
					t.Fatal(err)
				}
			},
			"as a read shows": func(t *testing.T, h *house, d cas.Digest) {
				if err := os.Remove(filepath.Join(h.dir, "objects", filepath.FromSlash(cas.ObjectRef{Digest: d}.Key()))); err != nil {
					t.Fatal(err)
				}
				if _, err := h.read(d); err == nil {
					t.Fatal("a missing object was read")
				}
				castest.Eventually(t, "the blob is suspect", func() bool {
					b, err := h.store.Blob(t.Context(), d)
					return err == nil && b.State == cas.StateSuspect
				})
			},
		} {
			t.Run(name, func(t *testing.T) {
				h := newHouse(t, cas.Options{HotBlobSize: -1})
				b := castest.RandomBytes(size)
				d := put(t, h, b)
				body := io.MultiReader(bytes.NewReader(b[:100]), &hook{func() { lose(t, h, d) }}, bytes.NewReader(b[100:]))
				upload := cas.Upload{Body: body, Size: int64(size), Digest: &d}
				if _, _, err := h.store.PutVerified(t.Context(), upload); !errors.Is(err, cas.ErrUploadRaced) {
					t.Errorf("the upload: %v", err)
				}
				upload.Body = bytes.NewReader(b)
				if _, _, err := h.store.PutVerified(t.Context(), upload); err != nil {
					t.Errorf("the next one: %v", err)
				}
				if got, err := h.read(d); err != nil || !bytes.Equal(got, b) {
					t.Errorf("after it: %d bytes, %v", len(got), err)
				}
			})
		}
	}
}

// hook is a reader of nothing that does something first.
type hook struct{ do func() }

func (h *hook) Read([]byte) (int, error) {
	h.do()
	return 0, io.EOF
}
