package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

func TestWrongInputGetsItsProblemAndStoresNothing(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.MaxBlobSize = 3 << 20 })
		kept := random(1000)
		d := s.put(kept)
		hex := d.Hex()
		big := random(3<<20 + 1)
		other := random(1000)
		one, oneType := form(other)
		two, twoType := form(other, random(10))
		var noFile bytes.Buffer
		w := multipart.NewWriter(&noFile)
		_ = w.WriteField("name", "value") // writing to a buffer can't fail
		w.Close()
		newPath := s.path(cas.DigestOf(other))

		for _, tt := range []struct {
			name         string
			method, path string
			body         io.Reader
			headers      []string
			status       int
			code         problem.Code
		}{
			{"short digest", "GET", "/v1/blobs/sha256:" + hex[:63], nil, nil, 400, problem.InvalidDigest},
			{"long digest", "GET", "/v1/blobs/sha256:" + hex + "0", nil, nil, 400, problem.InvalidDigest},
			{"upper case", "GET", "/v1/blobs/sha256:" + strings.ToUpper(hex), nil, nil, 400, problem.InvalidDigest},
			{"bare hash", "GET", "/v1/blobs/" + hex, nil, nil, 400, problem.InvalidDigest},
			{"other algorithm", "GET", "/v1/blobs/sha512:" + hex, nil, nil, 400, problem.InvalidDigest},
			{"percent-encoded dot", "GET", "/v1/blobs/%2e", nil, nil, 400, problem.InvalidDigest},
			{"percent-encoded dots and slash", "GET", "/v1/blobs/%2e%2e%2fetc", nil, nil, 400, problem.InvalidDigest},
			{"percent-encoded NUL", "GET", "/v1/blobs/sha256:%00", nil, nil, 400, problem.InvalidDigest},
			{"unicode", "GET", "/v1/blobs/sha256:" + strings.Repeat("é", 32), nil, nil, 400, problem.InvalidDigest},
			{"PUT of a malformed digest", "PUT", "/v1/blobs/sha256:xyz", bytes.NewReader(other), nil, 400, problem.InvalidDigest},
			{"DELETE of a malformed digest", "DELETE", "/v1/blobs/x", nil, nil, 400, problem.InvalidDigest},
			{"unknown blob", "GET", newPath, nil, nil, 404, problem.BlobNotFound},
			{"unknown blob's meta", "GET", newPath + "/meta", nil, nil, 404, problem.BlobNotFound},
			{"URL of an unknown blob", "POST", newPath + "/url", strings.NewReader(`{"expires_in":60}`), nil, 404, problem.BlobNotFound},
			{"delete of an unknown blob", "DELETE", newPath, nil, nil, 404, problem.BlobNotFound},
			{"body not of the digest", "PUT", newPath, bytes.NewReader(random(1000)), nil, 422, problem.DigestMismatch},
			{"large body not of the digest", "PUT", s.path(cas.DigestOf(big[:2<<20])), bytes.NewReader(random(2 << 20)), nil, 422, problem.DigestMismatch},
			{"chunked body not of the digest", "PUT", newPath, chunked(random(2 << 20)), nil, 422, problem.DigestMismatch},
			{"body not of a digest there already", "PUT", s.path(d), bytes.NewReader(random(1000)), nil, 422, problem.DigestMismatch},
			{"length not of a digest there already", "PUT", s.path(d), bytes.NewReader(random(999)), nil, 422, problem.DigestMismatch},
			{"chunked body not of a digest there already", "PUT", s.path(d), chunked(random(999)), nil, 422, problem.DigestMismatch},
			{"digest field not of the body", "POST", "/v1/blobs", bytes.NewReader(other), []string{"Repr-Digest", reprDigest(cas.DigestOf(big))}, 422, problem.DigestMismatch},
			{"digest field not of the path", "PUT", newPath, bytes.NewReader(other), []string{"Content-Digest", reprDigest(d)}, 422, problem.DigestMismatch},
			{"zero digest in the path", "PUT", s.path(cas.Digest{}), bytes.NewReader(other), nil, 422, problem.DigestMismatch},
			{"zero digest in the path, large", "PUT", s.path(cas.Digest{}), bytes.NewReader(big[:2<<20]), nil, 422, problem.DigestMismatch},
			{"zero digest in the path, chunked", "PUT", s.path(cas.Digest{}), chunked(other), nil, 422, problem.DigestMismatch},
			{"zero digest of a blob", "GET", s.path(cas.Digest{}), nil, nil, 404, problem.BlobNotFound},
			{"zero Repr-Digest", "POST", "/v1/blobs", bytes.NewReader(other), []string{"Repr-Digest", reprDigest(cas.Digest{})}, 422, problem.DigestMismatch},
			{"zero Content-Digest", "POST", "/v1/blobs", bytes.NewReader(other), []string{"Content-Digest", reprDigest(cas.Digest{})}, 422, problem.DigestMismatch},
			{"zero Content-Digest of a form", "POST", "/v1/blobs", bytes.NewReader(one), []string{"Content-Type", oneType, "Content-Digest", reprDigest(cas.Digest{})}, 422, problem.DigestMismatch},
			{"zero digest in a filter of operations", "GET", "/v1/operations?digest=" + cas.Digest{}.String(), nil, nil, 400, problem.InvalidDigest},
			{"malformed digest field", "POST", "/v1/blobs", bytes.NewReader(other), []string{"Repr-Digest", "sha-256=abc"}, 400, problem.InvalidRequest},
			{"too large, declared", "POST", "/v1/blobs", bytes.NewReader(big), nil, 413, problem.BlobTooLarge},
			{"too large, declared, known", "PUT", s.path(cas.DigestOf(big)), bytes.NewReader(big), nil, 413, problem.BlobTooLarge},
			{"too large, chunked", "POST", "/v1/blobs", chunked(big), nil, 413, problem.BlobTooLarge},
			{"too large, chunked, known", "PUT", s.path(cas.DigestOf(big)), chunked(big), nil, 413, problem.BlobTooLarge},
			{"no file part", "POST", "/v1/blobs", bytes.NewReader(noFile.Bytes()), []string{"Content-Type", w.FormDataContentType()}, 400, problem.InvalidRequest},
			{"two file parts", "POST", "/v1/blobs", bytes.NewReader(two), []string{"Content-Type", twoType}, 400, problem.InvalidRequest},
			{"form cut off", "POST", "/v1/blobs", bytes.NewReader(one[:len(one)-20]), []string{"Content-Type", oneType}, 400, problem.InvalidRequest},
			{"form of nothing", "POST", "/v1/blobs", strings.NewReader(""), []string{"Content-Type", oneType, "Transfer-Encoding", "chunked"}, 400, problem.InvalidRequest},
			{"form without boundary", "POST", "/v1/blobs", bytes.NewReader(one), []string{"Content-Type", "multipart/form-data"}, 400, problem.InvalidRequest},
			{"form with another boundary", "POST", "/v1/blobs", bytes.NewReader(one), []string{"Content-Type", "multipart/form-data; boundary=xyz"}, 400, problem.InvalidRequest},
			{"form's digest wrong", "POST", "/v1/blobs", bytes.NewReader(one), []string{"Content-Type", oneType, "Content-Digest", reprDigest(d)}, 422, problem.DigestMismatch},
			{"form's file's digest wrong", "POST", "/v1/blobs", bytes.NewReader(one), []string{"Content-Type", oneType, "Repr-Digest", reprDigest(d)}, 422, problem.DigestMismatch},
			{"PUT of a form", "PUT", newPath, bytes.NewReader(one), []string{"Content-Type", oneType}, 400, problem.InvalidRequest},
			{"content coding", "POST", "/v1/blobs", bytes.NewReader(other), []string{"Content-Encoding", "gzip"}, 415, problem.UnsupportedMedia},
			{"partial PUT", "PUT", newPath, bytes.NewReader(other), []string{"Content-Range", "bytes 0-9/100"}, 400, problem.InvalidRequest},
			{"control characters in a name", "POST", "/v1/blobs?name=a%0Ab", bytes.NewReader(other), nil, 400, problem.InvalidRequest},
			{"name too long", "POST", "/v1/blobs?name=" + strings.Repeat("n", 256), bytes.NewReader(other), nil, 400, problem.InvalidRequest},
			{"name not UTF-8", "POST", "/v1/blobs?name=%ff", bytes.NewReader(other), nil, 400, problem.InvalidRequest},
			{"media type with NUL", "GET", "/v1/blobs?media_type=%00", nil, nil, 400, problem.InvalidRequest},
			{"media type not UTF-8", "GET", "/v1/blobs?media_type=%ff", nil, nil, 400, problem.InvalidRequest},
			{"malformed query", "GET", "/v1/blobs?limit=%zz", nil, nil, 400, problem.InvalidRequest},
			{"malformed query of a blob", "GET", s.path(d) + "?a;b", nil, nil, 400, problem.InvalidRequest},
			{"wrong method", "PATCH", s.path(d), bytes.NewReader(other), nil, 405, problem.MethodNotAllowed},
			{"wrong method on the collection", "DELETE", "/v1/blobs", nil, nil, 405, problem.MethodNotAllowed},
			{"no such path", "GET", "/v1/nothing", nil, nil, 404, problem.NotFound},
			{"no such path below a blob", "GET", s.path(d) + "/nothing", nil, nil, 404, problem.NotFound},
			{"URL that lives too long", "POST", s.path(d) + "/url", strings.NewReader(`{"expires_in":604801}`), nil, 400, problem.InvalidRequest},
			{"URL that is dead already", "POST", s.path(d) + "/url", strings.NewReader(`{"expires_in":0}`), nil, 400, problem.InvalidRequest},
			{"URL for words", "POST", s.path(d) + "/url", strings.NewReader(`{"expires_in":"soon"}`), nil, 400, problem.InvalidRequest},
		} {
			t.Run(tt.name, func(t *testing.T) {
				a, err := s.try(tt.method, tt.path, tt.body, tt.headers...)
				if err != nil {
					t.Fatal(err)
				}
				a.wantProblem(t, tt.status, tt.code)
				if tt.status == 405 && a.Header.Get("Allow") == "" {
					t.Error("405 without Allow")
				}
			})
		}
		for _, query := range []string{"limit=0", "min_size=x", "after=x", "media_type=%00", "digest_prefix=x", "max_size=1&max_size=2"} {
			wantParam(t, s.do("GET", "/v1/blobs?"+query, nil), query)
		}
		wantParam(t, s.do("GET", "/v1/tokens?after=x", nil), "after=x")
		a := s.do("POST", "/v1/blobs", bytes.NewReader(one), "Content-Type", oneType, "Content-Digest", reprDigest(d))
		if p := a.wantProblem(t, 422, problem.DigestMismatch); !strings.Contains(p.Detail, "Content-Digest") || strings.Contains(p.Detail, "multipart") {
			t.Errorf("the wrong digest of a form: %q", p.Detail)
		}
		if n := s.blobCount(); n != 1 {
			t.Errorf("there are %d blobs, and one was uploaded", n)
		}
		s.wantBlob(kept)
		if a := s.do("PUT", newPath, bytes.NewReader(other)); a.StatusCode != 201 {
			t.Errorf("the blob refused in many forms is not new: %d", a.StatusCode)
		}
		wantNoPanic(t, s)
	})
}

