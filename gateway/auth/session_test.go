package auth

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/cas/access"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/view"
)

// sessions is an authorizer, and the session of the one token in its index.
type sessions struct {
	*Authorizer
	index *hangingIndex
	text  string // of the token
	value string // of the cookie
}

func newSessions(t *testing.T) *sessions {
	t.Helper()
	token, text := access.NewToken("test", []access.Scope{access.ScopeRead}, time.Time{})
	index := &hangingIndex{token: token, key: access.NewSigningKey()}
	s := &sessions{index: index, text: text}
	s.Authorizer = New(Options{Index: index, URLs: view.URLs{Base: "https://files.example.com/cas"}, Log: zerolog.Nop()})
	c, w := newContext("POST", "/console/session")
	if err := s.StartSession(c, text); err != nil {
		t.Fatal(err)
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("the log-in sets %d cookies", len(cookies))
	}
	cookie := cookies[0]
	if cookie.Name != "casgate_session" || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/cas/" || cookie.MaxAge != 12*3600 {
		t.Errorf("the cookie is %s", cookie)
	}
	if _, secret, _ := strings.Cut(strings.TrimPrefix(text, "cas_"), "_"); strings.Contains(cookie.Value, secret) {
		t.Error("the cookie has the secret of the token")
	}
	s.value = cookie.Value
	return s
}

// exchange returns a request, with pairs of header fields, and where its answer goes.
func newContext(method, path string, headers ...string) (echo.Context, *httptest.ResponseRecorder) {
	r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return echo.New().NewContext(r, request.NewState(w, "operation")), w
}

// use makes a request with a cookie at a route that takes sessions, for the scope read.
func (s *sessions) use(value, method string, headers ...string) error {
	c, _ := newContext(method, "/v1/blobs", append(headers, "Cookie", sessionCookie+"="+value)...)
	err := s.TokenOrSession(Scopes(access.ScopeRead))(func(echo.Context) error { return nil })(c)
	if want := "token:" + s.index.token.ID; err == nil && request.StateOf(c).Record.Actor != want {
		return errors.New("the actor is " + request.StateOf(c).Record.Actor)
	}
	return err
}

func wantCode(t *testing.T, what string, err error, want problem.Code) {
	t.Helper()
	if got, ok := problem.CodeOf(err); !ok || got != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

func TestSessionIsThatOfItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(t)
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if err := s.use(s.value, method, "Sec-Fetch-Site", "same-origin"); err != nil {
				t.Errorf("%s: %v", method, err)
			}
		}
		c, _ := newContext("POST", "/v1/blobs", "Cookie", sessionCookie+"="+s.value)
		wantCode(t, "a scope that the token lacks", s.TokenOrSession(Scopes(access.ScopeWrite))(nil)(c), problem.Forbidden)
		c, _ = newContext("POST", "/v1/chat/completions", "Cookie", sessionCookie+"="+s.value)
		wantCode(t, "a route for programs", s.Token(Scopes(access.ScopeRead))(nil)(c), problem.Unauthenticated)
		for _, field := range []string{"Bearer cas_x_y", "Basic Og==", "Bearer ", ""} {
			wantCode(t, "beside Authorization: "+field, s.use(s.value, "GET", "Authorization", field), problem.Unauthenticated)
		}

		s.index.token.RevokedAt = time.Now()
		<-time.After(tokenFresh)
		wantCode(t, "5 s after the revocation", s.use(s.value, "GET"), problem.Unauthenticated)
	})
}

func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(t)
		<-time.After(sessionLife - time.Second)
		if err := s.use(s.value, "GET"); err != nil {
			t.Errorf("before its end: %v", err)
		}
		<-time.After(time.Second)
		wantCode(t, "after 12 hours", s.use(s.value, "GET"), problem.Unauthenticated)
	})
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(t)
		s.index.token.ExpiresAt = time.Now().Add(time.Hour)
		<-time.After(time.Hour)
		wantCode(t, "after its token", s.use(s.value, "GET"), problem.Unauthenticated)
	})
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(t)
		s.index.key = access.NewSigningKey() // the old one is retired
		<-time.After(keysFresh)
		wantCode(t, "after its key", s.use(s.value, "GET"), problem.Unauthenticated)
	})
}

func TestForgedSessionsAreRefused(t *testing.T) {
	s := newSessions(t)
	now := time.Now()
	foreign := access.NewSigningKey()
	foreign.ID = s.index.key.ID
	other, _ := access.NewToken("other", access.AllScopes, time.Time{})
	parts := strings.Split(s.value, ".")
	with := func(part int, text string) string {
		changed := append([]string{}, parts...)
		changed[part] = text
		return strings.Join(changed, ".")
	}
	session := access.Session{TokenID: s.index.token.ID, Issued: now, Expires: now.Add(time.Hour)}
	for what, value := range map[string]string{
		"nothing": "", "nonsense": "x", "a token": s.text,
		"another secret":    foreign.SignSession(session).Text(),
		"an unknown key":    access.NewSigningKey().SignSession(session).Text(),
		"expired":           s.index.key.SignSession(access.Session{TokenID: session.TokenID, Issued: now, Expires: now.Add(-time.Second)}).Text(),
		"a later expiry":    with(3, strconv.FormatInt(now.Add(24*time.Hour).Unix(), 10)),
		"another token":     with(1, other.ID),
		"another version":   with(0, "v2"),
		"no signature":      with(5, ""),
		"a token not there": s.index.key.SignSession(access.Session{TokenID: other.ID, Issued: now, Expires: now.Add(time.Hour)}).Text(),
	} {
		wantCode(t, what, s.use(value, "GET"), problem.Unauthenticated)
	}
}

