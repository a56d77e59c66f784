package gateway_test

import (
	"bytes"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

func TestScopesOfCopies(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		d := s.putNamed("guarded", "x.txt")
		operation := s.ensure(d, "kimi").OperationID
		for _, tt := range []struct {
			method, path string
			scopes       []access.Scope
		}{
			{"GET", s.path(d) + "/copies", []access.Scope{access.ScopeRead}},
			{"GET", s.copyPath(d, "kimi"), []access.Scope{access.ScopeRead}},
			{"PUT", s.copyPath(d, "kimi"), []access.Scope{access.ScopeSync}},
			{"POST", s.copyPath(d, "kimi") + "/lost", []access.Scope{access.ScopeSync}},
			{"GET", s.path(d) + "/references/kimi", []access.Scope{access.ScopeSync}},
			{"GET", s.path(d) + "/text", []access.Scope{access.ScopeSync}},
			{"GET", "/v1/providers", []access.Scope{access.ScopeRead}},
			{"GET", "/v1/providers/kimi", []access.Scope{access.ScopeRead}},
			{"GET", "/v1/operations/" + operation, []access.Scope{access.ScopeRead}},
			{"POST", "/v1/providers/kimi/reconcile", []access.Scope{access.ScopeSync}},
			{"POST", "/v1/providers/kimi/reconcile?apply=true", []access.Scope{access.ScopeSync, access.ScopeDelete}},
			{"DELETE", s.copyPath(d, "kimi"), []access.Scope{access.ScopeSync, access.ScopeDelete}},
		} {
			s.do(tt.method, tt.path, nil, "Authorization", "-").wantProblem(t, 401, problem.Unauthenticated)
			for _, missing := range tt.scopes {
				var others []access.Scope
				for _, scope := range access.AllScopes {
					if scope != missing && scope != access.ScopeAdmin {
						others = append(others, scope)
					}
				}
				s.do(tt.method, tt.path, nil, "Authorization", "Bearer "+s.newToken(others...)).wantProblem(t, 403, problem.Forbidden)
			}
			if a := s.do(tt.method, tt.path, nil, "Authorization", "Bearer "+s.newToken(tt.scopes...)); a.StatusCode != 200 {
				t.Errorf("%s %s with %v: %d %s", tt.method, tt.path, tt.scopes, a.StatusCode, a.body)
			}
		}
	})
}

func TestGatewayWithoutProviders(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		d := s.put([]byte("alone"))
		if a := s.do("GET", s.path(d)+"/copies", nil); a.StatusCode != 200 || len(decode[api.CopyList](t, a).Copies) != 0 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		if a := s.do("GET", "/v1/providers", nil); a.StatusCode != 200 || string(bytes.TrimSpace(a.body)) != `{"providers":[]}` {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		for _, request := range [][2]string{
			{"PUT", s.copyPath(d, "kimi")}, {"GET", s.copyPath(d, "kimi")}, {"DELETE", s.copyPath(d, "kimi")},
			{"POST", s.copyPath(d, "kimi") + "/lost"}, {"GET", s.path(d) + "/references/kimi"}, {"GET", s.path(d) + "/text"},
			{"GET", "/v1/providers/kimi"}, {"POST", "/v1/providers/kimi/reconcile"}, {"POST", "/v1/blobs?providers=kimi"},
		} {
			s.do(request[0], request[1], nil).wantProblem(t, 404, problem.ProviderNotFound)
		}
		s.do("GET", "/v1/operations/x", nil).wantProblem(t, 404, problem.OperationNotFound)
		if a := s.do("GET", "/readyz", nil); a.StatusCode != 200 || strings.Contains(string(a.body), "providers") {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
}

func TestPathsAndMethodsOfCopies(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		d := s.putNamed("shapes", "x.txt")
		for path, allow := range map[string]string{
			s.path(d) + "/copies":           "OPTIONS, GET, HEAD",
			s.copyPath(d, "kimi"):           "OPTIONS, DELETE, GET, HEAD, PUT",
			s.copyPath(d, "kimi") + "/lost": "OPTIONS, POST",
			s.path(d) + "/references/kimi":  "OPTIONS, GET, HEAD",
			s.path(d) + "/text":             "OPTIONS, GET, HEAD",
			"/v1/providers":                 "OPTIONS, GET, HEAD",
			"/v1/providers/kimi/reconcile":  "OPTIONS, POST",
			"/v1/operations/" + newID():     "OPTIONS, GET, HEAD",
		} {
			a := s.do("PATCH", path, nil)
			a.wantProblem(t, 405, problem.MethodNotAllowed)
			if got := a.Header.Get("Allow"); got != allow {
				t.Errorf("%s allows %q, not %q", path, got, allow)
			}
		}
		for _, path := range []string{s.path(d) + "/copies/kimi/nothing", s.path(d) + "/references", s.path(d) + "/text/kimi", "/v1/providers/kimi/nothing"} {
			s.do("GET", path, nil).wantProblem(t, 404, problem.NotFound)
		}
		if a := s.do("HEAD", s.copyPath(d, "kimi"), nil); a.StatusCode != 404 || len(a.body) != 0 {
			t.Errorf("HEAD of a copy: %d", a.StatusCode)
		}
		unknown := cas.DigestOf([]byte("unknown"))
		if a := s.do("HEAD", s.path(unknown)+"/text", nil); a.StatusCode != 404 || len(a.body) != 0 || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("HEAD of an unknown blob's text: %d %v", a.StatusCode, a.Header)
		}
		for _, path := range []string{"/copies", "/text", "/references/kimi", "/copies/kimi"} {
			want := problem.BlobNotFound
			if path == "/copies/kimi" {
				want = problem.CopyNotFound
			}
			s.do("GET", s.path(unknown)+path, nil).wantProblem(t, 404, want)
			s.do("GET", "/v1/blobs/sha256:xyz"+path, nil).wantProblem(t, 400, problem.InvalidDigest)
		}
		s.do("PUT", s.copyPath(unknown, "kimi"), nil).wantProblem(t, 404, problem.BlobNotFound)
		if a := s.do("PUT", s.path(d)+"/copies/k%69mi", nil); a.StatusCode != 200 {
			t.Errorf("percent-encoded: %d %s", a.StatusCode, a.body)
		}
	})
}
