package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// HEAD is answered like GET, without a body, on every path that GET has.
func TestHeadIsAnsweredLikeGet(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		d := s.put([]byte("some text"))
		for _, path := range []string{
			"/healthz", "/readyz", "/openapi.yaml", "/openapi.json", "/docs", "/v1/blobs", s.path(d), s.path(d) + "/meta", s.path(d) + "/copies",
			s.path(d) + "/copies/kimi", "/v1/files", "/v1/files/file-none", "/v1/providers", "/v1/providers/none",
			"/v1/operations", "/v1/operations/none",
		} {
			get, head := s.do("GET", path, nil), s.do("HEAD", path, nil)
			if head.StatusCode != get.StatusCode || len(head.body) != 0 || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
				t.Errorf("HEAD %s is answered %d (%s) with %d bytes, and GET %d (%s)", path,
					head.StatusCode, head.Header.Get("Content-Type"), len(head.body), get.StatusCode, get.Header.Get("Content-Type"))
			}
		}
	})
}

// A token is taken from the headers that the SDKs of Anthropic and Azure use, if there
// is no field Authorization.
func TestTokenInOtherHeaders(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		token := s.newToken(access.ScopeRead)
		for _, name := range []string{"x-api-key", "api-key"} {
			if a := s.do("GET", "/v1/blobs", nil, "Authorization", "-", name, token); a.StatusCode != 200 {
				t.Errorf("a token in %s: %d %s", name, a.StatusCode, a.body)
			}
			s.do("GET", "/v1/blobs", nil, "Authorization", "-", name, "cas_nonsense").wantProblem(t, 401, problem.Unauthenticated)
			s.do("GET", "/v1/blobs", nil, "Authorization", "Bearer nonsense", name, token).wantProblem(t, 401, problem.Unauthenticated)
			s.do("PUT", s.path(cas.DigestOf(nil)), bytes.NewReader(nil), "Authorization", "-", name, token).wantProblem(t, 403, problem.Forbidden)
		}
	})
}

// Conditions count on every method and on every line of their fields.
func TestConditionsOfWrites(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		b, unknown := []byte("some text"), []byte("another text")
		d := s.put(b)
		own, other := `"`+d.String()+`"`, `"`+cas.DigestOf(unknown).String()+`"`
		try := func(method, path string, body []byte, fields map[string][]string) answer {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+s.token)
			for name, lines := range fields {
				req.Header[name] = lines
			}
			a, err := s.send(req)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		for name, tt := range map[string]struct {
			method, path string
			body         []byte
			fields       map[string][]string
			status       int
		}{
			"GET, the tag on the second line":         {"GET", s.path(d), nil, map[string][]string{"If-Match": {other, own}}, 200},
			"GET, an empty first line":                {"GET", s.path(d), nil, map[string][]string{"If-Match": {"", other}}, 412},
			"PUT of another tag":                      {"PUT", s.path(d), b, map[string][]string{"If-Match": {other}}, 412},
			"PUT of its tag":                          {"PUT", s.path(d), b, map[string][]string{"If-Match": {other, own}}, 200},
			"PUT where there must be a blob":          {"PUT", s.path(cas.DigestOf(unknown)), unknown, map[string][]string{"If-Match": {"*"}}, 412},
			"PUT where there must be none, and is":    {"PUT", s.path(d), b, map[string][]string{"If-None-Match": {"*"}}, 412},
			"DELETE of another tag":                   {"DELETE", s.path(d), nil, map[string][]string{"If-Match": {other}}, 412},
			"DELETE of another tag, on a second line": {"DELETE", s.path(d), nil, map[string][]string{"If-Match": {other, other}}, 412},
		} {
			a := try(tt.method, tt.path, tt.body, tt.fields)
			if a.StatusCode != tt.status {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			}
		}
		if a := try("PUT", s.path(cas.DigestOf(unknown)), unknown, map[string][]string{"If-None-Match": {"*"}}); a.StatusCode != 201 {
			t.Errorf("PUT where there must be none, and is none: %d %s", a.StatusCode, a.body)
		}
		created := s.newFile("a.txt", string(b))
		s.do("DELETE", "/v1/files/"+created.ID, nil, "If-Match", other).wantFileError(t, 412, problem.PreconditionFailed, "")
		if a := s.do("DELETE", "/v1/files/"+created.ID, nil, "If-Match", own); a.StatusCode != 200 {
			t.Errorf("delete of a file with its tag: %d %s", a.StatusCode, a.body)
		}
		if a := try("DELETE", s.path(d), nil, map[string][]string{"If-Match": {own}}); a.StatusCode != 202 {
			t.Errorf("delete of a blob with its tag: %d %s", a.StatusCode, a.body)
		}
	})
}

