package providertest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"casgate/providers/simulator"
)

// testRedirects: redirects to another port and to another host name. Neither server may
// get the credential, and the adapter must not use their answers.
func testRedirects(t *testing.T, r *run) {
	var mu sync.Mutex
	var told []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for name, values := range request.Header {
			told = append(told, name+": "+strings.Join(values, ", "))
		}
		told = append(told, request.URL.String())
		http.Error(w, `{"error":{"message":"who are you?"}}`, http.StatusUnauthorized)
	}))
	defer other.Close()
	calls := r.allCalls(t)
	elsewhere := []string{other.URL, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)}
	for _, location := range elsewhere {
		for op, call := range calls {
			r.remote.Fail(simulator.Fault{Op: requestOf(op), Times: 1, Kind: simulator.Redirect, Location: location})
			r.wantError(t, call(t.Context()), op)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	r.wantNoSecret(t, "a request to another server", strings.Join(told, "\n"))
}