// A browser sends the cookie for pages of other ports of the host, too.
func TestSessionIsForOwnPagesOnly(t *testing.T) {
	s := newSessions(t)
	for what, headers := range map[string][]string{
		"another site":           {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		"another port":           {"Sec-Fetch-Site", "same-site", "Origin", "https://example.com:1"},
		"an old browser":         {"Origin", "https://evil.example"},
		"a page with no origin":  {"Origin", "null"},
		"another scheme":         {"Origin", "ftp://files.example.com"},
		"an origin with a start": {"Origin", "https://files.example.com.evil.example"},
	} {
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			wantCode(t, method+" of "+what, s.use(s.value, method, headers...), problem.Forbidden)
			c, w := newContext(method, "/console/session", headers...)
			wantCode(t, "log-in or log-out of "+what, s.OwnPages(nil)(c), problem.Forbidden)
			if len(w.Result().Cookies()) > 0 {
				t.Errorf("%s sets a cookie", what)
			}
		}
	}
	for _, site := range []string{"cross-site", "same-site"} {
		wantCode(t, "GET, "+site, s.use(s.value, "GET", "Sec-Fetch-Site", site), problem.Forbidden)
	}
	for what, headers := range map[string][]string{
		"the public URL, behind a proxy": {"Origin", "https://files.example.com"},
		"the address bar":                {"Sec-Fetch-Site", "none"},
		"a program":                      nil,
	} {
		if err := s.use(s.value, "POST", headers...); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestLogInsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Options{Log: zerolog.Nop()})
		allows := func(remote string) bool { return a.checkLogins(remote) == nil }
		for i := range 6 {
			if got := allows("10.0.0.1:" + strconv.Itoa(1000+i)); got != (i < 5) {
				t.Errorf("log-in %d of an address: %t", i+1, got)
			}
			if got := allows("[2001:db8::" + strconv.Itoa(i) + "]:1"); got != (i < 5) {
				t.Errorf("log-in %d of a network: %t", i+1, got)
			}
		}
		if !allows("10.0.0.2:1") || !allows("[2001:db8:0:1::1]:1") {
			t.Error("another address is limited")
		}
		<-time.After(3 * time.Second)
		if p := problem.Of(a.checkLogins("10.0.0.1:1"), ""); p.Status != 429 || p.RetryAfter != 9 || !strings.Contains(p.Detail, "in 9 s") {
			t.Errorf("3 seconds later: %+v", p)
		}
		<-time.After(9 * time.Second)
		if !allows("10.0.0.1:1") || allows("10.0.0.1:1") {
			t.Error("one log-in every 12 seconds is wrong")
		}
		for i := range 2 * maxLimited {
			allows("10.1." + strconv.Itoa(i/250) + "." + strconv.Itoa(i%250) + ":1")
		}
		if n := len(a.logins.limiters); n > maxLimited {
			t.Errorf("it remembers %d addresses", n)
		}
	})
}

// A refused request takes nothing off the allowance, however many come at the same time.
func TestRefusedRequestsAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(1, 1)
		if wait := l.take("x"); wait != 0 {
			t.Fatalf("the first waits %s", wait)
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for range 200 {
					if wait := l.take("x"); wait <= 0 || wait > time.Second {
						t.Errorf("a refused one waits %s", wait)
					}
				}
			})
		}
		all.Wait()
		<-time.After(time.Second)
		if wait := l.take("x"); wait != 0 {
			t.Errorf("a second later it waits %s more", wait)
		}
	})
}

// An index that is down ends no session.
func TestSessionSurvivesAnIndexThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(t)
		if err := s.use(s.value, "GET"); err != nil {
			t.Fatal(err)
		}
		s.index.hangs = true
		<-time.After(time.Minute)
		if err := s.use(s.value, "GET"); err != nil {
			t.Errorf("a known token: %v", err)
		}
		<-time.After(tokenStale)
		wantCode(t, "a token that was known long ago", s.use(s.value, "GET"), problem.IndexUnavailable)
	})
}

// Agents that run in pages need a known origin, whatever token they have.
func TestKnownPages(t *testing.T) {
	t.Parallel()
	a := New(Options{URLs: view.URLs{Base: "https://files.example.com/cas"}, CORSOrigins: []string{"https://app.example.com"}, Log: zerolog.Nop()})
	check := func(host string, origins ...string) error {
		c, _ := newContext("POST", "/mcp")
		c.Request().Host, c.Request().Header["Origin"] = host, origins
		return a.KnownPages(func(echo.Context) error { return nil })(c)
	}
	for _, known := range [][]string{
		{"evil.example"}, // no browser sends it
		{"files.example.com", "https://files.example.com"}, {"10.0.0.1:8080", "https://app.example.com"},
		{"localhost:8080", "http://localhost:8080"}, {"127.0.0.1:8080", "http://127.0.0.1:8080"},
	} {
		if err := check(known[0], known[1:]...); err != nil {
			t.Errorf("%v: %v", known, err)
		}
	}
	for what, unknown := range map[string][]string{
		"its name leads to the gateway": {"evil.example:8080", "http://evil.example:8080"},
		"another site":                  {"files.example.com", "https://evil.example"},
		"another port":                  {"127.0.0.1:8080", "http://127.0.0.1:9090"},
		"no origin of its own":          {"files.example.com", "null"},
		"an empty one":                  {"files.example.com", ""},
		"one more than a known one":     {"files.example.com", "https://app.example.com", "https://app.example.com"},
	} {
		wantCode(t, what, check(unknown[0], unknown[1:]...), problem.Forbidden)
	}
}
