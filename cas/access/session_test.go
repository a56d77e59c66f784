package access

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSessions(t *testing.T) {
	key, other := NewSigningKey(), NewSigningKey()
	now := time.Now()
	token, _ := NewToken("test", AllScopes, time.Time{})
	s := key.SignSession(Session{TokenID: token.ID, Issued: now, Expires: now.Add(time.Hour)})
	parsed, err := ParseSession(s.Text())
	if err != nil || parsed.Verify(key, now) != nil || parsed.TokenID != token.ID || parsed.KeyID != key.ID || !parsed.Expires.Equal(s.Expires) {
		t.Fatalf("%+v, %v; want %+v", parsed, err, s)
	}
	if err := parsed.Verify(key, s.Expires); !errors.Is(err, ErrBadSession) {
		t.Errorf("at its expiry: %v", err)
	}
	forged := other
	forged.ID = key.ID
	for what, k := range map[string]SigningKey{"another key": other, "another secret": forged, "no secret": {ID: key.ID}} {
		if err := parsed.Verify(k, now); !errors.Is(err, ErrBadSession) {
			t.Errorf("%s: %v", what, err)
		}
	}
	parts := strings.Split(s.Text(), ".")
	for i := range parts {
		for _, part := range []string{"", "x", "1" + parts[i], parts[i] + "\n", strings.ToUpper(parts[i])} {
			if part == parts[i] {
				continue
			}
			changed := append([]string{}, parts...)
			changed[i] = part
			s, err := ParseSession(strings.Join(changed, "."))
			if err == nil {
				err = s.Verify(key, now)
			}
			if !errors.Is(err, ErrBadSession) {
				t.Errorf("part %d is %q: %v", i, part, err)
			}
		}
	}
	for _, text := range []string{"", ".....", s.Text() + ".", strings.TrimPrefix(s.Text(), "v1.")} {
		if _, err := ParseSession(text); !errors.Is(err, ErrBadSession) {
			t.Errorf("%q: %v", text, err)
		}
	}
	// A key signs for one purpose at a time.
	if grant := key.SignUpload(UploadGrant{TokenID: token.ID, Expires: s.Expires}); string(grant.mac) == string(parsed.mac) {
		t.Error("an upload grant has the signature of a session")
	}
}
