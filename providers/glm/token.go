package glm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// tokenLife is how long a signed token is valid, as in the SDKs [C].
const tokenLife = 210 * time.Second

// signer returns a function that adds a token to a request. The token is a JWT, signed
// with the key's secret, with times in milliseconds and a header that says so [C].
func signer(key string) (func(*http.Request), error) {
	id, secret, found := strings.Cut(key, ".")
	if !found || id == "" || secret == "" || strings.Contains(secret, ".") {
		return nil, errNotAPair
	}
	encode := base64.RawURLEncoding.EncodeToString
	header := encode([]byte(`{"alg":"HS256","sign_type":"SIGN"}`))
	return func(r *http.Request) {
		now := time.Now()
		payload := encode(fmt.Appendf(nil, `{"api_key":%q,"exp":%d,"timestamp":%d}`, id, now.Add(tokenLife).UnixMilli(), now.UnixMilli()))
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(header + "." + payload))
		r.Header.Set("Authorization", "Bearer "+header+"."+payload+"."+encode(mac.Sum(nil)))
	}, nil
}
