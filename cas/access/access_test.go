package access_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/cas/access"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestTokenMatchesItsOwnTextAlone(t *testing.T) {
	token, text := access.NewToken("test", []access.Scope{access.ScopeRead}, time.Time{})
	other, otherText := access.NewToken("test", nil, time.Time{})
	credential, err := access.ParseCredential(text)
	if err != nil {
		t.Fatal(err)
	}
	otherCredential, err := access.ParseCredential(otherText)
	if err != nil {
		t.Fatal(err)
	}
	if !credential.Matches(token, now) {
		t.Error("a token's own text does not match it")
	}
	if credential.Matches(other, now) || otherCredential.Matches(token, now) || credential.Matches(access.Token{}, now) {
		t.Error("a text matches another token")
	}
	revoked, expired, valid := token, token, token
	revoked.RevokedAt = now.Add(-time.Second)
	expired.ExpiresAt = now
	valid.ExpiresAt = now.Add(time.Second)
	if credential.Matches(revoked, now) || credential.Matches(expired, now) || !credential.Matches(valid, now) {
		t.Error("revocation or expiry has no effect")
	}
	if strings.Contains(text, token.Name) || len(text) < 60 {
		t.Errorf("token text %q", text)
	}
}

func TestParseCredentialRefuses(t *testing.T) {
	_, text := access.NewToken("test", nil, time.Time{})
	for _, bad := range []string{"", "cas_", "cas__", text[:len(text)-1], text + "a", strings.ToUpper(text), "x" + text, strings.Replace(text, "cas_", "cas", 1), "cas_" + text[strings.LastIndex(text, "_"):], "cas_" + strings.Repeat("a", 65) + text[strings.LastIndex(text, "_"):]} {
		_, err := access.ParseCredential(bad)
		if !errors.Is(err, access.ErrTokenMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
		if err != nil && len(bad) > 10 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error repeats the token: %v", err)
		}
	}
}

