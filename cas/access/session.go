package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Session allows a browser to use a token until it expires, without knowing the secret
// of the token. The holder of a session can do no more than the token can now: the token
// is looked up by its id at each use.
type Session struct {
	TokenID         string
	Issued, Expires time.Time // whole seconds
	KeyID           string
	mac             []byte
}

// sessionVersion is the first part of a session's text. A change of the parts needs
// another version.
const sessionVersion = "v1"

// SignSession signs a session. It cuts the times to whole seconds.
func (k SigningKey) SignSession(s Session) Session {
	s.Issued, s.Expires, s.KeyID = wholeSeconds(s.Issued), wholeSeconds(s.Expires), k.ID
	s.mac = k.sessionMAC(s)
	return s
}

func wholeSeconds(t time.Time) time.Time { return time.Unix(t.Unix(), 0).UTC() }

// sessionMAC covers every field.
func (k SigningKey) sessionMAC(s Session) []byte {
	h := hmac.New(sha256.New, k.Secret)
	fmt.Fprintf(h, "casgate-session-v1\n%q\n%d\n%d\n%q", s.TokenID, s.Issued.Unix(), s.Expires.Unix(), s.KeyID)
	return h.Sum(nil)
}

// Text returns the session as the value of a cookie. The ids of tokens and keys that this
// package makes have no dots.
func (s Session) Text() string {
	return strings.Join([]string{
		sessionVersion, s.TokenID, strconv.FormatInt(s.Issued.Unix(), 10), strconv.FormatInt(s.Expires.Unix(), 10), s.KeyID,
		base64.RawURLEncoding.EncodeToString(s.mac),
	}, ".")
}

// ParseSession reads the text of a session. It proves nothing until Verify. The error
// wraps ErrBadSession.
func ParseSession(text string) (Session, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 6 || parts[0] != sessionVersion || parts[1] == "" {
		return Session{}, fmt.Errorf("%w: it is not in the form that the gateway writes", ErrBadSession)
	}
	issued, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return Session{}, fmt.Errorf("%w: its time is damaged", ErrBadSession)
	}
	expires, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return Session{}, fmt.Errorf("%w: its expiry is damaged", ErrBadSession)
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(parts[5])
	if err != nil || len(mac) != sha256.Size {
		return Session{}, fmt.Errorf("%w: its signature is damaged", ErrBadSession)
	}
	s := Session{TokenID: parts[1], Issued: time.Unix(issued, 0).UTC(), Expires: time.Unix(expires, 0).UTC(), KeyID: parts[4], mac: mac}
	if s.Text() != text {
		return Session{}, fmt.Errorf("%w: it is not in the form that the gateway writes", ErrBadSession)
	}
	return s, nil
}

// Verify checks, in constant time, that the key of this id made the session and that it
// has not expired at now. The error wraps ErrBadSession.
func (s Session) Verify(k SigningKey, now time.Time) error {
	if !hmac.Equal(s.mac, k.sessionMAC(s)) || k.ID != s.KeyID || len(k.Secret) == 0 {
		return fmt.Errorf("%w: no key of this gateway signed it", ErrBadSession)
	}
	if !now.Before(s.Expires) {
		return fmt.Errorf("%w: it expired at %s", ErrBadSession, s.Expires.Format(time.RFC3339))
	}
	return nil
}
