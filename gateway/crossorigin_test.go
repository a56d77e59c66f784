package gateway_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

const (
	listedOrigin   = "https://app.example.com"
	unlistedOrigin = "https://app.example.com.evil.example"
)

func allowListed(o *gatewayOptions, _ *cas.Options) {
	o.CORSOrigins = []string{listedOrigin, "http://localhost:5173"}
}

// preflight sends the preflight request that a browser sends for a page, without a token.
func (s *server) preflight(origin, method, path string) answer {
	s.t.Helper()
	return s.do("OPTIONS", path, nil, "Authorization", "-", "Origin", origin, "Access-Control-Request-Method", method,
		"Access-Control-Request-Headers", "authorization,content-type,x-stainless-lang", "Access-Control-Request-Private-Network", "true")
}

// isReadableBy reports whether a browser lets a page of the origin read the answer.
func (a answer) isReadableBy(origin string) bool {
	allowed := a.Header.Values("Access-Control-Allow-Origin")
	return len(allowed) == 1 && (allowed[0] == origin || allowed[0] == "*")
}

// Pages of listed origins may send every request, and read every answer, errors included.
func TestListedOrigins(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, so *cas.Options) {
			allowListed(o, so)
			o.RequestsPerSecond = 0.001 // one request, and 429 from then on
		})
		for _, r := range [][2]string{{"GET", "/v1/blobs"}, {"POST", "/v1/files"}, {"PUT", "/v1/blobs/x"}, {"DELETE", "/v1/files/x"}, {"HEAD", "/"}, {"POST", "/v1/chat/completions"}} {
			a := s.preflight(listedOrigin, r[0], r[1])
			h := a.Header
			if a.StatusCode != 204 || !a.isReadableBy(listedOrigin) || h.Get("Access-Control-Allow-Methods") != r[0] || h.Get("Access-Control-Allow-Headers") != "authorization,content-type,x-stainless-lang" ||
				h.Get("Access-Control-Max-Age") == "" || h.Get("Access-Control-Allow-Private-Network") != "true" || h.Get("X-Request-Id") == "" {
				t.Errorf("%v: %d %v", r, a.StatusCode, h)
			}
		}
		token := "Bearer " + s.newToken(access.ScopeRead)
		for i, request := range []struct {
			status               int
			method, path, bearer string
		}{
			{401, "GET", "/v1/blobs", "-"},
			{401, "HEAD", "/v1/blobs", "Bearer x"},
			{200, "GET", "/v1/blobs", token},
			{429, "GET", "/v1/blobs", token},
			{403, "POST", "/v1/blobs", "Bearer " + s.newToken(access.ScopeRead)},
			{404, "GET", "/v1/nothing", "-"},
			{405, "PATCH", "/v1/blobs", "-"},
			{400, "GET", "/v1/blobs?%zz", "-"},
			{200, "GET", "/healthz", "-"},
			{404, "GET", s.path(cas.DigestOf([]byte("x"))), "Bearer " + s.newToken(access.ScopeRead)},
			{400, "POST", "/v1/blobs?media_type=%00", "Bearer " + s.newToken(access.ScopeWrite)},
		} {
			a := s.do(request.method, request.path, nil, "Authorization", request.bearer, "Origin", listedOrigin)
			if a.StatusCode != request.status && request.status != 400 {
				t.Errorf("%d: %d %s", i, a.StatusCode, a.body)
			}
			if request.method == "PATCH" {
				continue // browsers' preflight requests are refused for it
			}
			if !a.isReadableBy(listedOrigin) || !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "Retry-After") || !slices.Contains(a.Header.Values("Vary"), "Origin") || a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%d: %v", i, a.Header)
			}
		}
	})
}

