package chatapi

import (
	"encoding/base64"
	"testing"

	"casgate/cas"
)

// TestTextsThatCameBefore: a text stands for the same bytes each time, and the same
// characters in another encoding stand for others.
func TestTextsThatCameBefore(t *testing.T) {
	t.Parallel()
	taken := newTakenIn()
	content := []byte("some bytes")
	encoded := []byte(base64.StdEncoding.EncodeToString(content))
	for range 2 {
		if d, size, err := taken.decode(&inline{encoded: encoded, isBase64: true}); err != nil || d != cas.DigestOf(content) || size != int64(len(content)) {
			t.Errorf("as base64: %v, %d, %v", d, size, err)
		}
		if d, size, err := taken.decode(&inline{encoded: encoded}); err != nil || d == cas.DigestOf(content) || size < int64(len(content)) {
			t.Errorf("percent-encoded: %v, %d, %v", d, size, err)
		}
		if _, _, err := taken.decode(&inline{encoded: []byte("no base64!"), isBase64: true}); err == nil {
			t.Error("malformed base64 was decoded")
		}
	}
	if len(taken.texts) != 2 {
		t.Errorf("%d texts are known; want the two that are right", len(taken.texts))
	}
}
