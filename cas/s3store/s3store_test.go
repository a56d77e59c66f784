package s3store_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
)

func open(t testing.TB, o s3store.Options) *s3store.Store {
	t.Helper()
	s, err := s3store.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestObjectStore(t *testing.T) {
	castest.RunObjectStore(t, func(t *testing.T) cas.ObjectStore { return open(t, s3test.NewBucket(t)) })
}

// Another make of store passes the kit too, and enforces checksums.
func TestObjectStoreOnVersitygw(t *testing.T) {
	castest.Slow(t)
	castest.RunObjectStore(t, func(t *testing.T) cas.ObjectStore { return open(t, s3test.NewSecondBucket(t)) })
	support, err := open(t, s3test.NewSecondBucket(t)).ChecksumSupport(t.Context())
	if err != nil || support != s3store.ChecksumsEnforced {
		t.Errorf("ChecksumSupport: %s, %v", support, err)
	}
}

func BenchmarkPut(b *testing.B) { castest.BenchmarkPut(b, open(b, s3test.NewBucket(b))) }

// The server itself must keep and enforce the checksum: it protects what our own
// reader can't see, the way between the two.
func TestServerKeepsTheChecksum(t *testing.T) {
	o := s3test.NewBucket(t)
	s := open(t, o)
	data := castest.RandomBytes(20 << 20) // beyond minio-go's threshold for multipart
	ref := cas.ObjectRef{Digest: cas.DigestOf(data)}
	if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(data), ref.Digest, int64(len(data)))); err != nil {
		t.Fatal(err)
	}
	info, err := s3test.Client(t, o).StatObject(t.Context(), o.Bucket, ref.Key(), minio.StatObjectOptions{Checksum: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := base64.StdEncoding.EncodeToString(ref.Digest[:]); info.ChecksumSHA256 != want {
		t.Errorf("the server keeps checksum %q, want %q", info.ChecksumSHA256, want)
	}
	if info.UserMetadata["X-Amz-Checksum-Sha256"] != "" {
		t.Error("the checksum went in as plain metadata")
	}
}

func TestProbeChecksumEnforcement(t *testing.T) {
	s := open(t, s3test.NewBucket(t))
	support, err := s.ChecksumSupport(t.Context())
	if err != nil || support != s3store.ChecksumsEnforced {
		t.Fatalf("ChecksumSupport: %s, %v; MinIO enforces them", support, err)
	}
}

func TestCreateBucketTwice(t *testing.T) {
	o := s3test.NewBucket(t)
	o.Bucket += "-new"
	s := open(t, o)
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no bucket") {
		t.Fatalf("Check without the bucket: %v", err)
	}
	for range 2 {
		if err := s.CreateBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s3test.Client(t, o).RemoveBucket(t.Context(), o.Bucket); err != nil {
		t.Fatal(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := s3store.Options{Endpoint: "http://127.0.0.1:9000", Bucket: "casgate", AccessKey: "a", SecretKey: "b"}
	for name, change := range map[string]func(*s3store.Options){
		"no scheme":         func(o *s3store.Options) { o.Endpoint = "127.0.0.1:9000" },
		"no host":           func(o *s3store.Options) { o.Endpoint = "http://" },
		"other scheme":      func(o *s3store.Options) { o.Endpoint = "s3://host" },
		"query":             func(o *s3store.Options) { o.Endpoint = "http://host/path?a=b" },
		"keys in the URL":   func(o *s3store.Options) { o.Endpoint = "http://key:secretword@host" },
		"short bucket name": func(o *s3store.Options) { o.Bucket = "ab" },
		"no secret key":     func(o *s3store.Options) { o.SecretKey = "" },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			_, err := s3store.New(o)
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), "secretword") {
				t.Errorf("the error contains the secret: %v", err)
			}
		})
	}
	if _, err := s3store.New(good); err != nil {
		t.Fatal(err)
	}
}

// A presigned URL reads the object, with the blob's media type and name, without a key.
func TestPresignGet(t *testing.T) {
	s := open(t, s3test.NewBucket(t))
	data := castest.RandomBytes(1000)
	ref := cas.ObjectRef{Digest: cas.DigestOf(data)}
	if err := s.Put(t.Context(), ref, cas.NewVerifyingReader(bytes.NewReader(data), ref.Digest, int64(len(data)))); err != nil {
		t.Fatal(err)
	}
	url, err := s.PresignGet(t.Context(), cas.Blob{Digest: ref.Digest, MediaType: "application/pdf", Name: "a b.pdf"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, data) || resp.Header.Get("Content-Type") != "application/pdf" {
		t.Errorf("status %d, %d bytes of %q, error %v", resp.StatusCode, len(got), resp.Header.Get("Content-Type"), err)
	}
	if got := resp.Header.Get("Content-Disposition"); got != `inline; filename="a b.pdf"` {
		t.Errorf("Content-Disposition %q", got)
	}
	if _, err := s.PresignGet(t.Context(), cas.Blob{Digest: ref.Digest}, 8*24*time.Hour); err == nil {
		t.Error("a URL for eight days was made, which S3 refuses")
	}
}
