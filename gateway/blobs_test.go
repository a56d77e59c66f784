package gateway_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

func reprDigest(d cas.Digest) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(d[:]) + ":"
}

// chunked hides a body's length.
func chunked(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }

// form makes a multipart body of file parts, with a plain field around each.
func form(files ...[]byte) (body []byte, contentType string) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	_ = w.WriteField("purpose", "whatever") // writing to a buffer can't fail
	for i, f := range files {
		part, _ := w.CreateFormFile("file", fmt.Sprintf("file-%d.bin", i))
		_, _ = part.Write(f)
		_ = w.WriteField("after", "more")
	}
	w.Close()
	return buf.Bytes(), w.FormDataContentType()
}

// sizes are those around which the gateway changes its ways.
var sizes = []int{0, 20, 4096, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5 << 20}

func TestUploadAndDownloadOfEverySizeInEveryForm(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		for _, n := range sizes {
			forms := map[string]func(b []byte) answer{
				"put":         func(b []byte) answer { return s.do("PUT", s.path(cas.DigestOf(b)), bytes.NewReader(b)) },
				"put chunked": func(b []byte) answer { return s.do("PUT", s.path(cas.DigestOf(b)), chunked(b)) },
				"post":        func(b []byte) answer { return s.do("POST", "/v1/blobs", bytes.NewReader(b)) },
				"post chunked": func(b []byte) answer {
					return s.do("POST", "/v1/blobs", chunked(b))
				},
				"post with digest": func(b []byte) answer {
					return s.do("POST", "/v1/blobs", bytes.NewReader(b), "Repr-Digest", reprDigest(cas.DigestOf(b)))
				},
				"form": func(b []byte) answer {
					body, contentType := form(b)
					return s.do("POST", "/v1/blobs", bytes.NewReader(body), "Content-Type", contentType)
				},
				"form with digests": func(b []byte) answer {
					body, contentType := form(b)
					return s.do("POST", "/v1/blobs", bytes.NewReader(body), "Content-Type", contentType,
						"Repr-Digest", reprDigest(cas.DigestOf(b)), "Content-Digest", reprDigest(cas.DigestOf(body)))
				},
			}
			for name, upload := range forms {
				b := random(n)
				d := cas.DigestOf(b)
				for again := range 2 {
					a := upload(b)
					blob := decode[api.Blob](t, a)
					wantStatus, deduplicated := 201, false
					if again > 0 || n == 0 && *blob.Deduplicated { // there is one empty blob
						wantStatus, deduplicated = 200, true
					}
					if a.StatusCode != wantStatus || blob.Digest != d || blob.Size != int64(n) || *blob.Deduplicated != deduplicated || blob.URL != s.url+s.path(d) {
						t.Fatalf("%s of %d bytes, time %d: %d %s", name, n, again+1, a.StatusCode, a.body)
					}
					if a.Header.Get("Location") != blob.URL || a.Header.Get("ETag") != `"`+d.String()+`"` || a.Header.Get("Repr-Digest") != reprDigest(d) {
						t.Fatalf("%s of %d bytes: headers %v", name, n, a.Header)
					}
				}
				s.wantBlob(b)
				s.wantBlob(b)
			}
		}
	})
}