func wantNoPanic(t *testing.T, s *server) {
	t.Helper()
	if logs := s.logs.String(); strings.Contains(logs, "panicked") || strings.Contains(logs, `"status":500`) {
		t.Errorf("the log tells of a bug:\n%s", logs)
	}
}

// wire is a connection on which bytes are sent as they are.
type wire struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (s *server) dial(t *testing.T) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(castest.WaitLimit)); err != nil {
		t.Fatal(err)
	}
	return &wire{conn, t, bufio.NewReader(conn)}
}

func (w *wire) send(format string, args ...any) {
	w.t.Helper()
	if _, err := fmt.Fprintf(w, format, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) answer(method string) answer {
	w.t.Helper()
	resp, err := http.ReadResponse(w.r, &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("answer cut off: %v", err)
	}
	return answer{resp, b}
}

// After an error whose body was read, and after a hit whose body wasn't needed,
// the same connection takes the next request.
func TestConnectionGoesOnAfterErrorsAndHits(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		b := random(100_000)
		d := s.put(b)
		w := s.dial(t)
		head := func(method, path string, n int) {
			w.send("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", method, path, s.token, n)
		}
		head("PUT", s.path(d), len(b))
		w.send("%s", b)
		if a := w.answer("PUT"); a.StatusCode != 200 {
			t.Fatalf("a hit: %d %s", a.StatusCode, a.body)
		}
		head("PUT", s.path(cas.DigestOf(nil)), 100)
		w.send("%s", b[:100])
		w.answer("PUT").wantProblem(t, 422, problem.DigestMismatch)
		head("PUT", "/v1/blobs/nonsense", 100)
		w.send("%s", b[:100])
		w.answer("PUT").wantProblem(t, 400, problem.InvalidDigest)
		head("GET", s.path(d), 0)
		if a := w.answer("GET"); a.StatusCode != 200 || !bytes.Equal(a.body, b) {
			t.Fatalf("after all that: %d", a.StatusCode)
		}
	})
}

