package s3store_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"casgate/cas"
	"casgate/cas/s3store"
)

// The error of a full bucket has the store's own reason.
func TestFullBucket(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the answer does not depend on it
		w.WriteHeader(http.StatusForbidden)
		if _, err := io.WriteString(w, "<Error><Code>QuotaExceeded</Code><Message>your plan allows 10 GB</Message></Error>"); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	s := open(t, s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secretsecret"})
	b := []byte("bytes")
	ref := cas.ObjectRef{Digest: cas.DigestOf(b)}
	err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, 5))
	full, ok := errors.AsType[*cas.StoreFull](err)
	if !ok || full.Reason != "QuotaExceeded: your plan allows 10 GB" || !errors.Is(err, cas.ErrNoSpace) || errors.Is(err, cas.ErrStoreUnavailable) {
		t.Errorf("%v", err)
	}
}