func TestReadHeaders(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		for _, n := range []int{1000, 2 << 20} {
			b := random(n)
			d := cas.DigestOf(b)
			s.do("PUT", s.path(d)+"?name=data.bin", bytes.NewReader(b), "Content-Type", "application/pdf")
			for _, method := range []string{"GET", "HEAD"} {
				a := s.do(method, s.path(d), nil)
				for name, want := range map[string]string{
					"Etag": `"` + d.String() + `"`, "Repr-Digest": reprDigest(d), "Accept-Ranges": "bytes",
					"Cache-Control": "private, max-age=31536000, immutable, no-transform", "Content-Type": "application/pdf",
					"Content-Length": fmt.Sprint(n), "X-Content-Type-Options": "nosniff",
					"Content-Security-Policy": "sandbox; default-src 'none'", "Content-Disposition": "inline; filename=\"data.bin\"",
					"Content-Encoding": "",
				} {
					if got := a.Header.Get(name); got != want {
						t.Errorf("%s %d bytes: %s is %q, want %q", method, n, name, got, want)
					}
				}
				if a.StatusCode != 200 || method == "GET" && !bytes.Equal(a.body, b) || method == "HEAD" && len(a.body) > 0 {
					t.Errorf("%s: %d with %d bytes", method, a.StatusCode, len(a.body))
				}
			}
			if a := s.do("GET", s.path(d)+"?download=r%C3%A9sum%C3%A9.pdf", nil); a.Header.Get("Content-Disposition") != `attachment; filename="r_sum_.pdf"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf` {
				t.Errorf("download: %q", a.Header.Get("Content-Disposition"))
			}
			encoded := strings.Replace(s.path(d), ":", "%3A", 1)
			if a := s.do("GET", encoded, nil); a.StatusCode != 200 || !bytes.Equal(a.body, b) {
				t.Errorf("a percent-encoded colon: %d", a.StatusCode)
			}
		}
	})
}

func TestMediaTypeIsDeclaredElseSniffed(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		png := append([]byte("\x89PNG\r\n\x1a\n"), random(2<<20)...)
		for name, tt := range map[string]struct {
			body           []byte
			declared, want string
		}{
			"declared":        {random(100), "text/x-custom; a=b", "text/x-custom; a=b"},
			"sniffed":         {append([]byte("%PDF-1.7\n"), random(100)...), "", "application/pdf"},
			"curl's default":  {[]byte("plain words " + fmt.Sprint(random(9))), "application/x-www-form-urlencoded", "text/plain; charset=utf-8"},
			"wildcard":        {append([]byte("%PDF-1.6\n"), random(100)...), "image/*", "application/pdf"},
			"any":             {append([]byte("%PDF-1.5\n"), random(100)...), "*/*", "application/pdf"},
			"malformed":       {append([]byte("%PDF-1.4\n"), random(100)...), "nonsense", "application/pdf"},
			"contradicted":    {append([]byte("%PDF-1.3\n"), random(100)...), "text/html", "application/pdf"},
			"finer":           {[]byte("# Title " + fmt.Sprint(random(9))), "text/markdown", "text/markdown"},
			"GBK":             {append([]byte("\xd6\xd0\xce\xc4 "), fmt.Sprint(random(9))...), "", "text/plain"},
			"unknown":         {append([]byte{0, 1, 2}, random(100)...), "application/octet-stream", "application/octet-stream"},
			"streamed":        {png, "", "image/png"},
			"script in image": {append([]byte("<svg xmlns='http://www.w3.org/2000/svg'>"), random(9)...), "image/svg+xml", "image/svg+xml"},
		} {
			d := cas.DigestOf(tt.body)
			a := s.do("PUT", s.path(d), bytes.NewReader(tt.body), "Content-Type", tt.declared)
			if got := decode[api.Blob](t, a).MediaType; got != tt.want {
				t.Errorf("%s: %q, want %q", name, got, tt.want)
			}
		}
	})
}

