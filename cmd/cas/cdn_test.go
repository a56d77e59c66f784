package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
)

// documentedIn returns the code block of this language from a page of docs.
func documentedIn(t *testing.T, page, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "```") {
		if code, ok := strings.CutPrefix(block, language+"\n"); ok && i%2 == 1 {
			return code
		}
	}
	t.Fatalf("docs/%s has no block %q", page, language)
	return ""
}

func writeFile(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A cache before hash URLs, as docs/scaling.md configures it, answers what is public without
// the gateway, whole and in ranges, and keeps nothing that needs a token or a signature.
func TestCacheBeforeHashURLs(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("in the thorough tests only")
	}
	t.Parallel()
	needProxies(t)
	for name, public := range map[string]bool{"public": true, "private": false} {
		t.Run(name, func(t *testing.T) {
			env := append(embeddedEnv(t), "CAS_AUTH=tokens")
			if public {
				env = append(env, "CAS_PUBLIC_READ=true")
			}
			gateway := serveProcess(t, casCommand(t, env, "serve"))
			token, err := os.ReadFile(filepath.Join(strings.TrimPrefix(env[0], "CAS_DATA_DIR="), "admin-token"))
			if err != nil {
				t.Fatal(err)
			}
			bearer := "Bearer " + strings.TrimSpace(string(token))
			cache := cacheBefore(t, strings.TrimPrefix(gateway.url, "http://"))
			content := bytes.Repeat([]byte("0123456789"), 100_000)
			url := cache + "/v1/blobs/" + cas.DigestOf(content).String()
			if a := ask(t, http.MethodPut, url, content, "Authorization", bearer); a.status != http.StatusCreated {
				t.Fatalf("an upload through the cache: %d %s", a.status, a.body)
			}
			signed := url
			if public {
				first := ask(t, http.MethodGet, url, nil, "Range", "bytes=10-19")
				if first.status != http.StatusPartialContent || string(first.body) != "0123456789" {
					t.Errorf("a range: %d, %d bytes", first.status, len(first.body))
				}
			} else {
				if a := ask(t, http.MethodGet, url, nil); a.status != http.StatusUnauthorized {
					t.Errorf("without a token: %d", a.status)
				}
				a := ask(t, http.MethodPost, url+"/url", []byte(`{"expires_in": 600}`), "Authorization", bearer, "Content-Type", "application/json")
				var answer struct{ URL string }
				if err := json.Unmarshal(a.body, &answer); err != nil || answer.URL == "" {
					t.Fatalf("a signed URL: %d %s", a.status, a.body)
				}
				_, query, _ := strings.Cut(answer.URL, "?")
				signed += "?" + query
			}
			castest.Eventually(t, "the answer has the bytes", func() bool {
				a := ask(t, http.MethodGet, signed, nil)
				return a.status == http.StatusOK && bytes.Equal(a.body, content) && (!public || a.cache == "HIT")
			})
			gateway.kill()
			whole, part := ask(t, http.MethodGet, signed, nil), ask(t, http.MethodGet, signed, nil, "Range", "bytes=999995-")
			switch {
			case public && (whole.status != http.StatusOK || !bytes.Equal(whole.body, content) || !strings.Contains(whole.control, "immutable")):
				t.Errorf("without the gateway: %d, %d bytes, %s", whole.status, len(whole.body), whole.control)
			case public && (part.status != http.StatusPartialContent || string(part.body) != "56789"):
				t.Errorf("a range without the gateway: %d %q", part.status, part.body)
			case !public && (whole.status != http.StatusBadGateway || part.status != http.StatusBadGateway):
				t.Errorf("the cache has what needs a signature: %d, %d", whole.status, part.status)
			}
			if a := ask(t, http.MethodGet, cache+"/v1/blobs", nil, "Authorization", bearer); a.status != http.StatusBadGateway {
				t.Errorf("the cache has a list: %d", a.status)
			}
		})
	}
}

// cacheBefore runs the documented cache before a gateway, and returns its URL.
func cacheBefore(t *testing.T, gateway string) string {
	t.Helper()
	text := strings.ReplaceAll(documentedIn(t, "scaling.md", "nginx"), "127.0.0.1:8080", gateway)
	settings, locations, ok := strings.Cut(text, "# in the server\n")
	if !ok {
		t.Fatal("the block has no part for the server")
	}
	p := proxied{[]string{sbin + "nginx", "-c"}, "", func(_ *testing.T, dir, address, _ string) string {
		whole := nginxConfig(dir, address, locations)
		return strings.Replace(whole, "http {", "http { "+strings.ReplaceAll(settings, "/var/cache/nginx/casgate", filepath.Join(dir, "cache")), 1)
	}}
	for range 5 { // another process may take the port in between
		if address := freeAddress(t); p.run(t, address, gateway) {
			return "http://" + address
		}
	}
	t.Fatal("nginx did not start on five ports")
	return ""
}

// cacheAnswer is an answer that came through a cache.
type cacheAnswer struct {
	status         int
	body           []byte
	cache, control string
}

func ask(t *testing.T, method, url string, body []byte, fields ...string) cacheAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return cacheAnswer{res.StatusCode, got, res.Header.Get("X-Cache"), res.Header.Get("Cache-Control")}
}