// A client that sends its whole request before it reads gets an answer that was given
// early, and no reset.
func TestEarlyAnswerReachesAClientThatDoesNotWait(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), func(_ *gatewayOptions, o *cas.Options) { o.MaxBlobSize = 6 << 20 })
	b := random(5 << 20)
	d := s.put(b)
	for name, tt := range map[string]struct {
		head   string
		token  string
		size   int
		status int
	}{
		"there already":  {fmt.Sprintf("PUT %s HTTP/1.1\r\nExpect: 100-continue\r\n", s.path(d)), s.token, len(b), 200},
		"no token":       {fmt.Sprintf("PUT %s HTTP/1.1\r\n", s.path(d)), "x", len(b), 401},
		"too large":      {"POST /v1/blobs HTTP/1.1\r\n", s.token, 7 << 20, 413},
		"no such path":   {"POST /v1/nothing HTTP/1.1\r\n", s.token, len(b), 404},
		"wrong digest":   {"PUT /v1/blobs/sha256:xyz HTTP/1.1\r\n", s.token, len(b), 400},
		"malformed form": {"POST /v1/files HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n", s.token, len(b), 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range castest.Thorough(10, 4) {
				w := s.dial(t)
				w.send("%sHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", tt.head, tt.token, tt.size)
				for sent := 0; sent < tt.size; sent += 1 << 20 {
					if _, err := w.Write(b[:1<<20]); err != nil {
						t.Fatalf("after %d bytes: %v", sent, err)
					}
				}
				if a := w.answer("PUT"); a.StatusCode != tt.status {
					t.Errorf("%d %.200s", a.StatusCode, a.body)
				}
			}
		})
	}
}

