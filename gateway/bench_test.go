package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/folderstore"
	"casgate/cas/journal"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/gateway"
	"casgate/gateway/api"
	"casgate/gateway/chatapi"
	"casgate/index"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
	"casgate/index/sqliteindex"
	"casgate/providers"
	"casgate/providers/replicator"
)

// nowhere is a ResponseWriter that costs next to nothing.
type nowhere struct {
	header http.Header
	n      int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(int)             {}
func (w *nowhere) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }

// bench is a gateway for benchmarks, with a provider beside it.
type bench struct {
	gateway *gateway.Gateway
	store   *cas.Store
	token   string
	records *journal.Writer
}

func newBench(b *testing.B) bench { return newBenchWith(b, nil) }

// newBenchWith is newBench with options that change may alter.
func newBenchWith(b testing.TB, change func(*gateway.Options)) bench {
	dir := b.TempDir()
	objects, err := folderstore.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { objects.Close() })
	x, err := sqliteindex.Open(b.Context(), dir+"/index.sqlite")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(x.Close)
	if err := x.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	return newBenchOn(b, objects, x, change)
}

// newServedBench is newBench on Postgres and MinIO.
func newServedBench(b *testing.B) bench { return newServedBenchWith(b, nil) }

func newServedBenchWith(b testing.TB, change func(*gateway.Options)) bench {
	objects, err := s3store.New(s3test.NewBucket(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(objects.Close)
	x, err := pgindex.Open(b.Context(), pgindex.Options{URL: pgtest.New(b)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(x.Close)
	return newBenchOn(b, objects, x, change)
}

// newBenchOn runs a gateway with a journal, unless change takes it away.
func newBenchOn(b testing.TB, objects cas.ObjectStore, x testIndex, change func(*gateway.Options)) bench {
	cached, err := index.NewCached(x, index.CacheOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cached.Close)
	store, err := cas.NewStore(objects, cached, cas.Options{SpoolDir: b.TempDir(), VerifiedFor: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(store.Close)
	ledger, err := index.NewCachedLedger(x, index.LedgerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(ledger.Close)
	copies, err := replicator.New(replicator.Options{Blobs: store, Ledger: ledger, Providers: []providers.Guarded{talker{reader{newRemote("kimi")}, cannedChat, providers.PlacePart}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(copies.Close)
	files := cas.NewFiles(cas.FilesOptions{Store: store, Index: x})
	records := journal.NewWriter(x, journal.WriterOptions{Log: zerolog.Nop()})
	o := gateway.Options{Store: store, Files: files, Access: x, Copies: copies, Journal: records, Records: x, PublicURL: "http://127.0.0.1", Log: zerolog.New(io.Discard), Chat: chatapi.Options{Transport: cannedAnswers{}}}
	if change != nil {
		change(&o)
	}
	g, err := gateway.New(o)
	if err != nil {
		b.Fatal(err)
	}
	background(b, records.Run)
	token, text := access.NewToken("bench", []access.Scope{access.ScopeRead, access.ScopeWrite, access.ScopeSync, access.ScopeChat}, time.Time{})
	if _, err := x.CreateToken(b.Context(), token); err != nil {
		b.Fatal(err)
	}
	return bench{g, store, text, records}
}

func (b bench) put(t testing.TB, data []byte, name string) cas.Digest {
	blob, _, err := b.store.Put(context.Background(), cas.Upload{Body: bytes.NewReader(data), Size: int64(len(data)), Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return blob.Digest
}

func (b bench) request(t testing.TB, method, url string) *http.Request {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	return req
}

// BenchmarkGet measures the gateway's own work for a read, without the network.
// Allocations must not grow with the blob.
func BenchmarkGet(b *testing.B) {
	rig := newBench(b)
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10, 16 << 20} {
		data := random(size)
		req := rig.request(b, "GET", "/v1/blobs/"+rig.put(b, data, "").String())
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				w := &nowhere{header: http.Header{}}
				rig.gateway.ServeHTTP(w, req)
				if w.n != size {
					b.Fatalf("%d bytes", w.n)
				}
			}
		})
	}
}

// BenchmarkEnsureHit measures an ensure of a copy that is ready beside a bare Echo
// handler that answers the same JSON: by themselves, and over connections that
// stay open, as many at once as there are processors.
func BenchmarkEnsureHit(b *testing.B) {
	rig := newBench(b)
	path := "/v1/blobs/" + rig.put(b, []byte("some text"), "report.txt").String() + "/copies/kimi?name=document.txt"
	recorder := httptest.NewRecorder()
	rig.gateway.ServeHTTP(recorder, rig.request(b, "PUT", path))
	var made api.Copy
	if err := json.Unmarshal(recorder.Body.Bytes(), &made); err != nil || made.State != "ready" {
		b.Fatalf("%v: %s", err, recorder.Body)
	}
	yardstick := echo.New()
	yardstick.PUT("/v1/blobs/:digest/copies/:provider", func(c echo.Context) error { return c.JSON(http.StatusOK, &made) })

	for name, handler := range map[string]http.Handler{"gateway": rig.gateway, "echo": yardstick} {
		b.Run("alone/"+name, func(b *testing.B) {
			req := rig.request(b, "PUT", path)
			b.ReportAllocs()
			for b.Loop() {
				w := &nowhere{header: http.Header{}}
				handler.ServeHTTP(w, req)
				if w.n < 100 {
					b.Fatalf("%d bytes", w.n)
				}
			}
		})
	}
	yardstickServer := httptest.NewServer(yardstick)
	defer yardstickServer.Close()
	for name, host := range map[string]string{"gateway": rig.serve(b), "echo": yardstickServer.Listener.Addr().String()} {
		b.Run("served/"+name, func(b *testing.B) {
			request := []byte("PUT " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: Bearer " + rig.token + "\r\n\r\n")
			b.RunParallel(func(pb *testing.PB) {
				conn, err := net.Dial("tcp", host)
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				answer := make([]byte, 4<<10)
				for pb.Next() {
					_, err := conn.Write(request)
					n := 0
					for err == nil && !bytes.HasSuffix(answer[:n], []byte("}\n")) { // as answers to this end
						var more int
						more, err = conn.Read(answer[n:])
						n += more
					}
					if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 200 ")) {
						b.Errorf("%v: %s", err, answer[:n])
						return
					}
				}
			})
		})
	}
}

// serve runs the gateway on a socket until the benchmark ends, and returns its
// address.
func (b bench) serve(t *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.gateway.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}
