package s3store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
)

// A bucket below a path, as at Supabase, passes the kit; so does one below a prefix, and
// a store that gets no checksums.
func TestPlacement(t *testing.T) {
	castest.RunObjectStore(t, func(t *testing.T) cas.ObjectStore {
		o := s3test.NewBelowPath(t, s3test.NewBucket(t))
		o.Prefix, o.Checksums = "/a/folder/", s3store.ChecksumsOff
		return open(t, o)
	})
}

func putRandom(t *testing.T, s *s3store.Store) (cas.ObjectRef, []byte) {
	t.Helper()
	data := castest.RandomBytes(1000)
	ref := cas.ObjectRef{Digest: cas.DigestOf(data)}
	if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(data), ref.Digest, int64(len(data)))); err != nil {
		t.Fatal(err)
	}
	return ref, data
}

// Stores below different prefixes of one bucket don't see each other's objects.
func TestPrefixesAreApart(t *testing.T) {
	t.Parallel()
	o := s3test.NewBucket(t)
	var stores []*s3store.Store
	for _, prefix := range []string{"", "one", "one/two"} {
		o.Prefix = prefix
		stores = append(stores, open(t, o))
	}
	for i, s := range stores {
		ref, _ := putRandom(t, s)
		if err := s.SetMark(t.Context(), fmt.Sprint("mark ", i)); err != nil {
			t.Fatal(err)
		}
		var listed []cas.ObjectRef
		for found, err := range s.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			listed = append(listed, found.ObjectRef)
		}
		if !slices.Equal(listed, []cas.ObjectRef{ref}) {
			t.Errorf("store %d lists %v, want %v", i, listed, ref)
		}
	}
	for i, s := range stores {
		if mark, err := s.Mark(t.Context()); err != nil || mark != fmt.Sprint("mark ", i) {
			t.Errorf("store %d has mark %q, %v", i, mark, err)
		}
	}
}

// A presigned URL has the endpoint's path, and a signature that covers it.
func TestPresignBelowPath(t *testing.T) {
	t.Parallel()
	o := s3test.NewBelowPath(t, s3test.NewBucket(t))
	s := open(t, o)
	ref, data := putRandom(t, s)
	url, err := s.PresignGet(t.Context(), cas.Blob{Digest: ref.Digest, MediaType: "application/pdf", Name: "a b.pdf"}, time.Minute)
	if err != nil || !strings.Contains(url, s3test.Below+"/"+o.Bucket) {
		t.Fatalf("%q, %v", url, err)
	}
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil || !bytes.Equal(got, data) || response.Header.Get("Content-Type") != "application/pdf" {
		t.Errorf("status %d, %d bytes of %q, error %v", response.StatusCode, len(got), response.Header.Get("Content-Type"), err)
	}
	if _, err := s.PresignGet(t.Context(), cas.Blob{Digest: ref.Digest}, 8*24*time.Hour); err == nil {
		t.Error("a URL for eight days was made, which S3 refuses")
	}
}

// A container's role has the credentials: its endpoint is asked as the AWS SDKs do it.
// The keys are temporary, so each request has their session token.
func TestRole(t *testing.T) {
	o := s3test.NewBucket(t)
	role := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":%q,"Token":"","Expiration":%q}`,
			o.AccessKey, o.SecretKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer role.Close()
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", role.URL+"/role")
	for name, o := range map[string]s3store.Options{"plain": o, "below a path": s3test.NewBelowPath(t, o)} {
		withRole := o
		withRole.AccessKey, withRole.SecretKey, withRole.Role = "", "", true
		putRandom(t, open(t, withRole))
		o.Role = true
		if _, err := s3store.New(o); err == nil {
			t.Errorf("%s: a role and keys were accepted", name)
		}
	}
}

// Temporary keys come with a session token. The store gets it with each request, and
// MinIO refuses a wrong one.
func TestSessionToken(t *testing.T) {
	t.Parallel()
	o := s3test.NewBucket(t)
	temporary := s3test.TemporaryKeys(t, o)
	putRandom(t, open(t, temporary))
	temporary.SessionToken = strings.ToUpper(temporary.SessionToken)
	if err := open(t, temporary).Check(t.Context()); !errors.Is(err, cas.ErrStoreRefused) {
		t.Errorf("with a wrong token: %v", err)
	}
}

func TestIsVersioned(t *testing.T) {
	t.Parallel()
	o := s3test.NewBucket(t)
	s := open(t, o)
	for _, want := range []bool{false, true} {
		if want {
			if err := s3test.Client(t, o).SetBucketVersioning(t.Context(), o.Bucket, minio.BucketVersioningConfiguration{Status: "Enabled"}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.IsVersioned(t.Context()); err != nil || got != want {
			t.Errorf("IsVersioned: %t, %v; want %t", got, err, want)
		}
	}
}
