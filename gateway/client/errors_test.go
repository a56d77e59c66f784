package client_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

func TestProblemsBecomeErrors(t *testing.T) {
	sentinels := []error{
		cas.ErrInvalidDigest, cas.ErrBlobNotFound, cas.ErrDigestMismatch, cas.ErrBlobTooLarge, cas.ErrBlobInUse,
		cas.ErrObjectMissing, cas.ErrObjectCorrupt, cas.ErrRangeNotSatisfiable, cas.ErrIndexUnavailable,
		cas.ErrStoreUnavailable, cas.ErrNoSpace, problem.Unauthenticated, problem.Forbidden, client.ErrUnreachable,
	}
	for _, tt := range []struct {
		status int
		code   problem.Code
		want   error // nil: none
	}{
		{400, problem.InvalidDigest, cas.ErrInvalidDigest},
		{400, problem.InvalidRequest, nil},
		{401, problem.Unauthenticated, problem.Unauthenticated},
		{403, problem.Forbidden, problem.Forbidden},
		{404, problem.BlobNotFound, cas.ErrBlobNotFound},
		{404, problem.NotFound, nil},
		{409, problem.BlobInUse, cas.ErrBlobInUse},
		{413, problem.BlobTooLarge, cas.ErrBlobTooLarge},
		{416, problem.RangeNotSatisfiable, cas.ErrRangeNotSatisfiable},
		{422, problem.DigestMismatch, cas.ErrDigestMismatch},
		{429, problem.TooManyRequests, nil},
		{500, problem.Internal, nil},
		{502, problem.ObjectMissing, cas.ErrObjectMissing},
		{502, problem.ObjectCorrupt, cas.ErrObjectCorrupt},
		{503, problem.IndexUnavailable, cas.ErrIndexUnavailable},
		{503, problem.StoreUnavailable, cas.ErrStoreUnavailable},
		{507, problem.NoSpace, cas.ErrNoSpace},
		{599, "of_the_future", nil},
	} {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { answerProblem(w, tt.status, tt.code) })
		_, err := c.Blob(cas.Digest{}).Meta(t.Context())
		for _, sentinel := range sentinels {
			if errors.Is(err, sentinel) != (sentinel == tt.want) {
				t.Errorf("%s: errors.Is(%v, %v) is %v", tt.code, err, sentinel, sentinel != tt.want)
			}
		}
		e, ok := errors.AsType[*client.Error](err)
		if !ok || e.Problem.Code != tt.code || e.Problem.Status != tt.status || e.Problem.OperationID != "op-1" {
			t.Errorf("%s: %#v", tt.code, err)
		}
		if want := fmt.Sprintf("a detail (%s, operation op-1)", tt.code); err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

// A request that net/http refuses before the gateway sees it is wrong in itself.
func TestTooLongRequest(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "431 Request Header Fields Too Large", http.StatusRequestHeaderFieldsTooLarge)
	})
	_, err := c.FilePage(t.Context(), client.FileListOptions{})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Problem.Code != problem.InvalidRequest || e.Problem.Status != 431 || e.Problem.Retryable {
		t.Errorf("%#v", err)
	}
}

func TestStatWithoutBodyTellsByStatus(t *testing.T) {
	for status, want := range map[int]error{
		401: problem.Unauthenticated,
		403: problem.Forbidden,
		404: cas.ErrBlobNotFound,
		503: nil,
	} {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Request-Id", "op-2")
			w.WriteHeader(status)
		})
		_, err := c.Blob(cas.Digest{}).Stat(t.Context(), client.OpenOptions{})
		e, ok := errors.AsType[*client.Error](err)
		if !ok || e.Problem.OperationID != "op-2" || e.Problem.Retryable != (status == 503) {
			t.Errorf("%d: %#v", status, err)
		}
		if want != nil && !errors.Is(err, want) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// A proxy's or another server's answers are told from a gateway's.
