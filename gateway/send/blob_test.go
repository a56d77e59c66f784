package send_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"casgate/cas"
	"casgate/gateway/send"
)

// A file on disk that is shorter than its object counts as damaged, not as ended.
func TestShortFileOnDiskIsDamage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "object")
	if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	answer := send.Answer{Status: http.StatusPartialContent, Content: &cas.Content{Body: file, Length: 8}}
	if err := send.Blob(t.Context(), httptest.NewRecorder(), answer); !errors.Is(err, cas.ErrObjectCorrupt) {
		t.Errorf("got %v; want %v", err, cas.ErrObjectCorrupt)
	}
}