// The console's parts differ by the coding and by the origin that asks, a valid token makes
// no page an agent, and a request can't name two origins.
func TestOriginsOfTheConsoleAndOfAgents(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), allowListed)
	a := s.do("GET", "/console/", nil, "Authorization", "-", "Origin", listedOrigin)
	if vary := strings.Join(a.Header.Values("Vary"), ","); a.StatusCode != 200 || !strings.Contains(vary, "Origin") || !strings.Contains(vary, "Accept-Encoding") {
		t.Errorf("%d, Vary: %s", a.StatusCode, vary)
	}
	for origin, status := range map[string]int{listedOrigin: 200, unlistedOrigin: 403, "-": 200} {
		ping := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		if a := s.do("POST", "/mcp", ping, "Content-Type", "application/json", "Accept", "application/json, text/event-stream", "Origin", origin); a.StatusCode != status {
			t.Errorf("an agent in a page of %s: %d %s", origin, a.StatusCode, a.body)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/blobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header["Authorization"], req.Header["Origin"] = []string{"Bearer " + s.token}, []string{listedOrigin, unlistedOrigin}
	two, err := s.send(req)
	if err != nil {
		t.Fatal(err)
	}
	two.wantProblem(t, 400, problem.InvalidRequest)
}

// Pages of all other origins can't read an answer, and their browsers send no request that
// needs a preflight request.
func TestUnlistedOrigins(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		on, off := start(t, p, allowListed), start(t, p, nil)
		for _, s := range []*server{on, off} {
			for _, origin := range []string{unlistedOrigin, "null", "http://app.example.com", "https://app.example.com:8443", "http://localhost:5174"} {
				if a := s.preflight(origin, "POST", "/v1/files"); a.isReadableBy(origin) || a.Header.Get("Access-Control-Allow-Methods") != "" {
					t.Errorf("%s: %v", origin, a.Header)
				}
				if a := s.do("GET", "/v1/blobs", nil, "Origin", origin); a.StatusCode != 200 || a.isReadableBy(origin) {
					t.Errorf("%s: %d %v", origin, a.StatusCode, a.Header)
				}
			}
		}
		if a := off.preflight(listedOrigin, "POST", "/v1/files"); a.Header.Get("Access-Control-Allow-Methods") != "" || a.isReadableBy(listedOrigin) {
			t.Errorf("turned off: %d %v", a.StatusCode, a.Header)
		}
	})
}

// A page of any origin may read what it has a signed URL of, whether it asks or its browser
// has the answer from before.
func TestSignedURLsAreForPagesOfAnyOrigin(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		for _, change := range []func(*gateway.Options, *cas.Options){allowListed, nil} {
			s := start(t, p, change)
			d := s.put(random(1000))
			signed := decode[api.SignedURL](t, s.do("POST", s.path(d)+"/url", strings.NewReader(`{"expires_in":600}`)))
			for _, origin := range []string{unlistedOrigin, listedOrigin, "null", "-"} {
				for _, fields := range [][]string{nil, {"Range", "bytes=0-9"}, {"If-None-Match", `"` + d.String() + `"`}} {
					a := s.do("GET", signed.URL, nil, append(fields, "Authorization", "-", "Origin", origin)...)
					if a.StatusCode >= 400 || !a.isReadableBy(origin) || !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "Content-Range") {
						t.Errorf("%s %v: %d %v", origin, fields, a.StatusCode, a.Header)
					}
				}
			}
			forged := strings.Replace(signed.URL, "signature=", "signature=A", 1)
			if a := s.do("GET", forged, nil, "Authorization", "-", "Origin", unlistedOrigin); a.StatusCode != 403 || a.isReadableBy(unlistedOrigin) {
				t.Errorf("forged: %d %v", a.StatusCode, a.Header)
			}
			if a := s.do("GET", s.path(d), nil, "Origin", unlistedOrigin); a.isReadableBy(unlistedOrigin) {
				t.Errorf("with a token: %v", a.Header)
			}
		}
	})
}

