package s3store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"casgate/cas"
	"casgate/cas/s3store"
)

// The error of a full bucket has the store's own reason, for an upload and for the probe of a start.
func TestFullBucket(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		status        int
		code, message string
	}{
		"quota":                   {403, "QuotaExceeded", "your plan allows 10 GB"},
		"only a status":           {507, "InsufficientStorage", "no room"},
		"MinIO before it noticed": {500, "InternalError", "please try again: cause(write /data: no space left on device)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // the answer does not depend on it
				w.WriteHeader(answer.status)
				if _, err := fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", answer.code, answer.message); err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			s := open(t, s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secretsecret"})
			isFull := func(err error) {
				t.Helper()
				full, ok := errors.AsType[*cas.StoreFull](err)
				if !ok || full.Reason != answer.code+": "+answer.message || !errors.Is(err, cas.ErrNoSpace) || errors.Is(err, cas.ErrStoreUnavailable) {
					t.Errorf("%v", err)
				}
			}
			b := []byte("bytes")
			ref := cas.ObjectRef{Digest: cas.DigestOf(b)}
			isFull(s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, 5)))
			support, err := s.ChecksumSupport(t.Context())
			if isFull(err); support != "" {
				t.Errorf("support of checksums: %q", support)
			}
		})
	}
}

// A proxy whose store is away answers 404 to everything, in its own words or in those of
// S3. No object counts as missing or as deleted then.
func TestStoreThatKnowsNothing(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"in words of its own": "404 page not found",
		"in those of S3":      "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>",
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // the answer does not depend on it
				w.WriteHeader(http.StatusNotFound)
				if _, err := io.WriteString(w, body); err != nil && r.Method != http.MethodHead {
					t.Error(err)
				}
			}))
			defer server.Close()
			s := open(t, s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secretsecret"})
			b := []byte("bytes")
			ref := cas.ObjectRef{Digest: cas.DigestOf(b)}
			for call, err := range map[string]error{
				"Put":    s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, 5)),
				"Open":   second(s.Open(t.Context(), ref, 0, -1)),
				"Stat":   second(s.Stat(t.Context(), ref)),
				"Delete": s.Delete(t.Context(), ref),
			} {
				if !errors.Is(err, cas.ErrStoreUnavailable) || errors.Is(err, cas.ErrObjectMissing) {
					t.Errorf("%s: error %v; want that the store is unavailable", call, err)
				}
			}
		})
	}
}

// An answer of 200 that is not that of a store stores nothing.
func TestPutWithoutETag(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the answer does not depend on it
			if _, err := io.WriteString(w, body); err != nil {
				t.Error(err)
			}
		}))
		defer server.Close()
		s := open(t, s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secretsecret"})
		for _, b := range [][]byte{nil, []byte("bytes"), make([]byte, 1<<20)} {
			ref := cas.ObjectRef{Digest: cas.DigestOf(b)}
			err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, int64(len(b))))
			if !errors.Is(err, cas.ErrStoreUnavailable) {
				t.Errorf("an answer of %q to %d bytes: %v; want that the store is unavailable", body, len(b), err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }
