package terminal

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// Silence is how long a command may wait before it says what it waits for. Only tests change
// it.
var Silence = 5 * time.Second

// Activity knows whether something on the screen says what the command waits for. Its
// methods may be called on nil.
type Activity struct {
	shown atomic.Int64
	said  atomic.Int64 // when a note was last written, in nanoseconds since 1970
}

func (a *Activity) add(n int64) {
	if a != nil {
		a.shown.Add(n)
	}
}

// isShown reports whether a bar or a note says what the command waits for.
func (a *Activity) isShown() bool { return a != nil && a.shown.Load() > 0 }

// mayNote reports whether it is time for another note: several requests may wait together.
func (a *Activity) mayNote(now time.Time) bool {
	if a == nil {
		return true
	}
	last := a.said.Load()
	return now.UnixNano()-last >= int64(Silence) && a.said.CompareAndSwap(last, now.UnixNano())
}

// Transport returns a transport that says on standard error which answer it waits for, after
// five seconds, unless a bar says it.
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
	timer := time.AfterFunc(Silence, func() {
		if !t.std.Activity.isShown() && t.std.Activity.mayNote(time.Now()) {
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
