package terminal

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// silence is how long a command may wait before it says what it waits for.
const silence = 5 * time.Second

// Activity knows whether something on the screen says what the command waits for. Its
// methods may be called on nil.
type Activity struct{ shown atomic.Int64 }

func (a *Activity) add(n int64) {
	if a != nil {
		a.shown.Add(n)
	}
}

// isShown reports whether a bar or a note says what the command waits for.
func (a *Activity) isShown() bool { return a != nil && a.shown.Load() > 0 }

// Transport returns a transport that says on standard error which answer it waits for, after
// five seconds, unless a bar says it. Nil means http.DefaultTransport's settings.
func (s Streams) Transport(base http.RoundTripper) http.RoundTripper {
	return &sayingTransport{base, s}
}

// sayingTransport is the transport of Streams.Transport.
type sayingTransport struct {
	http.RoundTripper
	std Streams
}

// RoundTrip implements http.RoundTripper.
func (t *sayingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	timer := time.AfterFunc(silence, func() {
		if !t.std.Activity.isShown() {
			fmt.Fprintf(t.std.Err, "cas: waiting for %s to answer %s %s\n", r.URL.Host, r.Method, r.URL.Path)
		}
	})
	defer timer.Stop()
	return t.RoundTripper.RoundTrip(r)
}

// CloseIdleConnections closes those of the transport below.
func (t *sayingTransport) CloseIdleConnections() {
	if below, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		below.CloseIdleConnections()
	}
}

// Retrying says on standard error why a request is repeated, if that takes a while.
func (s Streams) Retrying(err error, wait time.Duration) {
	const soon = 2 * time.Second
	if wait >= soon {
		fmt.Fprintf(s.Err, "cas: %s; trying again in %v\n", WithoutControls(err.Error()), wait.Round(time.Second))
	}
}