func TestNoBodyAtAllIsNotTheEmptyBlob(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		w := s.dial(t)
		w.send("POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", s.token)
		w.answer("POST").wantProblem(t, 411, problem.LengthRequired)
		w.send("POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", s.token)
		if a := w.answer("POST"); a.StatusCode != 201 || decode[api.Blob](t, a).Digest != cas.DigestOf(nil) {
			t.Errorf("the empty blob: %d %s", a.StatusCode, a.body)
		}
		s.wantBlob(nil)
	})
}

// A body that breaks off leaves nothing behind, however it is taken in, and is
// never taken for whole.
func TestTruncatedBody(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		for _, n := range []int{1000, 100_000, 3 << 20} {
			b := random(n)
			for name, head := range map[string]string{
				"put":  fmt.Sprintf("PUT %s HTTP/1.1\r\nContent-Length: %d\r\n", s.path(cas.DigestOf(b)), n),
				"post": fmt.Sprintf("POST /v1/blobs HTTP/1.1\r\nContent-Length: %d\r\n", n),
				// The digest matches the bytes sent; only the cut shows that the body is
				// incomplete.
				"prefix":       fmt.Sprintf("PUT %s HTTP/1.1\r\nContent-Length: %d\r\n", s.path(cas.DigestOf(b[:n/2])), n),
				"post chunked": "POST /v1/blobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
			} {
				t.Run(fmt.Sprintf("%s %d", name, n), func(t *testing.T) {
					w := s.dial(t)
					w.send("%sHost: x\r\nAuthorization: Bearer %s\r\n\r\n", head, s.token)
					if strings.Contains(head, "chunked") {
						w.send("%x\r\n%s\r\n", n/2, b[:n/2])
					} else {
						w.send("%s", b[:n/2])
					}
					// Half-closed, so that the gateway's verdict can be seen.
					if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
						t.Fatal(err)
					}
					w.answer("PUT").wantProblem(t, 400, problem.InvalidRequest)
				})
			}
		}
		if n := s.blobCount(); n != 0 {
			t.Errorf("%d blobs came of cut uploads", n)
		}
		wantNoPanic(t, s)
	})
}

