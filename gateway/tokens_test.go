package gateway_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// tokenID returns the id of a token's text.
func tokenID(text string) string { return strings.TrimPrefix(actor(text), "token:") }

// A token that is made over HTTP works with its scopes, is in the list without its secret,
// and is refused from its revocation on.
func TestTokensOverHTTP(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		journal := newAudit(s)
		made := s.do("POST", "/v1/tokens", strings.NewReader(`{"name":"notebook «ü»","scopes":["read","write","read"],"expires_in":3600}`))
		token := decode[api.CreatedToken](t, made)
		if made.StatusCode != 201 || !slices.Equal(token.Scopes, []access.Scope{access.ScopeRead, access.ScopeWrite}) || token.Name != "notebook «ü»" || tokenID(token.Text) != token.ID ||
			made.Header.Get("Location") != s.url+"/v1/tokens/"+token.ID || made.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", made.StatusCode, made.Header, made.body)
		}
		if left := time.Until(*token.ExpiresAt); left < 50*time.Minute || left > time.Hour || token.RevokedAt != nil {
			t.Errorf("it expires in %v, and was revoked at %v", left, token.RevokedAt)
		}
		if id := made.Header.Get("X-Request-Id"); !strings.HasSuffix(id, "."+token.ID) {
			t.Errorf("the operation %s doesn't name the token", id)
		}
		journal.of(made, api.Record{Kind: "token-created"})

		bearer := []string{"Authorization", "Bearer " + token.Text}
		if a := s.do("GET", "/v1/blobs", nil, bearer...); a.StatusCode != 200 {
			t.Errorf("with the new token: %d %s", a.StatusCode, a.body)
		}
		self := s.do("GET", "/v1/tokens/self", nil, bearer...)
		if got := decode[api.Token](t, self); self.StatusCode != 200 || got.ID != token.ID || got.Name != token.Name {
			t.Errorf("self: %d %s", self.StatusCode, self.body)
		}
		list := s.do("GET", "/v1/tokens", nil)
		if page := decode[api.TokenPage](t, list); len(page.Tokens) != 2 || page.Tokens[0].ID != token.ID || page.Tokens[1].ID != tokenID(s.token) || page.Next != "" {
			t.Errorf("the list: %s", list.body)
		}
		_, secret, _ := strings.Cut(strings.TrimPrefix(token.Text, "cas_"), "_")
		if bytes.Contains(list.body, []byte(secret)) || strings.Contains(s.logs.String(), secret) {
			t.Error("the secret is in the list or in the log")
		}

		for range 2 { // revoking again changes nothing
			revoked := s.do("DELETE", "/v1/tokens/"+token.ID, nil)
			got := decode[api.Token](t, revoked)
			if revoked.StatusCode != 200 || got.RevokedAt == nil || token.RevokedAt != nil && !got.RevokedAt.Equal(*token.RevokedAt) {
				t.Fatalf("%d %s", revoked.StatusCode, revoked.body)
			}
			token.RevokedAt = got.RevokedAt
			journal.of(revoked, api.Record{Kind: "token-revoked"})
			s.do("GET", "/v1/blobs", nil, bearer...).wantProblem(t, 401, problem.Unauthenticated)
		}
		missing := s.do("DELETE", "/v1/tokens/aaaaaaaaaaaaaaaa", nil)
		missing.wantProblem(t, 404, problem.NotFound)
		journal.of(missing, api.Record{Kind: "token-revoked", Outcome: "failed", ErrorCode: problem.NotFound})
		journal.check()
		if a := s.do("GET", "/v1/operations/"+made.Header.Get("X-Request-Id"), nil); a.StatusCode != 200 {
			t.Errorf("the operation: %d %s", a.StatusCode, a.body)
		}
	})
}

