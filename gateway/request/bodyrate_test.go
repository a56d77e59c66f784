package request

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
)

type stalled struct{ done <-chan struct{} }

func (s stalled) Read([]byte) (int, error) { <-s.done; return 0, errors.New("gone") }

// drip is a body of so many bytes a second.
type drip int

func (d drip) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return min(len(p), int(d)), nil
}

func (drip) Close() error { return nil }

// deadlines is a writer whose connection takes deadlines.
type deadlines struct{ http.ResponseWriter }

func (deadlines) SetReadDeadline(time.Time) error { return nil }

// A client that is just fast enough for each window is cut off after some minutes, and an
// ordinary slow one is not.
func TestLeastRateRisesWithTime(t *testing.T) {
	for perSecond, want := range map[int]time.Duration{1200: 324 * time.Second, 8 << 10: 10*time.Minute + time.Second, 20 << 10: 0} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			r := httptest.NewRequest(http.MethodPost, "/", drip(perSecond))
			body := MinRate{BytesPerSecond: 1024, Window: 30 * time.Second}.newBody(deadlines{httptest.NewRecorder()}, r)
			buffer := make([]byte, 32<<10)
			for time.Since(start) < 3*time.Hour {
				if _, err := body.Read(buffer); err != nil {
					if took := time.Since(start); !errors.Is(err, ErrSlowBody) || took.Round(2*time.Second) != want.Round(2*time.Second) {
						t.Errorf("%d bytes a second: cut off after %v: %v", perSecond, took, err)
					}
					return
				}
			}
			if want != 0 {
				t.Errorf("%d bytes a second: not cut off", perSecond)
			}
		})
	}
}

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
