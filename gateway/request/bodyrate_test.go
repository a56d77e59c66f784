package request

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"casgate/cas"
)

type stalled struct{ done <-chan struct{} }

func (s stalled) Read([]byte) (int, error) { <-s.done; return 0, errors.New("gone") }

func TestUploadBodyMarksItsErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := MinRate{BytesPerSecond: 1024, Window: time.Second}.newBody(w, r)
		var buf bytes.Buffer
		_, err := buf.ReadFrom(body)
		fmt.Fprintf(w, "slow=%t body=%t bytes=%d", errors.Is(err, ErrSlowBody), errors.Is(err, cas.ErrBodyRead), body.total)
	}))
	defer server.Close()
	done := make(chan struct{})
	defer close(done)
	resp, err := http.Post(server.URL, "text/plain", stalled{done})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	if buf.String() != "slow=true body=true bytes=0" {
		t.Errorf("got %q", buf.String())
	}
}