// Each page goes on where the one before ended.
func TestTokenPages(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		want := []string{tokenID(s.token)}
		for range 4 {
			want = append([]string{tokenID(s.newToken(access.ScopeRead))}, want...)
		}
		c := s.client()
		var got []string
		for o := (client.TokenListOptions{Limit: 2}); ; {
			page, err := c.Tokens(t.Context(), o)
			if err != nil || len(page.Tokens) > 2 {
				t.Fatalf("%d tokens, %v", len(page.Tokens), err)
			}
			for _, token := range page.Tokens {
				got = append(got, token.ID)
			}
			if o.After = page.Next; o.After == "" {
				break
			}
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("pages have %v, want %v", got, want)
		}
		for _, query := range []string{"limit=0", "limit=1001", "limit=x", "after=x", "after=MTIz", "after=" + strings.Repeat("A", 400)} {
			s.do("GET", "/v1/tokens?"+query, nil).wantProblem(t, 400, problem.InvalidRequest)
		}
	})
}

func TestTokenRequestsRefused(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		for _, body := range []string{
			``, `{}`, `[]`, `{"name":"x"}`, `{"name":"x","scopes":[]}`, `{"name":"x","scopes":["root"]}`, `{"name":"x","scopes":["read,write"]}`, `{"name":"x","scopes":[""]}`, `{"name":"x","scopes":"read"}`,
			`{"scopes":["read"]}`, `{"name":"","scopes":["read"]}`, `{"name":"a\u0000b","scopes":["read"]}`, `{"name":"a\nb","scopes":["read"]}`,
			`{"name":"` + strings.Repeat("x", 256) + `","scopes":["read"]}`, `{"name":"x","scopes":["read"],"expires_in":0}`, `{"name":"x","scopes":["read"],"expires_in":-1}`,
			`{"name":"x","scopes":["read"],"expires_in":3153600001}`, `{"name":"x","scopes":["read"],"expires_in":1.5}`, `{"name":"x","scopes":["read"],"secret":"x"}`,
			`{"name":"x","scopes":["read"],"scopes":["admin"]}`, `{"name":"x","scopes":["read"],"SCOPES":["admin"]}`, `{"name":"x","name":"x","scopes":["read"]}`,
		} {
			a := s.do("POST", "/v1/tokens", strings.NewReader(body))
			if a.StatusCode != 400 {
				t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
			}
		}
		all := []access.Scope{access.ScopeRead, access.ScopeWrite, access.ScopeDelete, access.ScopeSync, access.ScopeChat}
		plain := []string{"Authorization", "Bearer " + s.newToken(all...)}
		for _, r := range [][2]string{{"GET", "/v1/tokens"}, {"POST", "/v1/tokens"}, {"DELETE", "/v1/tokens/" + tokenID(s.token)}, {"DELETE", "/v1/tokens/aaaaaaaaaaaaaaaa"}} {
			s.do(r[0], r[1], strings.NewReader(`{"name":"x","scopes":["read"]}`), plain...).wantProblem(t, 403, problem.Forbidden)
			s.do(r[0], r[1], nil, "Authorization", "-").wantProblem(t, 401, problem.Unauthenticated)
		}
		if page := decode[api.TokenPage](t, s.do("GET", "/v1/tokens", nil)); len(page.Tokens) != 2 {
			t.Errorf("a refused request made a token: %d", len(page.Tokens))
		}
	})
}

