package s3client

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// lateStore sends its answer to a path "/late" after some time, and to others at once. Each read of
// their bodies takes a second, until silence, and much longer from then on.
type lateStore struct {
	answers time.Duration
	silence time.Time
}

func (s lateStore) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/late" {
		select {
		case <-time.After(s.answers):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(nil))}, nil
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(lateBody{s, r})}, nil
}

type lateBody struct {
	s lateStore
	r *http.Request
}

func (b lateBody) Read(p []byte) (int, error) {
	after := time.Second
	if !time.Now().Before(b.s.silence) {
		after = time.Hour
	}
	select {
	case <-time.After(after):
		return len(p), nil
	case <-b.r.Context().Done():
		return 0, b.r.Context().Err()
	}
}

// A read waits longer for its answer while the store sends the bytes of many others, but not
// for ever. When the store sends nothing any more, the wait ends as without others.
func TestWaitForABusyStore(t *testing.T) {
	t.Parallel()
	const timeout = 10 * time.Second
	for name, test := range map[string]struct {
		transfers       int
		answers, silent time.Duration
		method          string
		want            time.Duration // until the error; 0: there is none
	}{
		"few others":       {transfers: busyTransfers - 1, answers: 15 * time.Second, silent: time.Hour, method: "GET", want: timeout},
		"many others":      {transfers: busyTransfers, answers: 55 * time.Second, silent: time.Hour, method: "GET"},
		"no answer at all": {transfers: busyTransfers, answers: time.Hour, silent: time.Hour, method: "GET", want: busyFactor * timeout},
		"it hangs":         {transfers: busyTransfers, answers: time.Hour, silent: 25 * time.Second, method: "GET", want: 25*time.Second + timeout},
		"not a read":       {transfers: busyTransfers, answers: 15 * time.Second, silent: time.Hour, method: "DELETE", want: timeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := lateStore{answers: test.answers, silence: time.Now().Add(test.silent)}
				l := newLimits(store, timeout, "a store", zerolog.Nop())
				request := func(method, path string) (*http.Response, error) {
					r, err := http.NewRequestWithContext(t.Context(), method, "http://store"+path, nil)
					if err != nil {
						t.Fatal(err)
					}
					return l.RoundTrip(r)
				}
				var open []io.Closer
				for range test.transfers {
					response, err := request("GET", "/other")
					if err != nil {
						t.Fatal(err)
					}
					open = append(open, response.Body)
					go func() { _, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, 1000)) }()
				}
				began := time.Now()
				response, err := request(test.method, "/late")
				var late *TimeoutError
				waited := time.Since(began).Round(2 * time.Second)
				switch {
				case err == nil:
					response.Body.Close()
					if test.want != 0 {
						t.Errorf("no error after %v", waited)
					}
				case !errors.As(err, &late) || waited != test.want.Round(2*time.Second) || late.Limit.Round(2*time.Second) != test.want.Round(2*time.Second):
					t.Errorf("%v after %v; want %v", err, waited, test.want)
				}
				for _, body := range open {
					body.Close()
					body.Close()
				}
				if n := l.traffic.transfers.Load(); n != 0 {
					t.Errorf("%d transfers are counted when all are over", n)
				}
			})
		})
	}
}
