package gateway_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

func TestTokensAndScopes(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		b := random(100)
		d := s.put(b)
		id, _, _ := strings.Cut(strings.TrimPrefix(s.token, "cas_"), "_")
		_, otherSecret, _ := strings.Cut(strings.TrimPrefix(s.newToken(access.ScopeAdmin), "cas_"), "_")
		expired, expiredText := access.NewToken("expired", []access.Scope{access.ScopeAdmin}, time.Now().Add(-time.Second))
		if _, err := p.index.CreateToken(t.Context(), expired); err != nil {
			t.Fatal(err)
		}
		for name, authorization := range map[string]string{
			"none": "-", "basic": "Basic Og==", "empty": "Bearer ", "nonsense": "Bearer x", "bare": s.token,
			"another's secret": "Bearer cas_" + id + "_" + otherSecret, "unknown id": "Bearer cas_aaaaaaaaaaaaaaaa_" + otherSecret, "expired": "Bearer " + expiredText,
		} {
			for _, req := range [][2]string{{"GET", s.path(d)}, {"PUT", s.path(d)}, {"GET", "/v1/blobs"}, {"DELETE", s.path(d)}} {
				a := s.do(req[0], req[1], bytes.NewReader(nil), "Authorization", authorization)
				a.wantProblem(t, 401, problem.Unauthenticated)
				if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s: no WWW-Authenticate", name)
				}
			}
		}
		allowed := map[access.Scope]string{access.ScopeRead: "GET", access.ScopeWrite: "PUT", access.ScopeDelete: "DELETE"}
		for scope := range allowed {
			token := s.newToken(scope)
			for needed, method := range allowed {
				a := s.do(method, s.path(d), bytes.NewReader(b), "Authorization", "Bearer "+token)
				if needed == scope {
					if a.StatusCode >= 300 {
						t.Errorf("%s with %s: %d %s", method, scope, a.StatusCode, a.body)
					}
				} else {
					a.wantProblem(t, 403, problem.Forbidden)
				}
			}
			s.put(b)
		}
		for _, path := range []string{"/healthz", "/readyz", "/openapi.yaml", "/openapi.json", "/docs"} {
			if a := s.do("GET", path, nil, "Authorization", "-"); a.StatusCode != 200 {
				t.Errorf("%s without a token: %d", path, a.StatusCode)
			}
		}
		if logs := s.logs.String(); strings.Contains(logs, otherSecret) || strings.Contains(logs, s.token) {
			t.Error("the log gives a secret away")
		}
	})
}

func TestSignedURLs(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		other := start(t, p, nil) // any gateway accepts a URL that another has signed
		b, c := random(1000), random(10)
		d := s.put(b)
		s.put(c)
		a := s.do("POST", s.path(d)+"/url", strings.NewReader(`{"expires_in":600}`))
		signed := decode[api.SignedURL](t, a)
		if a.StatusCode != 200 || signed.ExpiresAt.Before(time.Now().Add(9*time.Minute)) || signed.ExpiresAt.After(time.Now().Add(11*time.Minute)) {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		anonymous := func(method, u string, headers ...string) answer {
			return s.do(method, u, nil, append([]string{"Authorization", "-"}, headers...)...)
		}
		for _, u := range []string{signed.URL, strings.Replace(signed.URL, s.url, other.url, 1), signed.URL + "&download=x.bin"} {
			if a := anonymous("GET", u); a.StatusCode != 200 || !bytes.Equal(a.body, b) {
				t.Errorf("%s: %d %s", u, a.StatusCode, a.body)
			}
		}
		if a := anonymous("HEAD", signed.URL); a.StatusCode != 200 {
			t.Errorf("HEAD: %d", a.StatusCode)
		}
		if a := anonymous("GET", signed.URL, "Range", "bytes=0-9"); a.StatusCode != 206 {
			t.Errorf("Range: %d", a.StatusCode)
		}
		u, err := url.Parse(signed.URL)
		if err != nil {
			t.Fatal(err)
		}
		tamper := func(change func(q url.Values)) string {
			q := u.Query()
			change(q)
			return s.url + s.path(d) + "?" + q.Encode()
		}
		for name, bad := range map[string]string{
			"another blob":      strings.Replace(signed.URL, d.String(), cas.DigestOf(c).String(), 1),
			"later expiry":      tamper(func(q url.Values) { q.Set("expires", "9999999999") }),
			"earlier expiry":    tamper(func(q url.Values) { q.Set("expires", "1") }),
			"no expiry":         tamper(func(q url.Values) { q.Del("expires") }),
			"unknown key":       tamper(func(q url.Values) { q.Set("key", "aaaaaaaa") }),
			"empty signature":   tamper(func(q url.Values) { q.Set("signature", "") }),
			"changed signature": tamper(func(q url.Values) { q.Set("signature", strings.Repeat("A", 43)) }),
			"two signatures":    signed.URL + "&signature=x",
		} {
			t.Run(name, func(t *testing.T) { anonymous("GET", bad).wantProblem(t, 403, problem.Forbidden) })
		}
		anonymous("DELETE", signed.URL).wantProblem(t, 401, problem.Unauthenticated)
		anonymous("GET", strings.Replace(signed.URL, "?", "/meta?", 1)).wantProblem(t, 401, problem.Unauthenticated)
		expired := decode[api.SignedURL](t, s.do("POST", s.path(d)+"/url", strings.NewReader(`{"expires_in":1}`)))
		eventually(t, "the URL's expiry", func() bool { return anonymous("GET", expired.URL).StatusCode != 200 })
		anonymous("GET", expired.URL).wantProblem(t, 403, problem.Forbidden)
		if logs := s.logs.String(); strings.Contains(logs, u.Query().Get("signature")) {
			t.Error("the log gives a signature away")
		}
	})
}

func TestRateLimit(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.RequestsPerSecond = 0.001 })
		if a := s.do("GET", "/v1/blobs", nil); a.StatusCode != 200 {
			t.Fatalf("the first request: %d", a.StatusCode)
		}
		s.do("GET", "/v1/blobs", nil).wantProblem(t, 429, problem.TooManyRequests)
		if a := s.do("GET", "/v1/blobs", nil, "Authorization", "Bearer "+s.newToken(access.ScopeRead)); a.StatusCode != 200 {
			t.Errorf("another token: %d", a.StatusCode)
		}
	})
}

func TestRevokedTokenStopsWorking(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		text := s.newToken(access.ScopeRead)
		id, _, _ := strings.Cut(strings.TrimPrefix(text, "cas_"), "_")
		if a := s.do("GET", "/v1/blobs", nil, "Authorization", "Bearer "+text); a.StatusCode != 200 {
			t.Fatalf("%d", a.StatusCode)
		}
		if err := p.index.RevokeToken(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the revocation to be heeded", func() bool {
			return s.do("GET", "/v1/blobs", nil, "Authorization", "Bearer "+text).StatusCode == 401
		})
	})
}