// A digest in a trailer is verified like one in a header.
func TestDigestInATrailer(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		content := random(100_000)
		d, other := cas.DigestOf(content), cas.DigestOf([]byte("other"))
		body, contentType := form(content)
		for _, field := range []string{"Repr-Digest", "Content-Digest"} {
			for name, tt := range map[string]struct {
				method, path, contentType string
				body                      []byte
				trailer                   string
				status                    int
			}{
				"wrong":            {"POST", "/v1/blobs", "text/plain", content, reprDigest(other), 422},
				"malformed":        {"POST", "/v1/blobs", "text/plain", content, "sha-256=abc", 400},
				"wrong, of a PUT":  {"PUT", s.path(d), "text/plain", content, reprDigest(other), 422},
				"wrong, of a form": {"POST", "/v1/blobs", contentType, body, reprDigest(other), 422},
				"right":            {"POST", "/v1/blobs", "text/plain", content, reprDigest(d), 0},
			} {
				req, err := http.NewRequestWithContext(t.Context(), tt.method, s.url+tt.path, chunked(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+s.token)
				req.Header.Set("Content-Type", tt.contentType)
				req.Trailer = http.Header{field: {tt.trailer}}
				a, err := s.send(req)
				if err != nil {
					t.Fatal(err)
				}
				if a.StatusCode != tt.status && (tt.status != 0 || a.StatusCode/100 != 2) {
					t.Errorf("%s, %s: %d %s", field, name, a.StatusCode, a.body)
				}
			}
		}
	})
}

// A digest in a trailer that no field announced can't be verified, and is not ignored.
func TestDigestInATrailerWithoutNotice(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	for _, field := range []string{"Repr-Digest", "Content-Digest"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/blobs HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n%s: %s\r\n\r\n",
			conn.RemoteAddr(), s.token, field, reprDigest(cas.DigestOf([]byte("other"))))
		a, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || a.StatusCode != 400 {
			t.Fatalf("%s: %+v, %v", field, a, err)
		}
	}
}

// If-Modified-Since counts where there is no If-None-Match, and If-Unmodified-Since where there
// is no If-Match.
func TestLastModified(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		d := s.put([]byte("some text"))
		at := s.do("GET", s.path(d), nil).Header.Get("Last-Modified")
		made, err := http.ParseTime(at)
		if err != nil {
			t.Fatalf("Last-Modified is %q: %v", at, err)
		}
		for since, status := range map[string]int{
			at: 304, made.Add(time.Hour).Format(http.TimeFormat): 304, made.Add(-time.Second).Format(http.TimeFormat): 200, "yesterday": 200,
		} {
			if a := s.do("GET", s.path(d), nil, "If-Modified-Since", since); a.StatusCode != status {
				t.Errorf("If-Modified-Since: %s: %d", since, a.StatusCode)
			}
		}
		before := made.Add(-time.Second).Format(http.TimeFormat)
		for since, status := range map[string]int{at: 200, made.Add(time.Hour).Format(http.TimeFormat): 200, before: 412, "yesterday": 200} {
			if a := s.do("GET", s.path(d), nil, "If-Unmodified-Since", since); a.StatusCode != status {
				t.Errorf("If-Unmodified-Since: %s: %d", since, a.StatusCode)
			}
		}
		if a := s.do("GET", s.path(d), nil, "If-Unmodified-Since", before, "If-Match", "*"); a.StatusCode != 200 {
			t.Errorf("If-Unmodified-Since beside an If-Match: %d", a.StatusCode)
		}
		if a := s.do("GET", s.path(d), nil, "If-Modified-Since", at, "If-None-Match", `"other"`); a.StatusCode != 200 {
			t.Errorf("with another If-None-Match: %d", a.StatusCode)
		}
		if a := s.do("GET", s.path(d), nil, "Range", "bytes=0-3", "If-Range", at); a.StatusCode != 206 {
			t.Errorf("a range with If-Range: %d", a.StatusCode)
		}
	})
}

