package s3store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/s3store"
)

// refuse answers with an error as S3 has it.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<Error><Code>%s</Code><Message>The store's words.</Message></Error>`, code)
}

// Stores refuse a wrong checksum, or the header itself, in words of their own.
func TestChecksumSupport(t *testing.T) {
	t.Parallel()
	isWrong := func(r *http.Request, body []byte) bool {
		sum := sha256.Sum256(body)
		said := r.Header.Get("X-Amz-Checksum-Sha256")
		return said != "" && said != base64.StdEncoding.EncodeToString(sum[:])
	}
	enforcing := func(status int, code string) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, r *http.Request, body []byte) {
			if isWrong(r, body) {
				refuse(w, status, code)
			}
		}
	}
	for name, tt := range map[string]struct {
		put       func(w http.ResponseWriter, r *http.Request, body []byte)
		want      s3store.ChecksumSupport
		refused   bool // the error lasts
		temporary bool // the error doesn't
	}{
		"MinIO":              {put: enforcing(400, "XAmzContentChecksumMismatch"), want: s3store.ChecksumsEnforced},
		"AWS":                {put: enforcing(400, "BadDigest"), want: s3store.ChecksumsEnforced},
		"Garage":             {put: enforcing(400, "InvalidDigest"), want: s3store.ChecksumsEnforced},
		"words of the third": {put: enforcing(422, "ChecksumIsWrong"), want: s3store.ChecksumsEnforced},
		"ignores it":         {put: func(http.ResponseWriter, *http.Request, []byte) {}, want: s3store.ChecksumsIgnored},
		"does not know it": {put: func(w http.ResponseWriter, r *http.Request, _ []byte) {
			if r.Header.Get("X-Amz-Checksum-Sha256") != "" || r.Header.Get("X-Amz-Trailer") != "" {
				refuse(w, 501, "NotImplemented")
			}
		}, want: s3store.ChecksumsRefused, refused: true},
		"refuses the keys": {put: func(w http.ResponseWriter, _ *http.Request, _ []byte) { refuse(w, 403, "AccessDenied") }, refused: true},
		"is overloaded":    {put: func(w http.ResponseWriter, _ *http.Request, _ []byte) { refuse(w, 503, "SlowDown") }, temporary: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if r.Method == http.MethodDelete {
					w.WriteHeader(http.StatusNoContent)
				} else {
					w.Header().Set("ETag", `"etag"`)
					tt.put(w, r, body)
				}
			}))
			defer server.Close()
			o := s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secretsecret"}
			got, err := open(t, o).ChecksumSupport(t.Context())
			if got != tt.want || (err != nil) != (tt.refused || tt.temporary) {
				t.Fatalf("%q, %v; want %q", got, err, tt.want)
			}
			if err != nil && (!errors.Is(err, cas.ErrStoreUnavailable) || errors.Is(err, cas.ErrStoreRefused) != tt.refused) {
				t.Errorf("error %v", err)
			}
			if tt.refused && !strings.Contains(err.Error(), "The store's words") {
				t.Errorf("the error lacks the store's words: %v", err)
			}
			if tt.want != s3store.ChecksumsRefused {
				return
			}
			// With the setting uploads work.
			o.Checksums = s3store.ChecksumsOff
			s := open(t, o)
			if got, err := s.ChecksumSupport(t.Context()); got != s3store.ChecksumsUnsent || err != nil {
				t.Errorf("with the setting: %q, %v", got, err)
			}
			b := []byte("bytes")
			ref := cas.ObjectRef{Digest: cas.DigestOf(b)}
			if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, 5)); err != nil {
				t.Error(err)
			}
		})
	}
}

// What lasts until an operator acts is told apart from what passes by itself.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for code, tt := range map[string]struct {
		status int
		lasts  bool
	}{
		"AccessDenied":          {403, true},
		"InvalidAccessKeyId":    {403, true},
		"SignatureDoesNotMatch": {403, true},
		"NoSuchBucket":          {404, true},
		"NotImplemented":        {501, true},
		"SlowDown":              {503, false},
		"OperationAborted":      {409, false},
		"BadDigest":             {400, false}, // damaged on the way
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // the status is all that counts
				refuse(w, tt.status, code)
			}))
			defer server.Close()
			s := open(t, s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secretsecret"})
			b := []byte("bytes")
			ref := cas.ObjectRef{Digest: cas.DigestOf(b)}
			_, openErr := s.Open(t.Context(), ref, 0, -1)
			putErr := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(b), ref.Digest, 5))
			for what, err := range map[string]error{"get": openErr, "put": putErr} {
				if !errors.Is(err, cas.ErrStoreUnavailable) || errors.Is(err, cas.ErrStoreRefused) != tt.lasts {
					t.Errorf("%s: lasts is not %t: %v", what, tt.lasts, err)
				}
				if got := s3store.CodeOf(err); got != code {
					t.Errorf("%s: code %q", what, got)
				}
			}
		})
	}
}