func TestRangesAndConditions(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		for _, n := range []int{1000, 3 << 20} {
			b := random(n)
			d := s.put(b)
			etag := `"` + d.String() + `"`
			for _, r := range []struct {
				header       string
				first, after int
			}{{"bytes=0-0", 0, 1}, {"bytes=10-99", 10, 100}, {"bytes=-10", n - 10, n}, {"bytes=500-", 500, n}, {"bytes=0-99999999", 0, n}} {
				a := s.do("GET", s.path(d), nil, "Range", r.header)
				want := fmt.Sprintf("bytes %d-%d/%d", r.first, r.after-1, n)
				if a.StatusCode != 206 || !bytes.Equal(a.body, b[r.first:r.after]) || a.Header.Get("Content-Range") != want || a.Header.Get("ETag") != etag {
					t.Errorf("%s of %d: %d, %d bytes, %q", r.header, n, a.StatusCode, len(a.body), a.Header.Get("Content-Range"))
				}
			}
			for _, whole := range []string{"bytes=0-1,5-6", "lines=0-1", "x"} {
				if a := s.do("GET", s.path(d), nil, "Range", whole); a.StatusCode != 200 || !bytes.Equal(a.body, b) {
					t.Errorf("%q: %d, %d bytes", whole, a.StatusCode, len(a.body))
				}
			}
			for _, bad := range []string{fmt.Sprintf("bytes=%d-", n), "bytes=5-4", "bytes=-0", "bytes=a-b", "bytes=-"} {
				a := s.do("GET", s.path(d), nil, "Range", bad)
				a.wantProblem(t, 416, problem.RangeNotSatisfiable)
				if got := a.Header.Get("Content-Range"); got != fmt.Sprintf("bytes */%d", n) {
					t.Errorf("%q: Content-Range %q", bad, got)
				}
			}
			if a := s.do("GET", s.path(d), nil, "Range", "bytes=0-9", "If-Range", etag); a.StatusCode != 206 {
				t.Errorf("If-Range that holds: %d", a.StatusCode)
			}
			for _, other := range []string{`"other"`, "W/" + etag, "Sat, 01 Jan 2000 00:00:00 GMT"} {
				if a := s.do("GET", s.path(d), nil, "Range", "bytes=0-9", "If-Range", other); a.StatusCode != 200 || len(a.body) != n {
					t.Errorf("If-Range %s: %d", other, a.StatusCode)
				}
			}
			if a := s.do("HEAD", s.path(d), nil, "Range", "bytes=0-9"); a.StatusCode != 200 || a.ContentLength != int64(n) {
				t.Errorf("HEAD with Range: %d, %d", a.StatusCode, a.ContentLength)
			}
			for _, match := range []string{etag, "*", `"a", ` + etag, "W/" + etag} {
				for _, method := range []string{"GET", "HEAD"} {
					a := s.do(method, s.path(d), nil, "If-None-Match", match, "Range", "bytes=0-9")
					if a.StatusCode != 304 || len(a.body) > 0 || a.Header.Get("ETag") != etag || !strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
						t.Errorf("%s If-None-Match %s: %d %v", method, match, a.StatusCode, a.Header)
					}
				}
			}
			if a := s.do("GET", s.path(d), nil, "If-None-Match", `"other"`); a.StatusCode != 200 {
				t.Errorf("If-None-Match of another: %d", a.StatusCode)
			}
			if a := s.do("GET", s.path(d), nil, "If-Match", etag); a.StatusCode != 200 {
				t.Errorf("If-Match: %d", a.StatusCode)
			}
			s.do("GET", s.path(d), nil, "If-Match", `"other"`).wantProblem(t, 412, problem.PreconditionFailed)
		}
		missing := s.path(cas.DigestOf(random(9)))
		s.do("GET", missing, nil, "If-None-Match", "*").wantProblem(t, 404, problem.BlobNotFound)
	})
}

