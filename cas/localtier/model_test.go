package localtier_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/localtier"
)

// copiesIn returns the bytes of all copies in a tier's folder, finished or not.
func copiesIn(t interface{ Fatal(...any) }, dir string) (total int64) {
	for _, part := range []string{"sha256", "tmp"} {
		err := filepath.WalkDir(filepath.Join(dir, part), func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				total += info.Size()
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return total
}

type openBody struct {
	cas.Object
	want []byte
	ref  cas.ObjectRef
}

// Whatever is put, read, deleted and damaged, in whatever order, over restarts: reads return the right
// bytes, deleted objects are missing, and the copies never exceed the limit.
func TestModel(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		const limit = 1_000_000
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			t.Fatal(err)
		}
		inner := newMemoryStore()
		var tier *localtier.Tier
		start := func() {
			var err error
			tier, err = localtier.New(inner, localtier.Options{Dir: dir, Size: limit, FillLimit: 300_000})
			if err != nil {
				t.Fatal(err)
			}
		}
		start()
		var open []openBody
		stop := func() {
			for _, o := range open {
				o.Body.Close()
			}
			open = nil
			if err := tier.Close(); err != nil {
				t.Fatal(err)
			}
		}
		defer func() { stop() }()
		var blobs [][]byte
		for _, size := range []int{0, 1000, 100_000, 250_000, 400_000, 600_000, 1_200_000} {
			blobs = append(blobs, castest.RandomBytes(size))
		}
		stored := map[cas.ObjectRef]bool{}
		refOf := func(i int) cas.ObjectRef { return cas.ObjectRef{Digest: cas.DigestOf(blobs[i])} }
		pick := rapid.IntRange(0, len(blobs)-1)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i := pick.Draw(t, "blob")
				ref := refOf(i)
				if err := tier.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(blobs[i]), ref.Digest, int64(len(blobs[i])))); err != nil {
					t.Fatal(err)
				}
				stored[ref] = true
			},
			"put wrong bytes": func(t *rapid.T) {
				i := pick.Draw(t, "blob")
				ref := refOf(i)
				wrong := append([]byte{7}, blobs[i]...)
				if err := tier.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(wrong), ref.Digest, int64(len(wrong)))); err == nil {
					t.Fatal("wrong bytes were taken")
				}
			},
			"open": func(t *rapid.T) {
				i := pick.Draw(t, "blob")
				ref, want := refOf(i), blobs[i]
				offset, length := int64(0), int64(-1)
				if len(want) > 0 && rapid.Bool().Draw(t, "range") {
					offset = rapid.Int64Range(0, int64(len(want)-1)).Draw(t, "offset")
					length = rapid.Int64Range(1, int64(len(want))-offset).Draw(t, "length")
					want = want[offset : offset+length]
				}
				o, err := tier.Open(t.Context(), ref, offset, length)
				if !stored[ref] {
					if !errors.Is(err, cas.ErrObjectMissing) {
						t.Fatalf("of a deleted object: %v", err)
					}
					return
				}
				if err != nil || o.Size != int64(len(blobs[i])) {
					t.Fatalf("size %d, %v", o.Size, err)
				}
				open = append(open, openBody{o, want, ref})
			},
			"read": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nothing is open")
				}
				i := rapid.IntRange(0, len(open)-1).Draw(t, "body")
				o := open[i]
				open = append(open[:i:i], open[i+1:]...)
				got, err := io.ReadAll(o.Body)
				if err != nil || !bytes.Equal(got, o.want) {
					t.Fatalf("%d bytes, want %d: %v", len(got), len(o.want), err)
				}
				if o.Copy != nil && int64(len(got)) == o.Size {
					o.Copy.Verified()
				}
				o.Body.Close()
			},
			"leave": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nothing is open")
				}
				open[0].Body.Close()
				open = open[1:]
			},
			"damaged": func(t *rapid.T) {
				if len(open) == 0 || open[0].Copy == nil {
					t.Skip("no copy is open")
				}
				open[0].Copy.Damaged()
			},
			"delete": func(t *rapid.T) {
				ref := refOf(pick.Draw(t, "blob"))
				if err := tier.Delete(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
				stored[ref] = false
			},
			"restart": func(*rapid.T) {
				stop()
				start()
			},
			"": func(t *rapid.T) {
				s := tier.Stats()
				if s.Bytes > limit || s.Bytes < 0 || s.Errors > 0 {
					t.Fatalf("%+v", s)
				}
				if n := copiesIn(t, dir); n > limit {
					t.Fatalf("%d bytes on the disk, and the limit is %d", n, limit)
				}
			},
		})
		stop()
		start() // when nothing is open, the record is exact
		if s, n := tier.Stats(), copiesIn(t, dir); s.Bytes != n {
			t.Fatalf("the record says %d bytes, and there are %d", s.Bytes, n)
		}
	})
}