func TestClientHangsUpMidUpload(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		for _, n := range []int{1000, 100_000, 3 << 20} {
			b := random(n)
			w := s.dial(t)
			w.send("PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", s.path(cas.DigestOf(b)), s.token, n, b[:n/2])
			w.Close()
		}
		eventually(t, "the uploads to be given up", func() bool { return strings.Count(s.logs.String(), `"method":"PUT"`) == 3 })
		if n := s.blobCount(); n != 0 {
			t.Errorf("%d blobs came of cut uploads", n)
		}
		s.put(random(1000))
		wantNoPanic(t, s)
	})
}

// More bytes than declared are no part of the blob, and no request either.
func TestBodyLongerThanDeclared(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		b := random(1000)
		w := s.dial(t)
		w.send("PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 999\r\n\r\n%s", s.path(cas.DigestOf(b)), s.token, b)
		w.answer("PUT").wantProblem(t, 422, problem.DigestMismatch)
		w = s.dial(t)
		w.send("POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 900\r\n\r\n%s", s.token, b)
		if a := w.answer("POST"); a.StatusCode != 201 || decode[api.Blob](t, a).Digest != cas.DigestOf(b[:900]) {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		w = s.dial(t)
		w.send("POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n", s.token)
		w.answer("POST").wantProblem(t, 400, problem.InvalidRequest)
		if n := s.blobCount(); n != 1 {
			t.Errorf("there are %d blobs, want the one of 900 bytes", n)
		}
	})
}

func TestClientHangsUpMidDownload(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		b := random(32 << 20)
		d := s.put(b)
		for range 3 {
			w := s.dial(t)
			w.send("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", s.path(d), s.token)
			if _, err := io.CopyN(io.Discard, w.r, 1<<20); err != nil {
				t.Fatal(err)
			}
			w.Close()
		}
		s.wantBlob(b)
		if blob, err := s.parts.index.Blob(t.Context(), d); err != nil || blob.State != cas.StateLive {
			t.Errorf("a reader that left made the blob %s, %v", blob.State, err)
		}
		wantNoPanic(t, s)
	})
}

