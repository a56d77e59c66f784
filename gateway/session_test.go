package gateway_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// logIn starts a session with a token, and returns the field Cookie.
func (s *server) logIn(token string) string {
	s.t.Helper()
	a := s.do("POST", "/console/session", strings.NewReader(`{"token":"`+token+`"}`), "Authorization", "-")
	cookies := a.Cookies()
	if a.StatusCode != 204 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Secure {
		s.t.Fatalf("log-in: %d %s %v", a.StatusCode, a.body, cookies)
	}
	return cookies[0].Name + "=" + cookies[0].Value
}

func TestSessionOfTheConsole(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.Console.Version = "v1.2.3" })
		other := start(t, p, nil) // a session counts at each gateway
		cookie := s.logIn(s.token)
		b := random(100)
		d := s.put(b)
		ask := func(method, path string, headers ...string) answer {
			return s.do(method, path, bytes.NewReader(b), append([]string{"Authorization", "-", "Cookie", cookie}, headers...)...)
		}
		for _, at := range []string{"", other.url} {
			for _, r := range [][2]string{{"GET", s.path(d)}, {"GET", "/v1/files"}, {"PUT", s.path(d)}, {"GET", s.path(d) + "/copies"}} {
				if a := ask(r[0], at+r[1]); a.StatusCode != 200 {
					t.Errorf("%s %s: %d %s", r[0], r[1], a.StatusCode, a.body)
				}
			}
		}
		shown := decode[api.Session](t, ask("GET", "/console/session"))
		if shown.Token == nil || !strings.Contains(s.token, shown.Token.ID) || shown.Token.Name != "test" || access.JoinScopes(shown.Token.Scopes) != "admin" ||
			shown.Token.ExpiresAt != nil || shown.Version != "v1.2.3" || shown.PublicURL != s.url || shown.Simulated {
			t.Errorf("the session is %+v %+v", shown, shown.Token)
		}
		ask("PUT", s.path(d), "Origin", "http://evil.example").wantProblem(t, 403, problem.Forbidden)
		if a := ask("GET", "/v1/files", "Authorization", "Basic Og=="); a.StatusCode != 401 {
			t.Errorf("beside Authorization: %d %s", a.StatusCode, a.body)
		}
		for _, r := range [][2]string{
			{"POST", "/v1/chat/completions"}, {"GET", "/v1/models"}, {"GET", "/v1/models/x"}, {"POST", "/kimi/v1/chat/completions"}, {"GET", "/kimi/v1/files"},
			{"POST", "/glm/api/paas/v4/files"},
		} {
			if a := ask(r[0], r[1]); a.StatusCode != 401 {
				t.Errorf("%s %s with a session: %d %s", r[0], r[1], a.StatusCode, a.body)
			}
		}
		out := ask("DELETE", "/console/session")
		if cookies := out.Cookies(); out.StatusCode != 204 || len(cookies) != 1 || cookies[0].MaxAge >= 0 {
			t.Errorf("log-out: %d %s %v", out.StatusCode, out.body, cookies)
		}
		if logs := s.logs.String(); strings.Contains(logs, cookie) || strings.Contains(logs, s.token) {
			t.Error("the log gives a secret away")
		}
	})
}

func TestLogInNeedsAValidToken(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	ask := func(body string, headers ...string) answer {
		return s.do("POST", "/console/session", strings.NewReader(body), append([]string{"Authorization", "-"}, headers...)...)
	}
	ask(`{"token":"`+s.token+`"}`, "Origin", "http://evil.example").wantProblem(t, 403, problem.Forbidden)
	ask(`{}`).wantProblem(t, 401, problem.Unauthenticated)
	for range 4 {
		ask(`{"token":"`+s.token+`x"}`).wantProblem(t, 401, problem.Unauthenticated)
	}
	ask(`{"token":"`+s.token+`x"}`).wantProblem(t, 429, problem.TooManyRequests)
	if a := ask(`{"token":"` + s.token + `"}`); a.StatusCode != 204 {
		t.Errorf("the right token after many wrong ones, which another client of a proxy may have sent: %d %s", a.StatusCode, a.body)
	}
	s.do("GET", "/console/session", nil, "Authorization", "-").wantProblem(t, 401, problem.Unauthenticated)
	if a := s.do("GET", "/console/session", nil); a.StatusCode != 200 {
		t.Errorf("with a token: %d %s", a.StatusCode, a.body)
	}
}

func TestNoSessionsWhereThereIsNothingToLogInTo(t *testing.T) {
	t.Parallel()
	open := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.NoAuth = true })
	open.do("POST", "/console/session", strings.NewReader(`{"token":"`+open.token+`"}`)).wantProblem(t, 400, problem.InvalidRequest)
	if a := open.do("GET", "/console/session", nil, "Authorization", "-"); a.StatusCode != 200 || decode[api.Session](t, a).Token != nil {
		t.Errorf("without authentication: %d %s", a.StatusCode, a.body)
	}
	p := embedded(t, t.TempDir())
	cookie := start(t, p, nil).logIn(start(t, p, nil).token)
	off := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.Console.Off = true })
	for _, method := range []string{"GET", "POST", "DELETE"} {
		off.do(method, "/console/session", nil).wantProblem(t, 404, problem.NotFound)
	}
	if a := off.do("GET", "/v1/files", nil, "Authorization", "-", "Cookie", cookie); a.StatusCode != 401 {
		t.Errorf("with the console off, a session: %d %s", a.StatusCode, a.body)
	}
}

func TestConsoleIsWhereBrowsersLand(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.PublicURL += "/cas" })
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	open := func(path, accept string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, path := range []string{"/", "/console"} {
		if a := open(path, browser); a.StatusCode != 303 || a.Header.Get("Location") != "/cas/console/" {
			t.Errorf("%s: %d, %s", path, a.StatusCode, a.Header.Get("Location"))
		}
		s.do("GET", path, nil).wantProblem(t, 404, problem.NotFound)
	}
	if a := open("/docs/", browser); a.StatusCode != 303 || a.Header.Get("Location") != "/cas/docs" {
		t.Errorf("/docs/: %d, %s", a.StatusCode, a.Header.Get("Location"))
	}
	if a := s.do("GET", "/console/", nil, "Authorization", "-"); a.StatusCode != 200 || !bytes.Contains(a.body, []byte("<!doctype html>")) {
		t.Errorf("the page: %d", a.StatusCode)
	}
	if a := s.do("HEAD", "/console/", nil); a.StatusCode != 200 || len(a.body) > 0 {
		t.Errorf("HEAD of the page: %d", a.StatusCode)
	}
	s.do("GET", "/console/missing.js", nil).wantProblem(t, 404, problem.NotFound)
	off := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.Console.Off = true })
	off.do("GET", "/", nil, "Accept", browser).wantProblem(t, 404, problem.NotFound)
	off.do("GET", "/console/", nil, "Accept", browser).wantProblem(t, 404, problem.NotFound)
}
