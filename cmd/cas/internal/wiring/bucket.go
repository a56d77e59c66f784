package wiring

import (
	"errors"
	"net/http"

	"casgate/cas/s3store"
)

// What a bucket's store does with checksums.
const (
	ChecksumsEnforced = s3store.ChecksumsEnforced
	ChecksumsIgnored  = s3store.ChecksumsIgnored
	ChecksumsRefused  = s3store.ChecksumsRefused
	ChecksumsUnsent   = s3store.ChecksumsUnsent
)

// bucketRemedies has what to do about the error codes of S3.
var bucketRemedies = map[string]string{
	"RequestTimeTooSkewed":         "set this machine's clock by NTP",
	"InvalidAccessKeyId":           "the store does not know CAS_S3_ACCESS_KEY: correct it",
	"XAdminUserNotFound":           "the store does not know CAS_S3_ACCESS_KEY: correct it", // versitygw
	"SignatureDoesNotMatch":        "CAS_S3_SECRET_KEY does not belong to CAS_S3_ACCESS_KEY: correct it",
	"InvalidToken":                 "the session token is wrong: correct CAS_S3_SESSION_TOKEN",
	"ExpiredToken":                 "the session token has expired: set a new CAS_S3_SESSION_TOKEN and new keys, or use CAS_S3_CREDENTIALS=iam",
	"AccessDenied":                 "give the keys a policy that allows to get, put, delete and list in the bucket",
	"NoSuchBucket":                 "make the bucket, or start with `cas serve --create-bucket`",
	"AuthorizationHeaderMalformed": "set CAS_S3_REGION to the bucket's region",
	"PermanentRedirect":            "set CAS_S3_REGION to the bucket's region",
}

// BucketRemedy returns what to do about an error of a bucket's store; "" if it does not
// tell.
func BucketRemedy(err error) string {
	if errors.Is(err, s3store.ErrNoBucket) {
		return bucketRemedies["NoSuchBucket"]
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "the store speaks plain HTTP there: write http:// in CAS_S3_ENDPOINT, or name its port for HTTPS"
	}
	return bucketRemedies[s3store.CodeOf(err)]
}
