package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cmd/cas/internal/exit"
)

// Reads of large blobs are redirected to the bucket, unless the bucket would answer them
// wrongly; all others are served by the gateway. `cas get` follows, and verifies.
func TestReadRedirect(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, casCommand(t, append(bucketEnv(t), "CAS_READ_REDIRECT=100000"), "serve"))
	small := castest.RandomBytes(100_000)
	page := append([]byte("<html><script>1</script>"), bytes.Repeat([]byte(" "), 100_000)...)
	p.store(small)
	d := p.store(page)
	etag := `"` + d.String() + `"`
	direct := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(client *http.Client, method, target string, header ...string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, b
	}
	blob := func(b []byte) string { return p.url + "/v1/blobs/" + cas.DigestOf(b).String() }
	for _, tt := range []struct {
		name, method, target string
		header               []string
		status               int
	}{
		{"of the limit", "GET", blob(small), nil, 200},
		{"HEAD", "HEAD", blob(page), nil, 200},
		{"large", "GET", blob(page), nil, 307},
		{"that asks not to be", "GET", blob(page) + "?redirect=none", nil, 200},
		{"with a name", "GET", blob(page) + "?download=x.html", nil, 307},
		{"a range", "GET", blob(page), []string{"Range", "bytes=0-99"}, 307},
		{"a range beyond the end", "GET", blob(page), []string{"Range", "bytes=999999999-"}, 416},
		{"current", "GET", blob(page), []string{"If-None-Match", etag}, 304},
		{"not current", "GET", blob(page), []string{"If-None-Match", `"other"`}, 200},
		{"If-Match", "GET", blob(page), []string{"If-Match", etag}, 200},
		{"another If-Match", "GET", blob(page), []string{"If-Match", `"other"`}, 412},
		{"If-Range", "GET", blob(page), []string{"If-Range", etag, "Range", "bytes=0-99"}, 206},
		{"If-Modified-Since", "GET", blob(page), []string{"If-Modified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"}, 200},
		{"of a page", "GET", blob(page), []string{"Sec-Fetch-Mode", "same-origin"}, 200},
		{"an image of a page", "GET", blob(page), []string{"Sec-Fetch-Mode", "no-cors"}, 200},
		{"a link of a page", "GET", blob(page), []string{"Sec-Fetch-Mode", "navigate"}, 307},
		{"with a token that clients would send on", "GET", blob(page), []string{"X-Api-Key", "cas_x"}, 200},
		{"with another one", "GET", blob(page), []string{"Api-Key", "cas_x"}, 200},
		{"not wanted", "GET", blob(page), []string{"Prefer", "redirect=none"}, 200},
		{"missing", "GET", blob([]byte("other")), nil, 404},
	} {
		if res, b := ask(direct, tt.method, tt.target, tt.header...); res.StatusCode != tt.status {
			t.Errorf("%s: %d %.200s, want %d", tt.name, res.StatusCode, b, tt.status)
		} else if tt.status == 307 && (res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Repr-Digest") == "" || res.Header.Get("Location") == "") {
			t.Errorf("%s: %v", tt.name, res.Header)
		}
	}
	// The bucket says what the gateway would.
	res, got := ask(http.DefaultClient, "GET", blob(page)+"?download=my%20page.html")
	if res.StatusCode != 200 || !bytes.Equal(got, page) || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") ||
		res.Header.Get("Content-Disposition") != `attachment; filename="my page.html"` || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("%d, %d bytes, %v", res.StatusCode, len(got), res.Header)
	}
	if res, got := ask(http.DefaultClient, "GET", blob(page), "Range", "bytes=5-14"); res.StatusCode != 206 || !bytes.Equal(got, page[5:15]) || !strings.HasPrefix(res.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("a range: %d %q, %v", res.StatusCode, got, res.Header)
	}
	// The bucket's URL works no longer than the signed URL.
	signed, err := casCommand(t, []string{"CAS_URL=" + p.url}, "url", d.String(), "--expires", "1m").Output()
	if err != nil {
		t.Fatal(err)
	}
	res, _ = ask(direct, "GET", strings.TrimSpace(string(signed)))
	location, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	if life, err := strconv.Atoi(location.Query().Get("X-Amz-Expires")); err != nil || life < 1 || life > 60 {
		t.Errorf("the bucket's URL works for %d s, error %v", life, err)
	}
	to := filepath.Join(t.TempDir(), "page")
	out, err := casCommand(t, []string{"CAS_URL=" + p.url}, "get", d.String(), "-o", to).CombinedOutput()
	if got, readErr := os.ReadFile(to); err != nil || readErr != nil || !bytes.Equal(got, page) {
		t.Errorf("cas get: %d bytes, %v, %v\n%s", len(got), err, readErr, out)
	}
}