func TestDeleteHidesAndUploadRescues(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		b := random(1000)
		d := s.put(b)
		s.wantBlob(b)
		a := s.do("DELETE", s.path(d), nil)
		if got := decode[api.Deleted](t, a); a.StatusCode != 202 || got.Digest != d || got.State != cas.StateCondemned {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		for _, method := range []string{"GET", "DELETE"} {
			s.do(method, s.path(d), nil).wantProblem(t, 404, problem.BlobNotFound)
		}
		s.do("GET", s.path(d)+"/meta", nil).wantProblem(t, 404, problem.BlobNotFound)
		if n := s.blobCount(); n != 0 {
			t.Errorf("%d blobs are listed", n)
		}
		missing := s.do("POST", "/v1/blobs/find-missing", strings.NewReader(`{"digests":["`+d.String()+`"]}`))
		if got := decode[api.Missing](t, missing).Missing; len(got) != 1 {
			t.Errorf("a deleted blob is not missing: %s", missing.body)
		}
		s.put(b)
		s.wantBlob(b)
		s.do("DELETE", s.path(d)+"?force=perhaps", nil).wantProblem(t, 400, problem.InvalidRequest)
		if a := s.do("DELETE", s.path(d)+"?force=true", nil); a.StatusCode != 202 {
			t.Errorf("force: %d", a.StatusCode)
		}
	})
}

func TestListing(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		var want []cas.Digest
		for i := range 25 {
			b := random(100 + i)
			d := cas.DigestOf(b)
			mediaType := "text/plain"
			if i%2 == 1 {
				mediaType = "image/png"
			}
			s.do("PUT", s.path(d), bytes.NewReader(b), "Content-Type", mediaType)
			want = append(want, d)
		}
		for _, limit := range []int{1, 7, 25, 100} {
			var got []cas.Digest
			after := ""
			for {
				page := decode[api.BlobPage](t, s.do("GET", fmt.Sprintf("/v1/blobs?limit=%d&after=%s", limit, after), nil))
				for _, b := range page.Blobs {
					got = append(got, b.Digest)
				}
				if after = page.Next; after == "" {
					break
				}
				if len(page.Blobs) != limit {
					t.Fatalf("a page of %d that isn't the last, limit %d", len(page.Blobs), limit)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("limit %d: got %d blobs, or in another order", limit, len(got))
			}
		}
		for query, n := range map[string]int{
			"media_type=text/plain": 13, "media_type=text/html": 0, "min_size=120": 5, "max_size=101": 2, "max_size=0": 0,
			"min_size=110&max_size=119&media_type=image/png": 5,
		} {
			a := s.do("GET", "/v1/blobs?"+query, nil)
			if got := decode[api.BlobPage](t, a).Blobs; len(got) != n || got == nil {
				t.Errorf("%s: %d blobs, want %d: %s", query, len(got), n, a.body)
			}
		}
		for _, bad := range []string{"limit=0", "limit=-1", "limit=1001", "limit=x", "after=x", "after=AAAA", "min_size=-1", "max_size=x", "max_size=99999999999999999999"} {
			s.do("GET", "/v1/blobs?"+bad, nil).wantProblem(t, 400, problem.InvalidRequest)
		}
	})
}

func TestMetaAndFindMissing(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		b := random(1000)
		d := cas.DigestOf(b)
		s.do("PUT", s.path(d)+"?name=dir/first.txt", bytes.NewReader(b), "Content-Type", "text/plain")
		s.do("PUT", s.path(d)+"?name=second.txt", bytes.NewReader(b))
		a := s.do("GET", s.path(d)+"/meta", nil)
		meta := decode[api.BlobMeta](t, a)
		if meta.Name != "first.txt" || meta.Size != 1000 || meta.MediaType != "text/plain" || meta.State != cas.StateLive || meta.CreatedAt.IsZero() || meta.Files == nil || meta.Copies == nil {
			t.Errorf("meta: %s", a.body)
		}
		missing := cas.DigestOf(random(1))
		body := fmt.Sprintf(`{"digests":[%q,%q,%q,%q]}`, missing, d, missing, d)
		if got := decode[api.Missing](t, s.do("POST", "/v1/blobs/find-missing", strings.NewReader(body))); fmt.Sprint(got.Missing) != fmt.Sprint([]cas.Digest{missing, missing}) {
			t.Errorf("missing: %v", got.Missing)
		}
		if a := s.do("POST", "/v1/blobs/find-missing", strings.NewReader(`{"digests":[]}`)); string(bytes.TrimSpace(a.body)) != `{"missing":[]}` {
			t.Errorf("none asked: %s", a.body)
		}
		tooMany := `{"digests":[` + strings.Repeat(`"`+d.String()+`",`, 1000) + `"` + d.String() + `"]}`
		for body, code := range map[string]problem.Code{
			"": problem.InvalidRequest, "{": problem.InvalidRequest, "[]": problem.InvalidRequest, "{}": problem.InvalidRequest, `{"digests":null}`: problem.InvalidRequest,
			`{"digests":["x"]}`: problem.InvalidDigest, `{"digests":[1]}`: problem.InvalidRequest, `{"digest":[]}`: problem.InvalidRequest,
			`{"digests":[]}{}`: problem.InvalidRequest, tooMany: problem.InvalidRequest, strings.Repeat(" ", 300<<10): problem.InvalidRequest,
		} {
			s.do("POST", "/v1/blobs/find-missing", strings.NewReader(body)).wantProblem(t, 400, code)
		}
	})
}