// A process that is killed after the answer has the record nevertheless: no writer has to
// store it.
func TestTokensAreInTheJournalBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	p := embedded(t, t.TempDir())
	s := start(t, p, nil)
	made := decode[api.CreatedToken](t, s.do("POST", "/v1/tokens", strings.NewReader(`{"name":"x","scopes":["read"]}`)))
	records := func(kind journal.Kind) int {
		t.Helper()
		found, err := p.index.Records(t.Context(), journal.Query{Kind: kind, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if n := records(journal.KindTokenMade); n != 1 {
		t.Errorf("%d records of a new token", n)
	}
	s.do("DELETE", "/v1/tokens/"+made.ID, nil)
	if n := records(journal.KindTokenEnded); n != 1 {
		t.Errorf("%d records of a revoked token", n)
	}
}

// Every token may end itself, whatever its scopes.
func TestTokenRevokesItself(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		text := s.newToken(access.ScopeChat)
		bearer := []string{"Authorization", "Bearer " + text}
		a := s.do("DELETE", "/v1/tokens/"+tokenID(text), nil, bearer...)
		if got := decode[api.Token](t, a); a.StatusCode != 200 || got.ID != tokenID(text) || got.Name != "test" || got.RevokedAt == nil {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		s.do("GET", "/v1/tokens/self", nil, bearer...).wantProblem(t, 401, problem.Unauthenticated)
	})
}

// An admin token with an end can't make one that lives on after it.
func TestTokenDoesNotOutliveItsMaker(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		ends := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		maker, text := access.NewToken("for an hour", []access.Scope{access.ScopeAdmin}, ends)
		if _, err := p.index.CreateToken(t.Context(), maker); err != nil {
			t.Fatal(err)
		}
		post := func(life string) answer {
			return s.do("POST", "/v1/tokens", strings.NewReader(fmt.Sprintf(`{"name":"x","scopes":["admin"]%s}`, life)), "Authorization", "Bearer "+text)
		}
		post(`,"expires_in":3700`).wantProblem(t, 403, problem.Forbidden)
		for _, life := range []string{"", `,"expires_in":60`} {
			a := post(life)
			if got := decode[api.CreatedToken](t, a); a.StatusCode != 201 || got.ExpiresAt == nil || got.ExpiresAt.After(ends) {
				t.Errorf("%q: %d %s", life, a.StatusCode, a.body)
			}
		}
	})
}

// Without authentication tokens can only be listed: one that is made would work later, when
// tokens are on, and the index may serve other gateways.
func TestTokensWithoutAuthentication(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.NoAuth = true })
		id := tokenID(s.newToken(access.ScopeRead))
		if a := s.do("GET", "/v1/tokens", nil, "Authorization", "-"); a.StatusCode != 200 || len(decode[api.TokenPage](t, a).Tokens) != 2 {
			t.Errorf("list: %d %s", a.StatusCode, a.body)
		}
		for _, r := range [][2]string{{"POST", "/v1/tokens"}, {"DELETE", "/v1/tokens/" + id}, {"GET", "/v1/tokens/self"}} {
			s.do(r[0], r[1], strings.NewReader(`{"name":"x","scopes":["read"]}`), "Authorization", "-").wantProblem(t, 403, problem.Forbidden)
		}
	})
}

func TestTokenAPIOff(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.TokenAPIOff = true })
		for _, r := range [][2]string{{"GET", "/v1/tokens"}, {"POST", "/v1/tokens"}, {"DELETE", "/v1/tokens/x"}} {
			s.do(r[0], r[1], nil).wantProblem(t, 404, problem.NotFound)
		}
		// A program still learns which rights it has.
		if a := s.do("GET", "/v1/tokens/self", nil); a.StatusCode != 200 || decode[api.Token](t, a).ID != tokenID(s.token) {
			t.Errorf("self: %d %s", a.StatusCode, a.body)
		}
		s.do("GET", "/v1/tokens/self", nil, "Authorization", "-").wantProblem(t, 401, problem.Unauthenticated)
	})
}

func TestClientManagesTokens(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		c := s.client()
		made, err := c.CreateToken(t.Context(), client.NewTokenOptions{Name: "x", Scopes: []access.Scope{access.ScopeRead}, Life: time.Hour})
		if err != nil || made.ExpiresAt == nil || made.Text == "" {
			t.Fatalf("%+v, %v", made, err)
		}
		own, err := client.New(s.url, client.Options{Token: made.Text, HTTPClient: http.DefaultClient})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := own.OwnToken(t.Context()); err != nil || got.ID != made.ID {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := c.RevokeToken(t.Context(), made.ID); err != nil || got.RevokedAt == nil {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
