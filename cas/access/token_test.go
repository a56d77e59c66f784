package access_test

import (
	"strings"
	"testing"
	"time"

	"casgate/cas/access"
)

func TestWithoutSecrets(t *testing.T) {
	t.Parallel()
	token, text := access.NewToken("test", []access.Scope{access.ScopeRead}, time.Time{})
	_, secret, _ := strings.Cut(strings.TrimPrefix(text, "cas_"), "_")
	for in, want := range map[string]string{
		"/v1/tokens/" + text:               "/v1/tokens/cas_" + token.ID + "_…",
		"/a/" + text + "/" + text + ".txt": "/a/cas_" + token.ID + "_…/cas_" + token.ID + "_….txt",
		"/v1/tokens/" + token.ID:           "/v1/tokens/" + token.ID,
		"/v1/files/cas_.txt":               "/v1/files/cas_.txt",
	} {
		if got := access.WithoutSecrets(in); got != want || strings.Contains(got, secret) {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}
