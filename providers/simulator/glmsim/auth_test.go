package glmsim_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"casgate/providers/simulator/glmsim"
)

// token signs a JWT as the public SDKs do.
func token(t *testing.T, secret string, header, payload map[string]any) string {
	t.Helper()
	var parts []string
	for _, part := range []map[string]any{header, payload} {
		b, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(b))
	}
	signed := strings.Join(parts, ".")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := glmsim.New(glmsim.Options{Key: key, Now: func() time.Time { return now }})
	header := map[string]any{"alg": "HS256", "sign_type": "SIGN"}
	payload := func(id string, exp int64) map[string]any {
		return map[string]any{"api_key": id, "exp": exp, "timestamp": now.UnixMilli()}
	}
	later := now.Add(time.Minute)
	good := token(t, "secret456", header, payload("id123", later.UnixMilli()))
	for name, test := range map[string]struct{ token, code string }{
		"good":               {good, ""},
		"the key":            {key, ""},
		"none":               {"", "1001"},
		"another key":        {"id123.secret457", "1000"},
		"another secret":     {token(t, "secret457", header, payload("id123", later.UnixMilli())), "1000"},
		"another id":         {token(t, "secret456", header, payload("id124", later.UnixMilli())), "1000"},
		"expired":            {token(t, "secret456", header, payload("id123", now.UnixMilli())), "1003"},
		"exp in seconds":     {token(t, "secret456", header, payload("id123", later.Unix())), "1003"},
		"no sign_type":       {token(t, "secret456", map[string]any{"alg": "HS256"}, payload("id123", later.UnixMilli())), "1002"},
		"another algorithm":  {token(t, "secret456", map[string]any{"alg": "none", "sign_type": "SIGN"}, payload("id123", later.UnixMilli())), "1002"},
		"no timestamp":       {token(t, "secret456", header, map[string]any{"api_key": "id123", "exp": later.UnixMilli()}), "1002"},
		"no token":           {"a.b.c", "1002"},
		"a changed payload":  {strings.Replace(good, ".", ".e", 1), "1002"},
		"without signature":  {good[:strings.LastIndex(good, ".")+1], "1000"},
		"key with something": {key + "x", "1000"},
	} {
		status, answer := request(t, s, http.MethodGet, "?purpose=agent", "", nil, test.token)
		if test.code != "" {
			wantError(t, status, answer, 401, test.code)
		} else if status != 200 {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
}
