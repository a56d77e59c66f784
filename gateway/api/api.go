// Package api holds the JSON shapes of the gateway's HTTP contract, shared by
// the server and its Go client.
package api

import (
	"time"

	"casgate/cas"
)

// Blob describes a blob.
type Blob struct {
	Digest    cas.Digest `json:"digest"`
	Size      int64      `json:"size"` // bytes
	MediaType string     `json:"media_type"`
	Name      string     `json:"name,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	// Deduplicated is in the answer to an upload only: true where the bytes were
	// there already and were not stored again.
	Deduplicated *bool `json:"deduplicated,omitempty"`
	// Asked is in the answer to an upload with providers= only: what became of the
	// copies it asked for. The blob is stored whatever it says.
	Asked []AskedCopy `json:"copies,omitempty"`
	// URL is the blob's hash URL.
	URL string `json:"url"`
}

// BlobMeta is a Blob with what refers to it.
type BlobMeta struct {
	Blob
	State cas.State `json:"state"` // live or suspect
	// Files are those that refer to it, oldest first: MaxMetaFiles of them at most.
	Files []File `json:"files"`
	// MoreFiles: there are others; GET /v1/files?sha256= lists them all.
	MoreFiles bool   `json:"more_files,omitempty"`
	Copies    []Copy `json:"copies"`
}

// MaxMetaFiles is how many files a BlobMeta lists at most.
const MaxMetaFiles = 100

// BlobPage is one page of a listing.
type BlobPage struct {
	Blobs []Blob `json:"blobs"`
	// Next is the cursor to pass as after= for the next page; empty at the end.
	Next string `json:"next,omitempty"`
}

// FindMissing is the request of POST /v1/blobs/find-missing.
type FindMissing struct {
	Digests []cas.Digest `json:"digests"` // at most MaxFindMissing
}

// MaxFindMissing is the most digests one find-missing request may name.
const MaxFindMissing = 1000

// Missing is the answer of POST /v1/blobs/find-missing.
type Missing struct {
	Missing []cas.Digest `json:"missing"`
}

// SignURL is the request of POST /v1/blobs/{digest}/url.
type SignURL struct {
	ExpiresIn int64 `json:"expires_in"` // seconds, 1 to MaxURLLife
}

// MaxURLLife is the longest a signed URL may live, in seconds: seven days, as
// S3's presigned URLs.
const MaxURLLife = 7 * 24 * 60 * 60

// SignedURL is the answer of POST /v1/blobs/{digest}/url.
type SignedURL struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Deleted is the answer of DELETE /v1/blobs/{digest}.
type Deleted struct {
	Digest cas.Digest `json:"digest"`
	State  cas.State  `json:"state"` // condemned
}

// Health is the answer of GET /healthz and GET /readyz.
type Health struct {
	Status string            `json:"status"`           // ok or unavailable
	Checks map[string]string `json:"checks,omitempty"` // part → ok, or what is wrong
	// Providers says how each configured provider fares: ok, simulated, or what is
	// wrong. It has no bearing on the status: a gateway stays of use without them.
	Providers map[string]string `json:"providers,omitempty"`
	// Warning is what nobody should overlook: that providers are simulated.
	Warning string `json:"warning,omitempty"`
}

// Code is a problem's stable, machine-readable name.
type Code string

// The problem codes.
const (
	CodeInvalidDigest       Code = "invalid_digest"
	CodeInvalidRequest      Code = "invalid_request"
	CodeUnauthenticated     Code = "unauthenticated"
	CodeForbidden           Code = "forbidden"
	CodeBlobNotFound        Code = "blob_not_found"
	CodeNotFound            Code = "not_found"
	CodeMethodNotAllowed    Code = "method_not_allowed"
	CodeRequestTimeout      Code = "request_timeout"
	CodeBlobInUse           Code = "blob_in_use"
	CodeLengthRequired      Code = "length_required"
	CodePreconditionFailed  Code = "precondition_failed"
	CodeBlobTooLarge        Code = "blob_too_large"
	CodeUnsupportedMedia    Code = "unsupported_media_type"
	CodeRangeNotSatisfiable Code = "range_not_satisfiable"
	CodeDigestMismatch      Code = "digest_mismatch"
	CodeTooManyRequests     Code = "too_many_requests"
	CodeInternal            Code = "internal"
	CodeObjectMissing       Code = "object_missing"
	CodeObjectCorrupt       Code = "object_corrupt"
	CodeIndexUnavailable    Code = "index_unavailable"
	CodeStoreUnavailable    Code = "store_unavailable"
	CodeOverloaded          Code = "overloaded"
	CodeNoSpace             Code = "no_space"

	CodeFileNotFound      Code = "file_not_found"
	CodeDuplicateFile     Code = "duplicate_file"
	CodeOriginUnavailable Code = "origin_unavailable"

	CodeCopyNotFound        Code = "copy_not_found"
	CodeProviderNotFound    Code = "provider_not_found"
	CodeOperationNotFound   Code = "operation_not_found"
	CodeCopyInProgress      Code = "copy_in_progress"
	CodeProviderRejected    Code = "provider_rejected"
	CodeProviderRateLimited Code = "provider_rate_limited"
	CodeProviderFailed      Code = "provider_failed"
	CodeProviderUnavailable Code = "provider_unavailable"
	CodeProviderTimeout     Code = "provider_timeout"
	CodeProviderQuota       Code = "provider_quota"
)

// Problem is an error answer: RFC 9457, application/problem+json.
type Problem struct {
	Type        string `json:"type"`
	Title       string `json:"title"`
	Status      int    `json:"status"`
	Detail      string `json:"detail,omitempty"`
	Code        Code   `json:"code"`
	OperationID string `json:"operation_id,omitempty"`
	// Retryable: the same request may succeed later, unchanged.
	Retryable bool `json:"retryable"`
	// RetryAfter is when, in seconds, where the gateway knows.
	RetryAfter int `json:"retry_after,omitempty"`
	// The provider's own words, where it was a provider that failed.
	Provider        string `json:"provider,omitempty"`
	ProviderCode    string `json:"provider_code,omitempty"`
	ProviderMessage string `json:"provider_message,omitempty"`
}