// A client that waits for 100-continue must not be asked for a body that is
// there already, and must be for one that isn't.
func TestExpectContinue(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		transport := &http.Transport{ExpectContinueTimeout: 1 << 40}
		defer transport.CloseIdleConnections()
		b := random(2 << 20)
		for i, wantRead := range []bool{true, false} {
			var read atomic.Bool
			body := readerFunc(func(p []byte) (int, error) { read.Store(true); return 0, nil })
			req, err := http.NewRequest("PUT", s.url+s.path(cas.DigestOf(b)), io.MultiReader(&once{body}, bytes.NewReader(b)))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = int64(len(b))
			req.Header.Set("Authorization", "Bearer "+s.token)
			req.Header.Set("Expect", "100-continue")
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if want := []int{201, 200}[i]; resp.StatusCode != want || read.Load() != wantRead {
				t.Errorf("time %d: %d, body read: %t", i+1, resp.StatusCode, read.Load())
			}
		}
		s.wantBlob(b)
	})
}

// An upload whose bytes need not be sent can still know the media type better.
func TestExpectContinueCorrectsTheType(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		content := strings.Repeat("a text\n", 1000)
		path := s.path(cas.DigestOf([]byte(content)))
		if a := s.do("PUT", path, strings.NewReader(content)); a.StatusCode != 201 {
			t.Fatal(a.StatusCode)
		}
		w := s.dial(t)
		w.send("PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: text/markdown\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", path, s.token, len(content))
		if a := w.answer("PUT"); a.StatusCode != 200 || !strings.Contains(string(a.body), `"media_type":"text/markdown"`) {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		if got := s.do("GET", path, nil).Header.Get("Content-Type"); got != "text/markdown" {
			t.Errorf("afterwards it is %s", got)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// once calls its reader a single time and then ends.
type once struct{ r io.Reader }

func (o *once) Read(p []byte) (int, error) {
	if o.r == nil {
		return 0, io.EOF
	}
	n, _ := o.r.Read(p)
	o.r = nil
	return n, nil
}

// The same bytes from 32 clients through 2 gateways at once.
func TestSameBytesFromManyClients(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		one := start(t, p, nil)
		two := start(t, p, nil)
		for _, n := range []int{4096, 3 << 20} {
			b := random(n)
			before := one.blobCount()
			var created atomic.Int32
			var wg sync.WaitGroup
			for i := range 32 {
				s := []*server{one, two}[i%2]
				wg.Go(func() {
					var a answer
					var err error
					if i%4 < 2 {
						a, err = s.try("PUT", s.path(cas.DigestOf(b)), bytes.NewReader(b))
					} else {
						a, err = s.try("POST", "/v1/blobs", chunked(b))
					}
					if err != nil || a.StatusCode/100 != 2 {
						t.Errorf("client %d: %v, %d %s", i, err, a.StatusCode, a.body)
						return
					}
					if a.StatusCode == 201 {
						created.Add(1)
					}
				})
			}
			wg.Wait()
			if created.Load() != 1 {
				t.Errorf("%d of 32 were told that they created it", created.Load())
			}
			if got := one.blobCount() - before; got != 1 {
				t.Errorf("%d rows came of it", got)
			}
			one.wantBlob(b)
			two.wantBlob(b)
		}
	})
}

func TestPublicRead(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.PublicRead = true })
		b := random(100)
		d := s.put(b)
		a := s.do("GET", s.path(d), nil, "Authorization", "-")
		if a.StatusCode != 200 || a.Header.Get("Cache-Control") != "public, max-age=31536000, immutable, no-transform" {
			t.Errorf("%d %q", a.StatusCode, a.Header.Get("Cache-Control"))
		}
		for _, path := range []string{s.path(d) + "/meta", "/v1/blobs"} {
			s.do("GET", path, nil, "Authorization", "-").wantProblem(t, 401, problem.Unauthenticated)
		}
		s.do("DELETE", s.path(d), nil, "Authorization", "-").wantProblem(t, 401, problem.Unauthenticated)
	})
}