func TestScopes(t *testing.T) {
	scopes, err := access.ParseScopes("read, write,read")
	if err != nil || access.JoinScopes(scopes) != "read,write" {
		t.Fatalf("%v, %v", scopes, err)
	}
	for _, bad := range []string{"", "root", "read,", "Read"} {
		if _, err := access.ParseScopes(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	reader, admin := access.Token{Scopes: scopes}, access.Token{Scopes: []access.Scope{access.ScopeAdmin}}
	if !reader.Allows(access.ScopeWrite) || reader.Allows(access.ScopeDelete) || reader.Allows(access.ScopeAdmin) || !admin.Allows(access.ScopeDelete) {
		t.Error("scopes have no effect")
	}
}

func TestSignedURLRoundTripsAndAnyChangeBreaksIt(t *testing.T) {
	key := access.NewSigningKey()
	d := cas.DigestOf([]byte("blob"))
	query := key.Sign("GET", d, access.Shown{}, now.Add(time.Minute)).Query()
	verify := func(method string, d cas.Digest, q url.Values, k access.SigningKey, at time.Time) error {
		s, err := access.ParseSignature(method, d, q)
		if err != nil {
			return err
		}
		return s.Verify(k, at)
	}
	if err := verify("GET", d, query, key, now); err != nil {
		t.Fatalf("as signed: %v", err)
	}
	change := func(param, value string) url.Values {
		q := url.Values{}
		for k, v := range query {
			q[k] = v
		}
		q.Set(param, value)
		return q
	}
	other := access.NewSigningKey()
	sameID := access.SigningKey{ID: key.ID, Secret: other.Secret}
	for name, err := range map[string]error{
		"other method":     verify("PUT", d, query, key, now),
		"other digest":     verify("GET", cas.DigestOf(nil), query, key, now),
		"longer life":      verify("GET", d, change("expires", "99999999999"), key, now),
		"other key":        verify("GET", d, query, other, now),
		"forged key":       verify("GET", d, query, sameID, now),
		"key without data": verify("GET", d, query, access.SigningKey{ID: key.ID}, now),
		"other key id":     verify("GET", d, change("key", other.ID), key, now),
		"expired":          verify("GET", d, query, key, now.Add(time.Minute)),
		"cut signature":    verify("GET", d, change("signature", query.Get("signature")[:20]), key, now),
		"no signature":     verify("GET", d, change("signature", ""), key, now),
		"expires +":        verify("GET", d, change("expires", "+"+query.Get("expires")), key, now),
		"expires twice":    verify("GET", d, url.Values{"expires": {query.Get("expires"), "1"}, "key": query["key"], "signature": query["signature"]}, key, now),
		"nothing":          verify("GET", d, url.Values{}, key, now),
	} {
		if !errors.Is(err, access.ErrBadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignatureOfAnyBlobVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d cas.Digest
		copy(d[:], rapid.SliceOfN(rapid.Byte(), len(d), len(d)).Draw(t, "digest"))
		key := access.NewSigningKey()
		life := time.Duration(rapid.Int64Range(1, 1e9).Draw(t, "life")) * time.Second
		q, err := url.ParseQuery(key.Sign("GET", d, access.Shown{}, now.Add(life)).Query().Encode())
		if err != nil {
			t.Fatal(err)
		}
		s, err := access.ParseSignature("GET", d, q)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(key, now); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(key, now.Add(life)); err == nil {
			t.Fatal("valid after its expiry")
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	key := access.NewSigningKey()
	d := cas.DigestOf([]byte("blob"))
	f.Add(key.Sign("GET", d, access.Shown{}, now).Query().Encode())
	f.Add("expires=1&key=a&signature=b")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		s, err := access.ParseSignature("GET", d, q)
		if err != nil {
			if !errors.Is(err, access.ErrBadSignature) {
				t.Fatal(err)
			}
			return
		}
		// The key is new in every run, so no input can be right.
		if s.Verify(access.NewSigningKey(), now.Add(-time.Hour)) == nil {
			t.Fatalf("%q verifies under a key that never signed", query)
		}
	})
}

func FuzzParseCredential(f *testing.F) {
	_, text := access.NewToken("", nil, time.Time{})
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := access.ParseCredential(text)
		if err == nil && c.Matches(access.Token{ID: c.ID}, now) {
			t.Fatalf("%q matches a token without a secret", text)
		}
	})
}

// The name and the type that a URL shows are part of what is signed.
func TestSignedNameAndType(t *testing.T) {
	t.Parallel()
	key, d, now := access.NewSigningKey(), cas.DigestOf([]byte("x")), time.Now()
	shown := access.Shown{Name: "年报 2025.pdf", MediaType: "application/pdf"}
	query := func() url.Values { return key.Sign("GET", d, shown, now.Add(time.Minute)).Query() }
	verify := func(q url.Values) (access.Shown, error) {
		s, err := access.ParseSignature("GET", d, q)
		if err != nil {
			return access.Shown{}, err
		}
		return s.Shown, s.Verify(key, now)
	}
	if got, err := verify(query()); err != nil || got != shown {
		t.Errorf("%+v, %v", got, err)
	}
	plain := key.Sign("GET", d, access.Shown{}, now.Add(time.Minute)).Query()
	if len(plain) != 3 {
		t.Errorf("a URL that shows the blob's own name has %v", plain)
	}
	for name, change := range map[string]func(url.Values){
		"another type": func(q url.Values) { q.Set("type", "text/html") },
		"another name": func(q url.Values) { q.Set("name", "x.html") },
		"without name": func(q url.Values) { q.Del("name") },
		"two types":    func(q url.Values) { q.Add("type", "text/html") },
	} {
		q := query()
		change(q)
		if _, err := verify(q); !errors.Is(err, access.ErrBadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plain.Set("type", "text/html")
	if _, err := verify(plain); !errors.Is(err, access.ErrBadSignature) {
		t.Errorf("a type was added: %v", err)
	}
}

func TestTokenNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"x": true, "notebook «ü» of 王": true, strings.Repeat("王", access.MaxTokenName): true,
		"": false, " \u3000 ": false, strings.Repeat("x", access.MaxTokenName+1): false, "a\nb": false, "\x1b[2J": false, "a\x00b": false, "\xff": false,
	} {
		token, _ := access.NewToken(name, nil, time.Time{})
		if err := token.Check(); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
