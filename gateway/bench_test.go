package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/filestore"
	"casgate/gateway"
	"casgate/index"
	"casgate/index/sqliteindex"
)

// nowhere is a ResponseWriter that costs next to nothing.
type nowhere struct {
	header http.Header
	n      int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(int)             {}
func (w *nowhere) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }

// BenchmarkGet measures what the gateway itself does for a read, without the
// network: allocations must not grow with the blob.
func BenchmarkGet(b *testing.B) {
	dir := b.TempDir()
	objects, err := filestore.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer objects.Close()
	x, err := sqliteindex.Open(b.Context(), dir+"/index.sqlite")
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	if err := x.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	cached, err := index.NewCached(x, index.CacheOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer cached.Close()
	store, err := cas.NewStore(objects, cached, cas.Options{SpoolDir: dir, VerifiedFor: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	g, err := gateway.New(gateway.Options{Store: store, Access: x, PublicURL: "http://127.0.0.1", Log: zerolog.New(io.Discard)})
	if err != nil {
		b.Fatal(err)
	}
	token, text := access.NewToken("bench", []access.Scope{access.ScopeRead}, time.Time{})
	if _, err := x.CreateToken(b.Context(), token); err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10, 16 << 20} {
		data := random(size)
		d := cas.DigestOf(data)
		if _, _, err := store.Put(context.Background(), cas.Upload{Body: bytes.NewReader(data), Size: int64(size)}); err != nil {
			b.Fatal(err)
		}
		req, err := http.NewRequest("GET", "/v1/blobs/"+d.String(), nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+text)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				w := &nowhere{header: http.Header{}}
				g.ServeHTTP(w, req)
				if w.n != size {
					b.Fatalf("%d bytes", w.n)
				}
			}
		})
	}
}