// The beginning of a digest finds the blobs that begin so, but no deleted one.
func TestListingByPrefix(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	b := random(100)
	d := cas.DigestOf(b)
	s.do("PUT", s.path(d), bytes.NewReader(b))
	find := func(digits string) int {
		page := decode[api.BlobPage](t, s.do("GET", "/v1/blobs?digest_prefix="+digits, nil))
		for _, found := range page.Blobs {
			if found.Digest != d || found.Size != int64(len(b)) || found.URL == "" {
				t.Errorf("%s finds %+v", digits, found)
			}
		}
		return len(page.Blobs)
	}
	for digits, want := range map[string]int{d.Hex()[:8]: 1, d.Hex()[:9]: 1, d.Hex(): 1, cas.DigestOf([]byte("other")).Hex()[:8]: 0} {
		if got := find(digits); got != want {
			t.Errorf("%s: %d blobs, want %d", digits, got, want)
		}
	}
	for _, query := range []string{"digest_prefix=" + d.Hex()[:7], "digest_prefix=", "digest_prefix=ABCDEF01", "digest_prefix=sha256:abcdef01", "digest_prefix=" + d.Hex() + "0", "digest_prefix=abcdef01&media_type=text/plain"} {
		s.do("GET", "/v1/blobs?"+query, nil).wantProblem(t, 400, problem.InvalidRequest)
	}
	s.do("DELETE", s.path(d), nil)
	if got := find(d.Hex()[:8]); got != 0 {
		t.Error("a deleted blob is found")
	}
}

// find-missing describes the blobs that exist, each once, if it is asked to.
func TestPresentBlobs(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	b := random(100)
	d, absent := cas.DigestOf(b), cas.DigestOf([]byte("absent"))
	s.do("PUT", s.path(d)+"?name=a.bin", bytes.NewReader(b), "Content-Type", "application/pdf")
	ask := fmt.Sprintf(`{"digests":["%s","%s","%s"]}`, d, absent, d)
	got := decode[api.Missing](t, s.do("POST", "/v1/blobs/find-missing?present=true", strings.NewReader(ask), "Content-Type", "application/json"))
	if len(got.Missing) != 1 || got.Missing[0] != absent || len(got.Present) != 1 {
		t.Fatalf("%+v", got)
	}
	meta := decode[api.BlobMeta](t, s.do("GET", s.path(d)+"/meta", nil))
	if fmt.Sprint(got.Present[0]) != fmt.Sprint(meta.Blob) {
		t.Errorf("%+v, and the blob is %+v", got.Present[0], meta.Blob)
	}
	if got = decode[api.Missing](t, s.do("POST", "/v1/blobs/find-missing", strings.NewReader(ask), "Content-Type", "application/json")); got.Present != nil {
		t.Errorf("it describes %+v without a request to", got.Present)
	}
}
