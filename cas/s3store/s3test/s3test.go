// Package s3test gives tests buckets of their own on a real S3-compatible store.
package s3test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"casgate/cas/castest"
	"casgate/cas/s3store"
)

var counter atomic.Int64

// EndpointVariable names the store. A package whose tests import s3test is tested when
// MinIO is up; see scripts/test.
const EndpointVariable = "CAS_TEST_S3_ENDPOINT"

// NewBucket makes an empty bucket on the store that CAS_TEST_S3_ENDPOINT,
// CAS_TEST_S3_ACCESS_KEY and CAS_TEST_S3_SECRET_KEY name, and removes it with
// all its objects when the test ends. Without a store the test is skipped, see
// castest.Service.
func NewBucket(t testing.TB) s3store.Options {
	t.Helper()
	return newBucket(t, EndpointVariable)
}

// SecondEndpointVariable names another make of store: versitygw, which has the same keys.
const SecondEndpointVariable = "CAS_TEST_VERSITYGW_ENDPOINT"

// NewSecondBucket is NewBucket on the other make of store.
func NewSecondBucket(t testing.TB) s3store.Options {
	t.Helper()
	return newBucket(t, SecondEndpointVariable)
}

func newBucket(t testing.TB, endpoint string) s3store.Options {
	t.Helper()
	o := s3store.Options{
		Endpoint:  castest.Service(t, endpoint),
		AccessKey: castest.Service(t, "CAS_TEST_S3_ACCESS_KEY"),
		SecretKey: castest.Service(t, "CAS_TEST_S3_SECRET_KEY"),
		Bucket:    fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), counter.Add(1)),
	}
	client := Client(t, o)
	if err := client.MakeBucket(context.Background(), o.Bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatalf("make a bucket for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := client.RemoveBucketWithOptions(context.Background(), o.Bucket, minio.RemoveBucketOptions{ForceDelete: true}); err != nil {
			t.Logf("remove the test's bucket: %v", err)
		}
	})
	return o
}

// Client returns a plain client for the same store, for checks without the gateway.
func Client(t testing.TB, o s3store.Options) *minio.Client {
	t.Helper()
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure: u.Scheme == "https",
		Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TemporaryKeys returns the options with keys that are valid for an hour, and that come
// with a session token.
func TemporaryKeys(t testing.TB, o s3store.Options) s3store.Options {
	t.Helper()
	role, err := credentials.NewSTSAssumeRole(o.Endpoint, credentials.STSAssumeRoleOptions{
		AccessKey: o.AccessKey, SecretKey: o.SecretKey, Location: "us-east-1", DurationSeconds: 3600,
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := role.GetWithContext(&credentials.CredContext{Client: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	o.AccessKey, o.SecretKey, o.SessionToken = keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken
	return o
}