// A gateway without authentication takes writes of listed pages only.
func TestListedOriginsWithoutAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, so *cas.Options) {
		allowListed(o, so)
		o.NoAuth = true
	})
	write := func(origin string) answer {
		return s.do("POST", "/v1/blobs", strings.NewReader(origin), "Authorization", "-", "Origin", origin, "Sec-Fetch-Site", "cross-site")
	}
	if a := write(listedOrigin); a.StatusCode != 201 || !a.isReadableBy(listedOrigin) {
		t.Errorf("listed: %d %s", a.StatusCode, a.body)
	}
	write(unlistedOrigin).wantProblem(t, 403, problem.Forbidden)
}

// A listed origin is no page of the console: its session stays out of reach.
func TestListedOriginsGetNoSession(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), allowListed)
	login := s.do("POST", "/console/session", strings.NewReader(`{"token":"`+s.token+`"}`), "Authorization", "-", "Content-Type", "application/json")
	cookie, _, _ := strings.Cut(login.Header.Get("Set-Cookie"), ";")
	if login.StatusCode != 204 || cookie == "" {
		t.Fatalf("%d %v", login.StatusCode, login.Header)
	}
	if a := s.do("GET", "/v1/blobs", nil, "Authorization", "-", "Cookie", cookie); a.StatusCode != 200 {
		t.Fatalf("the console's own page: %d %s", a.StatusCode, a.body)
	}
	for _, fields := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, nil} {
		a := s.do("POST", "/v1/blobs", strings.NewReader("x"), append(fields, "Authorization", "-", "Cookie", cookie, "Origin", listedOrigin)...)
		a.wantProblem(t, 403, problem.Forbidden)
	}
}

// The fields of this kind that a provider sends say nothing of the gateway, and two of them
// make a browser refuse the answer.
func TestProvidersOriginsAreDropped(t *testing.T) {
	t.Parallel()
	s := startChat(t, embedded(t, t.TempDir()), func(o *gatewayOptions) { allowListed(o, nil) })
	s.kimiChat.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Allow-Credentials"} {
			w.Header().Set(name, "*")
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, shortAnswer)
	})
	a := s.do("POST", "/v1/chat/completions", strings.NewReader(`{"model":"kimi/kimi-k2.6","messages":[{"role":"user","content":"hi"}]}`),
		"Content-Type", "application/json", "Origin", listedOrigin)
	if a.StatusCode != 200 || !a.isReadableBy(listedOrigin) || len(a.Header.Values("Access-Control-Expose-Headers")) != 1 || a.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
}

func TestOriginsRefused(t *testing.T) {
	t.Parallel()
	p := embedded(t, t.TempDir())
	s := start(t, p, nil)
	for _, origin := range []string{
		"*", "", "null", "app.example.com", "https://", "https://*.example.com", "https://app.example.com/", "https://app.example.com/x", "https://App.example.com", "HTTPS://app.example.com",
		"https://app.example.com:443", "http://localhost:80", "https://user@app.example.com", "https://app.example.com?x", "https://app.example.com#x", "https://a.example https://b.example",
	} {
		_, err := gateway.New(gateway.Options{Store: s.store, Files: s.files, Access: p.index, PublicURL: s.url, CORSOrigins: []string{origin}})
		if err == nil || !strings.Contains(err.Error(), "CAS_CORS_ORIGINS") {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

// A page can read every field that the contract describes.
func TestExposedHeadersAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	spec, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Set-Cookie is never shown to scripts, and browsers show Cache-Control in any case. The
	// policy of the console's own page is for the browser, and not for other pages.
	shown := append([]string{"Cache-Control", "Content-Length", "Content-Security-Policy", "Set-Cookie"}, api.ExposedHeaders...)
	check := func(responses map[string]*openapi3.ResponseRef, where string) {
		for status, r := range responses {
			for name := range r.Value.Headers {
				if !slices.ContainsFunc(shown, func(s string) bool { return strings.EqualFold(s, name) }) {
					t.Errorf("%s, %s: %s is not exposed", where, status, name)
				}
			}
		}
	}
	for path, item := range spec.Paths.Map() {
		for method, o := range item.Operations() {
			check(o.Responses.Map(), method+" "+path)
		}
	}
}
