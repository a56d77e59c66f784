package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/client"
)

// A read that is redirected to the object store is followed without the token, and verified. If the
// store fails, the gateway serves the bytes.
func TestRedirectedReads(t *testing.T) {
	t.Parallel()
	b := castest.RandomBytes(10_000)
	d := cas.DigestOf(b)
	serve := func(w http.ResponseWriter, r *http.Request, b []byte) {
		status := http.StatusOK
		if r.Header.Get("Range") != "" {
			w.Header().Set("Content-Range", "bytes 100-199/10000")
			status, b = http.StatusPartialContent, b[100:200]
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.WriteHeader(status)
		_, _ = w.Write(b) // the client notices
	}
	for name, tt := range map[string]struct {
		store         http.HandlerFunc
		isWrong       bool
		noRedirect    bool
		gatewayReads  int64
		storeRequests int64
	}{
		"from the store": {
			store:         func(w http.ResponseWriter, r *http.Request) { serve(w, r, b) },
			storeRequests: 2,
		},
		"wrong bytes": {
			store: func(w http.ResponseWriter, r *http.Request) {
				wrong := append([]byte{b[0] ^ 1}, b[1:]...)
				serve(w, r, wrong)
			},
			isWrong: true, storeRequests: 2,
		},
		"the object is missing": {
			store:        func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "NoSuchKey", http.StatusNotFound) },
			gatewayReads: 2, storeRequests: 2,
		},
		"another redirect": {
			store: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/again", http.StatusTemporaryRedirect)
			},
			gatewayReads: 2, storeRequests: 2,
		},
		"the connection breaks": {
			store:        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			gatewayReads: 2, storeRequests: 2,
		},
		"not wanted": {noRedirect: true, gatewayReads: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests, reads atomic.Int64
			store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/object" {
					requests.Add(1)
				}
				if r.Header.Get("Authorization") != "" {
					t.Error("the store got the token")
				}
				tt.store(w, r)
			}))
			defer store.Close()
			gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Prefer") != "redirect=none" {
					w.Header().Set("Repr-Digest", "sha-256=::")
					http.Redirect(w, r, store.URL+"/object?signature=1", http.StatusTemporaryRedirect)
					return
				}
				reads.Add(1)
				w.Header().Set("ETag", `"`+d.String()+`"`)
				serve(w, r, b)
			}))
			defer gateway.Close()
			c, err := client.New(gateway.URL, client.Options{Token: "secret", NoRedirect: tt.noRedirect, Retries: -1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, o := range []client.OpenOptions{{}, {Offset: 100, Length: 100}} {
				content, err := c.Blob(d).Open(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(content.Body)
				content.Body.Close()
				if isWhole := o.Length == 0; tt.isWrong && isWhole {
					if !errors.Is(err, cas.ErrDigestMismatch) {
						t.Errorf("wrong bytes: %v", err)
					}
					continue
				}
				want := len(b)
				if o.Length > 0 {
					want = int(o.Length)
				}
				if err != nil || len(got) != want || content.Size != int64(len(b)) || content.Offset != o.Offset {
					t.Errorf("%d bytes of %d from %d, %v", len(got), content.Size, content.Offset, err)
				}
			}
			if reads.Load() != tt.gatewayReads || requests.Load() != tt.storeRequests {
				t.Errorf("the gateway served %d reads and the store had %d requests, want %d and %d", reads.Load(), requests.Load(), tt.gatewayReads, tt.storeRequests)
			}
		})
	}
}
