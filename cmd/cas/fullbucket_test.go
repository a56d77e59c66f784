package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"casgate/cas"
	"casgate/cas/s3store/s3test"
)

// A gateway starts while its bucket is full: what is there is read and deleted, which makes room.
func TestStartOnAFullBucket(t *testing.T) {
	t.Parallel()
	bucket := s3test.NewBucket(t)
	target, err := url.Parse(bucket.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var isFull atomic.Bool
	store := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || !isFull.Load() {
			store.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // the answer does not depend on it
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>QuotaExceeded</Code><Message>your plan allows 10 GB</Message></Error>") // nor on whether it arrives
	}))
	defer proxy.Close()
	env := []string{
		"CAS_DATA_DIR=" + t.TempDir(), "CAS_S3_ENDPOINT=" + proxy.URL, "CAS_S3_BUCKET=" + bucket.Bucket,
		"CAS_S3_ACCESS_KEY=" + bucket.AccessKey, "CAS_S3_SECRET_KEY=" + bucket.SecretKey,
	}
	p := serveProcess(t, casCommand(t, env, "serve"))
	b := []byte("stored before")
	d := p.store(b)
	p.terminate()
	isFull.Store(true)
	p = serveProcess(t, casCommand(t, env, "serve"))
	if status, got, err := p.request(http.MethodGet, "/v1/blobs/"+d.String(), nil); err != nil || status != http.StatusOK || cas.DigestOf(got) != d {
		t.Errorf("GET: %d, %q, %v", status, got, err)
	}
	if status, body, err := p.request(http.MethodPost, "/v1/blobs", strings.NewReader("more")); err != nil || status != http.StatusInsufficientStorage {
		t.Errorf("POST: %d, %s, %v", status, body, err)
	}
	if status, body, err := p.request(http.MethodDelete, "/v1/blobs/"+d.String(), nil); err != nil || status >= 300 {
		t.Errorf("DELETE: %d, %s, %v", status, body, err)
	}
	if !strings.Contains(p.log(), "only reads and deletes work") {
		t.Errorf("the log does not say that the bucket is full:\n%s", p.log())
	}
}
