package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"casgate/cas"
)

// UploadGrant allows its holder to upload one file without a token until it expires. It may
// be used several times. The signature covers every field.
type UploadGrant struct {
	ID string // tells grants of the same second apart
	// TokenID is the id of the token that made the grant, which must still be allowed to
	// upload. Empty: a gateway without authentication made it.
	TokenID   string
	Filename  string
	Purpose   string
	MaxBytes  int64       // of the file
	Digest    *cas.Digest // that the file must have; nil: any
	Providers []string    // where to make copies
	Expires   time.Time   // whole seconds
	KeyID     string
	mac       []byte
}

// The query parameters of an upload URL, beside those of a signed URL.
const (
	paramGrantID   = "id"
	paramToken     = "token"
	paramFilename  = "filename"
	paramPurpose   = "purpose"
	paramMaxBytes  = "max_bytes"
	paramDigest    = "digest"
	paramProviders = "providers"
)

// SignUpload signs a grant and gives it a random id. It cuts the expiry to whole seconds.
func (k SigningKey) SignUpload(g UploadGrant) UploadGrant {
	g.ID = rand.Text()
	g.Expires, g.KeyID = time.Unix(g.Expires.Unix(), 0).UTC(), k.ID
	g.mac = k.uploadMAC(g)
	return g
}

// uploadMAC covers every field. Each text is quoted, so no two grants have the same
// input.
func (k SigningKey) uploadMAC(g UploadGrant) []byte {
	digest := ""
	if g.Digest != nil {
		digest = g.Digest.String()
	}
	h := hmac.New(sha256.New, k.Secret)
	fmt.Fprintf(h, "casgate-upload-v2\n%q\n%q\n%q\n%q\n%d\n%q\n%q\n%d\n%q",
		g.ID, g.TokenID, g.Filename, g.Purpose, g.MaxBytes, digest, g.Providers, g.Expires.Unix(), g.KeyID)
	return h.Sum(nil)
}

// Query returns the parameters of the upload URL.
func (g UploadGrant) Query() url.Values {
	q := url.Values{
		paramGrantID:   {g.ID},
		paramFilename:  {g.Filename},
		paramPurpose:   {g.Purpose},
		paramMaxBytes:  {strconv.FormatInt(g.MaxBytes, 10)},
		paramExpires:   {strconv.FormatInt(g.Expires.Unix(), 10)},
		paramKeyID:     {g.KeyID},
		paramSignature: {base64.RawURLEncoding.EncodeToString(g.mac)},
	}
	if g.TokenID != "" {
		q.Set(paramToken, g.TokenID)
	}
	if g.Digest != nil {
		q.Set(paramDigest, g.Digest.String())
	}
	if len(g.Providers) > 0 {
		q.Set(paramProviders, strings.Join(g.Providers, ","))
	}
	return q
}

// ParseUploadGrant reads the query of an upload URL. It proves nothing until Verify. The
// error wraps ErrBadSignature.
func ParseUploadGrant(q url.Values) (UploadGrant, error) {
	for _, p := range []string{paramGrantID, paramFilename, paramPurpose, paramMaxBytes, paramExpires, paramKeyID, paramSignature} {
		if len(q[p]) != 1 {
			return UploadGrant{}, fmt.Errorf("%w: it needs %q exactly once", ErrBadSignature, p)
		}
	}
	for _, p := range []string{paramToken, paramDigest, paramProviders} {
		if len(q[p]) > 1 || len(q[p]) == 1 && q.Get(p) == "" {
			return UploadGrant{}, fmt.Errorf("%w: it has %q more than once, or empty", ErrBadSignature, p)
		}
	}
	g := UploadGrant{ID: q.Get(paramGrantID), TokenID: q.Get(paramToken), Filename: q.Get(paramFilename), Purpose: q.Get(paramPurpose), KeyID: q.Get(paramKeyID)}
	expires, err := signedNumber(q, paramExpires)
	if err != nil {
		return UploadGrant{}, err
	}
	g.Expires = time.Unix(expires, 0).UTC()
	if g.MaxBytes, err = signedNumber(q, paramMaxBytes); err != nil {
		return UploadGrant{}, err
	}
	if text := q.Get(paramDigest); text != "" {
		d, err := cas.ParseDigest(text)
		if err != nil {
			return UploadGrant{}, fmt.Errorf("%w: its digest is damaged", ErrBadSignature)
		}
		g.Digest = &d
	}
	if text := q.Get(paramProviders); text != "" {
		g.Providers = strings.Split(text, ",")
	}
	g.mac, err = base64.RawURLEncoding.Strict().DecodeString(q.Get(paramSignature))
	if err != nil || len(g.mac) != sha256.Size {
		return UploadGrant{}, fmt.Errorf("%w: the signature is damaged", ErrBadSignature)
	}
	return g, nil
}

// signedNumber reads a number in the one form in which it is signed.
func signedNumber(q url.Values, param string) (int64, error) {
	n, err := strconv.ParseInt(q.Get(param), 10, 64)
	if err != nil || n < 0 || n > 1<<40 || strconv.FormatInt(n, 10) != q.Get(param) {
		return 0, fmt.Errorf("%w: %q is no number that was signed", ErrBadSignature, param)
	}
	return n, nil
}

// Verify checks, in constant time, that the key of this id made the grant and that it has
// not expired at now. The error wraps ErrBadSignature.
func (g UploadGrant) Verify(k SigningKey, now time.Time) error {
	if !hmac.Equal(g.mac, k.uploadMAC(g)) || k.ID != g.KeyID || len(k.Secret) == 0 {
		return fmt.Errorf("%w: the signature is not that of this URL", ErrBadSignature)
	}
	if !now.Before(g.Expires) {
		return fmt.Errorf("%w: it expired at %s; ask for a new one", ErrBadSignature, g.Expires.Format(time.RFC3339))
	}
	return nil
}