// A client that sends a range with each request gets an empty blob, too.
func TestRangeOfTheEmptyBlob(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		d := s.put(nil)
		for _, field := range []string{"bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-"} {
			if a := s.do("GET", s.path(d), nil, "Range", field); a.StatusCode != 200 || len(a.body) != 0 || a.Header.Get("Content-Range") != "" {
				t.Errorf("%s: %d, %q", field, a.StatusCode, a.Header.Get("Content-Range"))
			}
		}
	})
}

// Names have up to 255 characters, of whatever script.
func TestLongNames(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		long := strings.Repeat("报", 251) + ".txt"
		if f := s.newFile(long, "some text"); f.Filename != long {
			t.Errorf("the file is called %q", f.Filename)
		}
		if a := s.do("POST", "/v1/blobs?name="+url.QueryEscape(long), strings.NewReader("other text")); a.StatusCode != 201 {
			t.Errorf("POST: %d %s", a.StatusCode, a.body)
		}
		a := s.postForm("", filePart("报"+long, "x"), field("purpose", "user_data"))
		a.wantFileError(t, 400, problem.InvalidRequest, "filename")
		named := s.postForm("", field("filename", "report.txt"), filePart("报"+long, "x"), field("purpose", "user_data"))
		if f := decode[api.File](t, named); named.StatusCode != 200 || f.Filename != "report.txt" {
			t.Errorf("with a field filename: %d %s", named.StatusCode, named.body)
		}
	})
}

// The gateway speaks HTTP/2 without TLS, many requests over one connection.
func TestHTTP2WithoutTLS(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols}
		defer transport.CloseIdleConnections()
		httpClient := &http.Client{Transport: transport}
		send := func(method, path string, body []byte, fields ...string) (*http.Response, []byte, error) {
			req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, bytes.NewReader(body))
			if err != nil {
				return nil, nil, err
			}
			req.Header.Set("Authorization", "Bearer "+s.token)
			for i := 0; i < len(fields); i += 2 {
				req.Header.Set(fields[i], fields[i+1])
			}
			resp, err := httpClient.Do(req)
			if err != nil {
				return nil, nil, err
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			return resp, got, err
		}
		var all sync.WaitGroup
		for _, size := range []int{0, 10, 4096, 300_000, 3 << 20} {
			all.Go(func() {
				content := random(size)
				path := s.path(cas.DigestOf(content))
				if resp, body, err := send("PUT", path, content); err != nil || resp.ProtoMajor != 2 || resp.StatusCode != 201 {
					t.Errorf("PUT of %d bytes: %v, %v: %s", size, resp, err, body)
					return
				}
				for range 5 { // the later ones from memory
					resp, got, err := send("GET", path, nil)
					if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, content) || resp.Header.Get("ETag") == "" {
						t.Errorf("GET of %d bytes: %v, %v", size, resp, err)
					}
				}
				if size > 10 {
					if resp, got, err := send("GET", path, nil, "Range", "bytes=2-5"); err != nil || resp.StatusCode != 206 || !bytes.Equal(got, content[2:6]) {
						t.Errorf("a range of %d bytes: %v, %v", size, resp, err)
					}
				}
			})
		}
		all.Wait()

		// HTTP/2 takes a trailer beside Content-Length, too.
		content := random(5000)
		for declared, want := range map[cas.Digest]int{cas.DigestOf([]byte("other bytes")): 422, cas.DigestOf(content): 201} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/blobs", bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+s.token)
			req.Trailer = http.Header{"Repr-Digest": {reprDigest(declared)}}
			resp, err := httpClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.ProtoMajor != 2 || resp.StatusCode != want {
				t.Errorf("a trailer with %s: %s %d, want %d", declared, resp.Proto, resp.StatusCode, want)
			}
		}
	})
}
