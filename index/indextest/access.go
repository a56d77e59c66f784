package indextest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
)

// newToken stores a new token and returns it as the index has it.
func newToken(t testing.TB, x Index, name string, expires time.Time, scopes ...access.Scope) access.Token {
	t.Helper()
	token, _ := access.NewToken(name, scopes, expires)
	created, err := x.CreateToken(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// getToken reads a token, and fails the test on an error.
func getToken(t testing.TB, x Index, id string) access.Token {
	t.Helper()
	token, err := x.Token(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

var tokenTests = []test{
	{"returns the created token", func(t *testing.T, x Index) {
		expires := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		for _, want := range []access.Token{
			newToken(t, x, "CI «ü»", expires, access.ScopeRead, access.ScopeWrite),
			newToken(t, x, " x ", time.Time{}, access.ScopeAdmin),
		} {
			got := getToken(t, x, want.ID)
			same(t, "the token", got, want)
			if got.CreatedAt.IsZero() || !got.LastUsedAt.IsZero() || !got.RevokedAt.IsZero() {
				t.Errorf("its times are %+v", got)
			}
			if !got.ExpiresAt.IsZero() && !got.ExpiresAt.Equal(expires) {
				t.Errorf("it expires at %s; want %s", got.ExpiresAt, expires)
			}
		}
	}},
	{"creates a token once, however often", func(t *testing.T, x Index) {
		first := newToken(t, x, "a", time.Time{}, access.ScopeRead)
		again, err := x.CreateToken(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the token created again", again, first)
		other, _ := access.NewToken("b", []access.Scope{access.ScopeAdmin}, time.Time{})
		other.ID = first.ID
		if _, err := x.CreateToken(t.Context(), other); err == nil {
			t.Error("another token took the id of the first")
		}
		same(t, "the first token", getToken(t, x, first.ID), first)
	}},
	{"lists all, oldest first", func(t *testing.T, x Index) {
		var want []access.Token
		for i := range 3 {
			want = append(want, newToken(t, x, fmt.Sprint(i), time.Time{}, access.ScopeRead))
		}
		if err := x.RevokeToken(t.Context(), want[1].ID); err != nil {
			t.Fatal(err)
		}
		got, err := x.Tokens(t.Context())
		if err != nil || len(got) != 3 {
			t.Fatalf("%d tokens, error %v", len(got), err)
		}
		seen := map[string]bool{}
		for i, token := range got {
			seen[token.ID] = true
			if i > 0 && token.CreatedAt.Before(got[i-1].CreatedAt) {
				t.Errorf("token %d is older than the one before", i)
			}
		}
		for _, token := range want {
			if !seen[token.ID] {
				t.Errorf("token %s is not in the list", token.ID)
			}
		}
	}},
	{"lists pages, newest first", func(t *testing.T, x Index) {
		for i := range 5 {
			newToken(t, x, fmt.Sprint(i), time.Time{}, access.ScopeRead)
		}
		all, err := x.Tokens(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(all)
		for _, limit := range []int{1, 2, 5, 6} {
			var got []access.Token
			for q := (access.TokenQuery{Limit: limit}); ; q.After = got[len(got)-1].Place() {
				page, err := x.TokenPage(t.Context(), q)
				if err != nil || len(page) > limit {
					t.Fatalf("%d tokens of at most %d, %v", len(page), limit, err)
				}
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
			}
			same(t, fmt.Sprintf("all pages of %d", limit), got, all)
		}
		if _, err := x.TokenPage(t.Context(), access.TokenQuery{}); err == nil {
			t.Error("a limit of 0 was accepted")
		}
	}},
	{"revokes, and keeps the time of the first revocation", func(t *testing.T, x Index) {
		id := newToken(t, x, "a", time.Time{}, access.ScopeRead).ID
		for range 2 {
			before := getToken(t, x, id).RevokedAt
			if err := x.RevokeToken(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			after := getToken(t, x, id).RevokedAt
			if after.IsZero() || (!before.IsZero() && !after.Equal(before)) {
				t.Errorf("revoked at %s, before that %s", after, before)
			}
		}
	}},
	{"records use, forwards only", func(t *testing.T, x Index) {
		a, b := newToken(t, x, "a", time.Time{}, access.ScopeRead).ID, newToken(t, x, "b", time.Time{}, access.ScopeRead).ID
		at := time.Now().UTC().Truncate(time.Microsecond)
		for _, c := range []struct{ use, wantA time.Time }{
			{at, at},
			{at.Add(-time.Hour), at},
			{at.Add(time.Hour), at.Add(time.Hour)},
		} {
			if err := x.UseTokens(t.Context(), map[string]time.Time{a: c.use, b: at, "unknown": at}); err != nil {
				t.Fatal(err)
			}
			if got := getToken(t, x, a).LastUsedAt; !got.Equal(c.wantA) {
				t.Errorf("used at %s, recorded %s; want %s", c.use, got, c.wantA)
			}
		}
		if got := getToken(t, x, b).LastUsedAt; !got.Equal(at) {
			t.Errorf("the other token was used at %s; want %s", got, at)
		}
		if err := x.UseTokens(t.Context(), nil); err != nil {
			t.Errorf("no use: %v", err)
		}
	}},
	{"tells an unknown token", func(t *testing.T, x Index) {
		for _, id := range []string{"unknown", "", "a\x00b", "\xff"} {
			_, err := x.Token(t.Context(), id)
			if !errors.Is(err, access.ErrTokenNotFound) || errors.Is(err, cas.ErrIndexUnavailable) {
				t.Errorf("Token(%q): %v", id, err)
			}
			if err := x.RevokeToken(t.Context(), id); !errors.Is(err, access.ErrTokenNotFound) || errors.Is(err, cas.ErrIndexUnavailable) {
				t.Errorf("RevokeToken(%q): %v", id, err)
			}
		}
	}},
}

// keyIDs lists the ids of the keys in use.
func keyIDs(t testing.TB, x Index) []string {
	t.Helper()
	keys, err := x.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

var keyTests = []test{
	{"lists the keys in use, newest first", func(t *testing.T, x Index) {
		same(t, "the list of no keys", keyIDs(t, x), []string{})
		var keys []access.SigningKey
		for range 3 {
			k := access.NewSigningKey()
			if err := x.AddSigningKey(t.Context(), k); err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k)
		}
		got, err := x.SigningKeys(t.Context())
		if err != nil || len(got) != 3 {
			t.Fatalf("%d keys, error %v", len(got), err)
		}
		for i, k := range got {
			if i > 0 && k.CreatedAt.After(got[i-1].CreatedAt) {
				t.Errorf("key %d is newer than the one before", i)
			}
			for _, want := range keys {
				if k.ID == want.ID && string(k.Secret) != string(want.Secret) {
					t.Errorf("key %d has another secret than was added", i)
				}
			}
		}
	}},
	{"retires", func(t *testing.T, x Index) {
		a, b := access.NewSigningKey(), access.NewSigningKey()
		for _, k := range []access.SigningKey{a, b} {
			if err := x.AddSigningKey(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := x.RetireSigningKey(t.Context(), a.ID); err != nil {
				t.Fatal(err)
			}
			same(t, "the list", keyIDs(t, x), []string{b.ID})
		}
		for _, id := range []string{"unknown", "", "a\x00b"} {
			if err := x.RetireSigningKey(t.Context(), id); !errors.Is(err, access.ErrKeyNotFound) {
				t.Errorf("RetireSigningKey(%q): %v", id, err)
			}
		}
	}},
	{"adds a key once, however often", func(t *testing.T, x Index) {
		k := access.NewSigningKey()
		for range 2 {
			if err := x.AddSigningKey(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "the list", keyIDs(t, x), []string{k.ID})
		other := access.NewSigningKey()
		other.ID = k.ID
		if err := x.AddSigningKey(t.Context(), other); err == nil {
			t.Error("another key took the id of the first")
		}
	}},
}
