package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"casgate/cas"
)

// SigningKey signs hash URLs. A signed URL can be read without a token until it expires.
// Every gateway of a deployment accepts the signatures of every key that is not
// retired, so a key can be replaced without breaking URLs in use.
type SigningKey struct {
	ID        string
	Secret    []byte
	CreatedAt time.Time
}

// Check returns an error if no index can store the key.
func (k SigningKey) Check() error { return cas.CheckText("signing key id", k.ID) }

// NewSigningKey makes a key of 32 random bytes with a random id.
func NewSigningKey() SigningKey {
	var id [5]byte
	secret := make([]byte, 32)
	rand.Read(id[:])
	rand.Read(secret)
	return SigningKey{ID: encoding.EncodeToString(id[:]), Secret: secret}
}

// The query parameters of a signed URL.
const (
	paramExpires   = "expires"
	paramKeyID     = "key"
	paramSignature = "signature"
	// These two are there only where the blob's own name and type are not to be shown.
	paramName      = "name"
	paramMediaType = "type"
)

// Shown is the name and the media type with which a signed URL shows a blob, such as
// those of a file. An empty one means the blob's own.
type Shown struct{ Name, MediaType string }

// Signature is the content of a signed URL's query. It proves that a holder of the key
// allowed this method on this digest until Expires.
type Signature struct {
	Method  string
	Digest  cas.Digest
	Shown   Shown
	Expires time.Time // whole seconds
	KeyID   string
	mac     []byte
}

// Sign returns the signature for one method on one digest. It cuts expires to whole
// seconds.
func (k SigningKey) Sign(method string, d cas.Digest, shown Shown, expires time.Time) Signature {
	s := Signature{Method: method, Digest: d, Shown: shown, Expires: time.Unix(expires.Unix(), 0).UTC(), KeyID: k.ID}
	s.mac = k.mac(s)
	return s
}

// mac covers every part. The separators can't occur inside the parts.
func (k SigningKey) mac(s Signature) []byte {
	h := hmac.New(sha256.New, k.Secret)
	version := "casgate-url-v1"
	if s.Shown != (Shown{}) {
		version = fmt.Sprintf("casgate-url-v2\n%q\n%q", s.Shown.Name, s.Shown.MediaType)
	}
	fmt.Fprintf(h, "%s\n%s\n%s\n%d\n%s", version, s.Method, s.Digest, s.Expires.Unix(), s.KeyID)
	return h.Sum(nil)
}

// Query returns the parameters to append to the hash URL.
func (s Signature) Query() url.Values {
	q := url.Values{
		paramExpires:   {strconv.FormatInt(s.Expires.Unix(), 10)},
		paramKeyID:     {s.KeyID},
		paramSignature: {base64.RawURLEncoding.EncodeToString(s.mac)},
	}
	if s.Shown.Name != "" {
		q.Set(paramName, s.Shown.Name)
	}
	if s.Shown.MediaType != "" {
		q.Set(paramMediaType, s.Shown.MediaType)
	}
	return q
}

// IsSigned reports whether the query of a URL claims to carry a signature.
func IsSigned(q url.Values) bool { return q.Has(paramSignature) }

// ParseSignature reads the query of a signed URL, for the method and digest it is
// used with. It proves nothing until Verify. The error wraps ErrBadSignature.
func ParseSignature(method string, d cas.Digest, q url.Values) (Signature, error) {
	for _, p := range []string{paramExpires, paramKeyID, paramSignature} {
		if len(q[p]) != 1 {
			return Signature{}, fmt.Errorf("%w: it needs %q exactly once", ErrBadSignature, p)
		}
	}
	expires, err := strconv.ParseInt(q.Get(paramExpires), 10, 64)
	if err != nil || expires < 0 || expires > 1<<40 || strconv.FormatInt(expires, 10) != q.Get(paramExpires) {
		return Signature{}, fmt.Errorf("%w: %q is not a time in seconds", ErrBadSignature, paramExpires)
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(q.Get(paramSignature))
	if err != nil || len(mac) != sha256.Size {
		return Signature{}, fmt.Errorf("%w: the signature is damaged", ErrBadSignature)
	}
	for _, p := range []string{paramName, paramMediaType} {
		if len(q[p]) > 1 {
			return Signature{}, fmt.Errorf("%w: it has %q more than once", ErrBadSignature, p)
		}
	}
	return Signature{
		Method: method, Digest: d, Shown: Shown{Name: q.Get(paramName), MediaType: q.Get(paramMediaType)},
		Expires: time.Unix(expires, 0).UTC(), KeyID: q.Get(paramKeyID), mac: mac,
	}, nil
}

// Verify checks, in constant time, that the key of this id made the signature and
// that it has not expired at now. The error wraps ErrBadSignature.
func (s Signature) Verify(k SigningKey, now time.Time) error {
	if !hmac.Equal(s.mac, k.mac(s)) || k.ID != s.KeyID || len(k.Secret) == 0 {
		return fmt.Errorf("%w: the signature is not that of this URL", ErrBadSignature)
	}
	if !now.Before(s.Expires) {
		return fmt.Errorf("%w: it expired at %s; ask for a new one", ErrBadSignature, s.Expires.Format(time.RFC3339))
	}
	return nil
}