// A body that drips is cut off, and so is one that stops.
func TestSlowBodyIsCutOff(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.MinBodyRate, o.BodyWindow = 1024, time.Second })
		for name, head := range map[string]string{
			"put":  fmt.Sprintf("PUT %s HTTP/1.1\r\nContent-Length: 3000000\r\n", s.path(cas.DigestOf(nil))),
			"post": "POST /v1/blobs HTTP/1.1\r\nContent-Length: 100000\r\n",
		} {
			w := s.dial(t)
			w.send("%sHost: x\r\nAuthorization: Bearer %s\r\n\r\nabc", head, s.token)
			stop := make(chan struct{})
			go func() {
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						if _, err := w.Write([]byte("x")); err != nil {
							return
						}
					case <-stop:
						return
					}
				}
			}()
			a := w.answer("PUT")
			close(stop)
			a.wantProblem(t, 408, problem.RequestTimeout)
			if name == "put" && !a.Close {
				t.Error("the connection is kept with half a body on it")
			}
		}
		if n := s.blobCount(); n != 0 {
			t.Errorf("%d blobs came of it", n)
		}
	})
}

// The gateway drops a client that doesn't read its answer, whether the kernel or
// the gateway sends the blob.
func TestSlowReaderIsCutOff(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.WriteStall = 2 * time.Second })
		b := random(64 << 20) // more than the kernel's buffers take
		d := s.put(b)
		s.wantBlob(b) // verifies, so that the next read needn't
		for range 2 {
			w := s.dial(t)
			w.send("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", s.path(d), s.token)
		}
		eventually(t, "both readers to be cut off", func() bool { return strings.Count(s.logs.String(), `"aborted":true`) == 2 })
		s.wantBlob(b)
	})
}

func TestTooManyUploadsAreTurnedAwayAtOnce(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.MaxUploads = 2 })
		b := random(1000)
		var held []*wire
		for range 2 {
			w := s.dial(t)
			w.send("POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", s.token)
			// The gateway asks for the body once the upload has its place.
			if line, err := w.r.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
				t.Fatalf("%q, %v", line, err)
			}
			if _, err := w.r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			held = append(held, w)
		}
		s.do("PUT", s.path(cas.DigestOf(b)), bytes.NewReader(b)).wantProblem(t, 503, problem.Overloaded)
		for _, w := range held {
			w.send("%s", b)
			if a := w.answer("POST"); a.StatusCode/100 != 2 {
				t.Errorf("an upload accepted before: %d %s", a.StatusCode, a.body)
			}
		}
		s.put(b)
	})
}

func TestStopLetsTransfersFinish(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		b := random(1000)
		w := s.dial(t)
		w.send("POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", s.token)
		if line, err := w.r.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
			t.Fatalf("%q, %v", line, err)
		}
		if _, err := w.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		stopped := make(chan struct{})
		go func() { s.stop(); close(stopped) }()
		// The stop has begun once the gateway takes no more connections.
		for {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				break
			}
			conn.Close()
		}
		w.send("%s", b)
		if a := w.answer("POST"); a.StatusCode != 201 {
			t.Errorf("the upload under way: %d %s", a.StatusCode, a.body)
		}
		<-stopped
	})
}

func TestStopCutsOffWhatOutlivesTheGrace(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.ShutdownGrace = 50 * time.Millisecond })
		w := s.dial(t)
		w.send("POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\nabc", s.token)
		s.stop() // would hang without the cut
		if _, err := io.Copy(io.Discard, w.r); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("the connection is still open: %v", err)
		}
	})
}

// A body has one type: of two, another reader of the request may take the other one.
func TestTwoTypesOfABody(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	for second, status := range map[string]int{"application/json": 400, "text/plain": 201} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/blobs", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer " + s.token}, "Content-Type": {"text/plain", second}}
		if a, err := s.send(r); err != nil || a.StatusCode != status {
			t.Errorf("text/plain and %s: %d %s, %v", second, a.StatusCode, a.body, err)
		}
	}
}