func TestAnswersOfOthers(t *testing.T) {
	page := func(status int, contentType, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	t.Run("HTML 502", func(t *testing.T) {
		eachCall(t, page(502, "text/html", "<h1>Bad Gateway</h1>"), func(t *testing.T, method string, err error) {
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Problem.Code != "" || !e.Problem.Retryable || !strings.Contains(err.Error(), "502 Bad Gateway") {
				t.Error(err)
			}
			if method != "Stat" && !strings.Contains(err.Error(), "text/html") {
				t.Error(err)
			}
		})
	})
	t.Run("HTTP to HTTPS", func(t *testing.T) {
		server := httptest.NewTLSServer(page(200, "text/plain", ""))
		defer server.Close()
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		c, err := client.New(strings.Replace(server.URL, "https:", "http:", 1), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Blob(cas.Digest{}).Meta(t.Context()); !errors.Is(err, client.ErrWrongScheme) || !strings.HasSuffix(err.Error(), "speaks HTTPS; write https:// in its URL") {
			t.Error(err)
		}
	})
	t.Run("HTTPS to HTTP", func(t *testing.T) {
		server := httptest.NewServer(page(200, "text/plain", ""))
		defer server.Close()
		c, err := client.New(strings.Replace(server.URL, "http:", "https:", 1), client.Options{OnRetry: func(err error, _ time.Duration) { t.Errorf("tried again after %v", err) }})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Blob(cas.Digest{}).Meta(t.Context()); !errors.Is(err, client.ErrWrongScheme) || !strings.HasSuffix(err.Error(), "speaks plain HTTP; write http:// in its URL") {
			t.Error(err)
		}
	})
	t.Run("a path that is not the gateway's", func(t *testing.T) {
		nothing := page(404, "application/problem+json", `{"code":"not_found","detail":"There is nothing at this path."}`)
		for name, c := range map[string]struct {
			path   string
			health http.HandlerFunc
			wrong  bool
		}{
			"wrong":                          {"/foo", nothing, true},
			"behind a proxy":                 {"/foo", page(200, "application/json", `{"status":"ok"}`), false},
			"below another server's paths":   {"/foo", page(404, "text/html", "<h1>Not Found</h1>"), false},
			"none, and the gateway is older": {"", nothing, false},
		} {
			mux := http.NewServeMux()
			mux.Handle("/foo/healthz", c.health)
			mux.Handle("/", nothing)
			server := httptest.NewServer(mux)
			defer server.Close()
			elsewhere, err := client.New(server.URL+c.path, client.Options{Token: "token"})
			if err != nil {
				t.Fatal(err)
			}
			defer elsewhere.Close()
			_, err = elsewhere.Blob(cas.Digest{}).Meta(t.Context())
			if errors.Is(err, client.ErrWrongPath) != c.wrong || errors.Is(err, problem.NotFound) == c.wrong {
				t.Errorf("%s: %v", name, err)
			}
			if c.wrong && !strings.HasSuffix(err.Error(), "its own URL is perhaps "+server.URL) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("HTML 404", func(t *testing.T) {
		c := newClient(t, page(404, "text/html", "<h1>Not Found</h1>"))
		if _, err := c.Blob(cas.Digest{}).Meta(t.Context()); err == nil || errors.Is(err, cas.ErrBlobNotFound) {
			t.Error(err)
		}
	})
	t.Run("its own 401 and 403", func(t *testing.T) {
		for status, want := range map[int]error{401: problem.Unauthenticated, 403: problem.Forbidden} {
			c := newClient(t, page(status, "text/plain", "go away"))
			if _, err := c.Blob(cas.Digest{}).Meta(t.Context()); !errors.Is(err, want) {
				t.Errorf("%d: %v", status, err)
			}
		}
	})
	t.Run("HTML 200", func(t *testing.T) {
		eachCall(t, page(200, "text/html", "Welcome to the hotel's network"), func(t *testing.T, method string, err error) {
			if !strings.Contains(err.Error(), "is it a casgate gateway?") {
				t.Errorf("%s: %v", method, err)
			}
		})
	})
	t.Run("truncated problem", func(t *testing.T) {
		c := newClient(t, page(500, "application/problem+json", `{"code":"int`))
		if _, err := c.Blob(cas.Digest{}).Meta(t.Context()); err == nil || !strings.Contains(err.Error(), "not how a gateway answers") {
			t.Error(err)
		}
	})
	t.Run("truncated JSON", func(t *testing.T) {
		c := newClient(t, page(200, "application/json", `{"digest":"sha256:`))
		if _, err := c.Blob(cas.Digest{}).Meta(t.Context()); err == nil || !strings.Contains(err.Error(), "broke off") {
			t.Error(err)
		}
	})
	t.Run("other JSON", func(t *testing.T) {
		c := newClient(t, page(200, "application/json", `{"digest":"md5:1"}`))
		if _, err := c.Blob(cas.Digest{}).Meta(t.Context()); !errors.Is(err, cas.ErrInvalidDigest) {
			t.Error(err)
		}
	})
	t.Run("hang-up", func(t *testing.T) {
		eachCall(t, hangUp, func(t *testing.T, _ string, err error) {
			if !errors.Is(err, client.ErrUnreachable) {
				t.Error(err)
			}
		})
	})
}

// net/http's own errors have the whole URL in them.
func TestSignatureIsNotInErrors(t *testing.T) {
	signed, err := client.ParseBlobURL("http://127.0.0.1:1/v1/blobs/" + cas.Digest{}.String() + "?signature=verysecret")
	if err != nil {
		t.Fatal(err)
	}
	_, err = clientOf(t, signed.Base).Blob(signed.Digest).Open(t.Context(), client.OpenOptions{Signature: signed.Signature})
	if err == nil || strings.Contains(err.Error(), "verysecret") {
		t.Error(err)
	}
}
