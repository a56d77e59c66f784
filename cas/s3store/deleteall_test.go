package s3store_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"casgate/cas"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
)

// Many objects go with one request, also where some are missing, and at other stores.
func TestDeleteAll(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]func(testing.TB) s3store.Options{
		"MinIO":     s3test.NewBucket,
		"versitygw": s3test.NewSecondBucket,
		"below a path, with a prefix": func(t testing.TB) s3store.Options {
			o := s3test.NewBelowPath(t, s3test.NewBucket(t))
			o.Prefix = "/a/folder/"
			return o
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, options(t))
			refs := []cas.ObjectRef{{Digest: cas.DigestOf([]byte("missing"))}}
			for range 5 {
				ref, _ := putRandom(t, s)
				refs = append(refs, ref)
			}
			kept, _ := putRandom(t, s)
			if left, err := s.DeleteAll(t.Context(), refs); err != nil || len(left) != 0 {
				t.Errorf("%d objects are left, error %v", len(left), err)
			}
			for _, ref := range refs {
				if _, err := s.Stat(t.Context(), ref); !errors.Is(err, cas.ErrObjectMissing) {
					t.Errorf("an object is still there: error %v", err)
				}
			}
			if _, err := s.Stat(t.Context(), kept); err != nil {
				t.Errorf("another object: %v", err)
			}
			if left, err := s.DeleteAll(t.Context(), nil); err != nil || len(left) != 0 {
				t.Errorf("of none %d are left, error %v", len(left), err)
			}
		})
	}
}

// A store that doesn't know the request, or answers something else, has removed nothing.
func TestDeleteAllIsNotKnown(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotImplemented) },
		"no XML":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }, // the client has its status
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(answer)
			t.Cleanup(server.Close)
			s := open(t, s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secret-key"})
			refs := []cas.ObjectRef{{Digest: cas.DigestOf([]byte("a"))}, {Digest: cas.DigestOf([]byte("b"))}}
			left, err := s.DeleteAll(t.Context(), refs)
			if err == nil || len(left) != len(refs) {
				t.Errorf("%d objects are left, error %v", len(left), err)
			}
		})
	}
}