// What the bucket sends wrong, or not whole, after a redirect, `cas get` asks for at the gateway.
func TestGetWithoutTheBucketThatFails(t *testing.T) {
	t.Parallel()
	env := bucketEnv(t)
	i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "CAS_S3_ENDPOINT=") })
	target, err := url.Parse(strings.TrimPrefix(env[i], "CAS_S3_ENDPOINT="))
	if err != nil {
		t.Fatal(err)
	}
	var spoil atomic.Pointer[func(body []byte) []byte]
	bucket := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target); p.Out.Host = p.In.Host },
		ModifyResponse: func(res *http.Response) error {
			change := spoil.Load()
			if change == nil || !res.Request.URL.Query().Has("X-Amz-Signature") {
				return nil
			}
			body, err := io.ReadAll(res.Body)
			res.Body = io.NopCloser(bytes.NewReader((*change)(body)))
			return err
		},
		ErrorLog: log.New(io.Discard, "", 0), // it complains of the bodies that are cut
	})
	t.Cleanup(bucket.Close)
	env[i] = "CAS_S3_ENDPOINT=" + bucket.URL
	p := serveProcess(t, casCommand(t, append(env, "CAS_READ_REDIRECT=100000"), "serve"))
	blob := castest.RandomBytes(3_000_000)
	d := p.store(blob)
	for _, tt := range []struct {
		name   string
		change func([]byte) []byte
		note   string
		wrong  bool
	}{
		{"wrong bytes", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "the object store sent wrong bytes", true},
		{"a cut", func(b []byte) []byte { return b[:len(b)/2] }, "going on through the gateway", false},
		{"nothing", func([]byte) []byte { return nil }, "going on through the gateway", false},
	} {
		spoil.Store(&tt.change)
		to := filepath.Join(t.TempDir(), "blob")
		out, err := casCommand(t, []string{"CAS_URL=" + p.url}, "get", d.String(), "-o", to).CombinedOutput()
		if got, readErr := os.ReadFile(to); err != nil || readErr != nil || !bytes.Equal(got, blob) || !bytes.Contains(out, []byte(tt.note)) {
			t.Errorf("%s: %d bytes, %v, %v\n%s", tt.name, len(got), err, readErr, out)
		}
		cmd := casCommand(t, []string{"CAS_URL=" + p.url}, "get", d.String(), "-o", "-")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err = cmd.Run()
		if tt.wrong { // what was written can't be taken back
			if cmd.ProcessState.ExitCode() != exit.Corrupt || stdout.Len() >= len(blob) || !strings.Contains(stderr.String(), "digest mismatch") {
				t.Errorf("%s, to standard output: %d bytes, %v\n%s", tt.name, stdout.Len(), err, &stderr)
			}
		} else if err != nil || !bytes.Equal(stdout.Bytes(), blob) || !strings.Contains(stderr.String(), tt.note) {
			t.Errorf("%s, to standard output: %d bytes, %v\n%s", tt.name, stdout.Len(), err, &stderr)
		}
	}
}

// A folder has no URLs.
func TestReadRedirectNeedsABucket(t *testing.T) {
	t.Parallel()
	cmd := casCommand(t, append(embeddedEnv(t), "CAS_READ_REDIRECT=1MiB"), "serve")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "CAS_READ_REDIRECT needs a bucket") {
		t.Errorf("%v: %s", err, out)
	}
}

// A provider reads a blob by URL at the gateway itself: it need not follow redirects, nor reach the bucket.
func TestReferencesAreNotRedirected(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, casCommand(t, append(bucketEnv(t), "CAS_READ_REDIRECT=1000"), "serve", "--simulate-providers"))
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 3000, 3000))); err != nil {
		t.Fatal(err)
	}
	d := p.store(picture.Bytes())
	status, body, err := p.request(http.MethodGet, "/v1/blobs/"+d.String()+"/references/glm?kind=image_url", nil)
	var reference struct {
		Value struct {
			ImageURL struct{ URL string } `json:"image_url"`
		}
	}
	if err = errors.Join(err, json.Unmarshal(body, &reference)); err != nil || status != http.StatusOK {
		t.Fatalf("%d, %s, %v", status, body, err)
	}
	address := reference.Value.ImageURL.URL
	direct := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := direct.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(got, picture.Bytes()) {
		t.Errorf("%s: %s, %d bytes, %v", address, res.Status, len(got), err)
	}
}
