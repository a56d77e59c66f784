package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
)

// cuttingStore is a store with one object, whose answers break off.
type cuttingStore struct {
	t      *testing.T
	object []byte
	// cut returns after how many bytes the nth answer breaks off, from 0; negative: it doesn't.
	cut func(n int) int
	// instead answers the requests after the first one, if it returns true.
	instead func(w http.ResponseWriter, r *http.Request) bool
	// cutProbes is after how many requests for the object the probe can be read; its answers
	// break off before.
	cutProbes int
	// ignores are fields of requests that the store does not heed.
	ignores []string

	mu     sync.Mutex
	ranges []string // of all requests for the object
}

const cuttingTimeout = 600 * time.Millisecond

// serve returns a client of the store.
func (c *cuttingStore) serve() *s3store.Store {
	server := httptest.NewServer(c)
	c.t.Cleanup(server.Close)
	return open(c.t, s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secretsecret", Timeout: cuttingTimeout})
}

func (c *cuttingStore) ref() cas.ObjectRef { return cas.ObjectRef{Digest: cas.DigestOf(c.object)} }

func (c *cuttingStore) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ranges
}

// ServeHTTP implements http.Handler.
func (c *cuttingStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"etag"`)
	w.Header().Set("Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT")
	if strings.Contains(r.URL.Path, "casgate-probe") {
		if len(c.asked()) < c.cutProbes {
			http.ServeContent(&cutWriter{w, 0}, r, "", time.Time{}, strings.NewReader("probe"))
			return
		}
		_, _ = io.WriteString(w, "probe") // the reader may have left
		return
	}
	c.mu.Lock()
	n := len(c.ranges)
	c.ranges = append(c.ranges, r.Header.Get("Range"))
	c.mu.Unlock()
	if n > 0 && c.instead != nil && c.instead(w, r) {
		return
	}
	for _, name := range c.ignores {
		r.Header.Del(name)
	}
	cut := c.cut(n)
	if cut < 0 {
		cut = len(c.object)
	}
	http.ServeContent(&cutWriter{w, cut}, r, "", time.Time{}, bytes.NewReader(c.object))
}

// cutWriter breaks off after so many bytes of an answer's body.
type cutWriter struct {
	http.ResponseWriter
	left int
}

// Write implements io.Writer.
func (w *cutWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	if err == nil {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	if w.left -= n; err == nil && n < len(p) {
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// An answer that breaks off is continued at the byte where it broke, as often as needed. The
// reader sees one body.
func TestAnswerThatBreaksOffIsContinued(t *testing.T) {
	t.Parallel()
	object := castest.RandomBytes(1 << 20)
	once := func(at int) func(int) int {
		return func(n int) int {
			if n == 0 {
				return at
			}
			return -1
		}
	}
	empty := func(until int) func(int) int {
		return func(n int) int {
			switch {
			case n == 0:
				return 400_000
			case n < until:
				return 0
			}
			return -1
		}
	}
	always := func(at int) func(int) int { return func(int) int { return at } }
	rest := func(first string) []string { return []string{"", "bytes=" + first + "-1048575"} }
	for name, tt := range map[string]struct {
		cut            func(int) int
		ignores        []string
		cutProbes      int
		offset, length int64
		ranges         []string // nil: many
	}{
		"once":                               {cut: once(400_000), length: -1, ranges: rest("400000")},
		"before the first byte":              {cut: once(0), length: -1, ranges: rest("0")},
		"before the last byte":               {cut: once(1<<20 - 1), length: -1, ranges: rest("1048575")},
		"again and again":                    {cut: always(70_000), length: -1},
		"without a byte, with the probe's":   {cut: empty(6), cutProbes: 7, length: -1},
		"a range":                            {cut: once(1000), offset: 100, length: 5000, ranges: []string{"bytes=100-5099", "bytes=1100-5099"}},
		"the rest of an object":              {cut: once(1000), offset: 100, length: -1, ranges: []string{"bytes=100-", "bytes=1100-1048575"}},
		"by a store that ignores ranges":     {cut: once(400_000), ignores: []string{"Range"}, length: -1, ranges: rest("400000")},
		"by a store that ignores conditions": {cut: once(400_000), ignores: []string{"If-Match"}, length: -1, ranges: rest("400000")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &cuttingStore{t: t, object: object, cut: tt.cut, ignores: tt.ignores, cutProbes: tt.cutProbes}
			o, err := c.serve().Open(t.Context(), c.ref(), tt.offset, tt.length)
			if err != nil {
				t.Fatal(err)
			}
			defer o.Body.Close()
			body := io.Reader(o.Body)
			end := int64(len(object))
			if tt.length >= 0 {
				end = tt.offset + tt.length
			} else if tt.offset == 0 {
				body = cas.NewVerifyingReader(body, c.ref().Digest, end)
			}
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, object[tt.offset:end]) {
				t.Errorf("%d bytes, error %v", len(got), err)
			}
			if asked := c.asked(); tt.ranges != nil && strings.Join(asked, " ") != strings.Join(tt.ranges, " ") {
				t.Errorf("requests for %q; want %q", asked, tt.ranges)
			}
		})
	}
}

// A read whose rest is not there ends with an error, and no bytes of another object are mixed
// in.
func TestAnswerThatCannotBeContinued(t *testing.T) {
	t.Parallel()
	object := castest.RandomBytes(1 << 20)
	const first = 100_000 // bytes of the first answer
	answered := func(status int, code string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { refuse(w, status, code); return true }
	}
	field := func(name, value string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set(name, value)
			return false
		}
	}
	shorter := func(w http.ResponseWriter, r *http.Request) bool {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(object[:first-1]))
		return true
	}
	for name, tt := range map[string]struct {
		cut      int // of each answer after the first one; negative: it is whole
		instead  func(http.ResponseWriter, *http.Request) bool
		ignores  []string
		want     error
		requests int
	}{
		"deleted":                           {cut: -1, instead: answered(404, "NoSuchKey"), want: cas.ErrObjectMissing, requests: 2},
		"replaced by other bytes":           {cut: -1, instead: field("ETag", `"other"`), want: cas.ErrStoreUnavailable, requests: 2},
		"replaced, and conditions ignored":  {cut: -1, instead: field("ETag", `"other"`), ignores: []string{"If-Match"}, want: cas.ErrStoreUnavailable, requests: 2},
		"written again":                     {cut: -1, instead: field("Last-Modified", "Fri, 27 Nov 2026 00:00:00 GMT"), want: cas.ErrStoreUnavailable, requests: 2},
		"shorter":                           {cut: -1, instead: shorter, want: cas.ErrStoreUnavailable, requests: 2},
		"refused":                           {cut: -1, instead: answered(403, "AccessDenied"), want: cas.ErrStoreRefused, requests: 2},
		"damaged, as the store says":        {cut: -1, instead: answered(500, "InternalError"), want: cas.ErrObjectCorrupt, requests: 4}, // minio-go repeats it
		"damaged, as all other answers end": {cut: 0, want: cas.ErrObjectCorrupt, requests: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &cuttingStore{t: t, object: object, instead: tt.instead, ignores: tt.ignores, cut: func(n int) int {
				if n == 0 {
					return first
				}
				return tt.cut
			}}
			o, err := c.serve().Open(t.Context(), c.ref(), 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer o.Body.Close()
			got, err := io.ReadAll(o.Body)
			if !errors.Is(err, tt.want) || errors.Is(err, cas.ErrRangeNotSatisfiable) || errors.Is(err, cas.ErrObjectCorrupt) != (tt.want == cas.ErrObjectCorrupt) {
				t.Errorf("error %v; want %v", err, tt.want)
			}
			if !bytes.Equal(got, object[:first]) {
				t.Errorf("%d bytes; want the first %d", len(got), first)
			}
			_, again := o.Body.Read(make([]byte, 1))
			if asked := c.asked(); len(asked) > tt.requests || again == nil || again == io.EOF {
				t.Errorf("%d requests; want %d. The next read: %v", len(asked), tt.requests, again)
			}
		})
	}
}

// A store that is away for too long, or sends only a little with each answer, ends the read.
func TestResumesAreBounded(t *testing.T) {
	t.Parallel()
	object := castest.RandomBytes(1 << 20)
	for name, c := range map[string]*cuttingStore{
		"a few bytes each time": {cut: func(int) int { return 10 }},
		"away": {cut: func(int) int { return 10 }, instead: func(http.ResponseWriter, *http.Request) bool {
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.t, c.object = t, object
			o, err := c.serve().Open(t.Context(), c.ref(), 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer o.Body.Close()
			got, err := io.ReadAll(o.Body)
			if !errors.Is(err, cas.ErrStoreUnavailable) || errors.Is(err, cas.ErrObjectCorrupt) || !bytes.HasPrefix(object, got) {
				t.Errorf("%d bytes, error %v", len(got), err)
			}
			if n := len(c.asked()); n > 30 { // with minio-go's own repetitions
				t.Errorf("%d requests", n)
			}
		})
	}
}

// A reader that leaves, or closes the body, causes no request for the rest.
func TestNoResumeForAReaderThatLeft(t *testing.T) {
	t.Parallel()
	object := castest.RandomBytes(1 << 20)
	for name, leave := range map[string]func(cancel func(), body io.Closer) error{
		"cancels": func(cancel func(), _ io.Closer) error { cancel(); return nil },
		"closes":  func(_ func(), body io.Closer) error { return body.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := &cuttingStore{t: t, object: object, cut: func(int) int { return 1000 }}
			o, err := c.serve().Open(ctx, c.ref(), 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer o.Body.Close()
			if _, err := io.ReadFull(o.Body, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if err := leave(cancel, o.Body); err != nil {
				t.Fatal(err)
			}
			if n, err := o.Body.Read(make([]byte, 1000)); err == nil || err == io.EOF {
				t.Errorf("%d bytes, error %v", n, err)
			}
			if asked := c.asked(); len(asked) != 1 {
				t.Errorf("requests for %q", asked)
			}
		})
	}
}

// A real store's connections break, and the store is started again, while an object is read.
func TestBrokenConnectionsToAStore(t *testing.T) {
	t.Parallel()
	server := s3test.NewServer(t)
	o, way := s3test.NewStalling(t, server.Options)
	o.Timeout = castest.WaitLimit / 2
	s := open(t, o)
	object := castest.RandomBytes(24 << 20)
	ref := cas.ObjectRef{Digest: cas.DigestOf(object)}
	if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(object), ref.Digest, int64(len(object)))); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]func(){
		"cut":           func() { way.Cut() },
		"started again": func() { server.Restart(t) },
	} {
		t.Run(name, func(t *testing.T) {
			opened, err := s.Open(t.Context(), ref, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer opened.Body.Close()
			body := cas.NewVerifyingReader(opened.Body, ref.Digest, int64(len(object)))
			head := make([]byte, 1<<20)
			if _, err := io.ReadFull(body, head); err != nil {
				t.Fatal(err)
			}
			fault()
			rest, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(append(head, rest...), object) {
				t.Errorf("%d bytes, error %v", len(head)+len(rest), err)
			}
		})
	}
}
