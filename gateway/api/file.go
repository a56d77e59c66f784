package api

import (
	"encoding/json"

	"casgate/cas"
	"casgate/gateway/problem"
)

// File is a named reference to a blob. It has the form of OpenAI's API, with more
// fields. Times are in seconds since 1970.
type File struct {
	ID     string `json:"id" see:"any"`
	Object string `json:"object" see:"any"` // ObjectFile
	// Bytes is the size; 0 while the size of an imported file isn't known.
	Bytes     int64 `json:"bytes"`
	CreatedAt int64 `json:"created_at"`
	ExpiresAt int64 `json:"expires_at,omitempty"` // absent: never
	// OnExpiry is cas.OnExpiryEverywhere if the file's blob is deleted with the file when it
	// expires, unless other files refer to the blob. Absent: only the file is deleted.
	OnExpiry string `json:"on_expiry,omitempty"`
	Filename string `json:"filename"`
	Purpose  string `json:"purpose"`
	// Status is FileProcessed or FileFailed. FileFailed means that the bytes of an
	// imported file could not be taken in; StatusDetails says why.
	Status        string `json:"status"`
	StatusDetails string `json:"status_details,omitempty"`

	// SHA256 is the digest in hexadecimal. It is null for an imported file until the first
	// access takes its bytes in.
	SHA256    *string         `json:"sha256"`
	MediaType string          `json:"media_type"`
	Context   string          `json:"context"`
	Tags      []string        `json:"tags"`
	Metadata  json.RawMessage `json:"metadata"` // an object
	// URL is the blob's hash URL; absent while SHA256 is null.
	URL            string `json:"url,omitempty"`
	LastAccessedAt int64  `json:"last_accessed_at,omitempty"` // absent: never
	// Asked is only in the answer to an upload with providers: the state of each requested
	// copy. The file is stored in any case.
	Asked []AskedCopy `json:"copies,omitempty"`
}

// FileFromBlob is the request of POST /v1/files in JSON: it makes a file of a blob that
// is there. The fields are those of the form.
type FileFromBlob struct {
	Digest          *cas.Digest     `json:"digest"`
	Filename        string          `json:"filename"`
	Purpose         string          `json:"purpose"`
	MediaType       string          `json:"media_type,omitempty"`
	Context         string          `json:"context,omitempty"`
	Tags            []string        `json:"tags,omitempty"`
	Metadata        json.RawMessage `json:"metadata,omitempty"` // an object
	ExpiresAfter    *ExpiresAfter   `json:"expires_after,omitempty"`
	OnExpiry        string          `json:"on_expiry,omitempty"`
	Providers       []string        `json:"providers,omitempty"`
	AllowDuplicates *bool           `json:"allow_duplicates,omitempty"` // absent: true
}

// ExpiresAfter says when a file expires.
type ExpiresAfter struct {
	Anchor  string `json:"anchor"` // AnchorCreatedAt
	Seconds int64  `json:"seconds"`
}

// AnchorCreatedAt is the only anchor of ExpiresAfter.
const AnchorCreatedAt = "created_at"

// The values of Object and Status.
const (
	ObjectFile    = "file"
	ObjectList    = "list"
	FileProcessed = "processed"
	FileFailed    = "error"
)

// Digest returns the digest of the file's bytes; zero if it isn't known yet.
func (f File) Digest() cas.Digest {
	if f.SHA256 == nil {
		return cas.Digest{}
	}
	d, err := cas.ParseDigest("sha256:" + *f.SHA256)
	if err != nil {
		return cas.Digest{} // no gateway sends this
	}
	return d
}

// FileList is one page of files.
type FileList struct {
	Object string `json:"object"` // ObjectList
	Data   []File `json:"data"`
	// FirstID and LastID are null if Data is empty. LastID is the after= of the next page.
	FirstID *string `json:"first_id"`
	LastID  *string `json:"last_id"`
	// HasMore is true if there is a next page with at least one file.
	HasMore bool `json:"has_more"`
}

// MaxFilePage bounds the files on a page. It is also the default.
const MaxFilePage = 10_000

// FileDeleted is the answer of DELETE /v1/files/{id}.
type FileDeleted struct {
	ID      string `json:"id" see:"any"`
	Object  string `json:"object" see:"any"` // ObjectFile
	Deleted bool   `json:"deleted" see:"any"`
}

// ErrorAnswer is an error answer of any route: a problem, and beside its members the
// object that SDKs for OpenAI's API read.
type ErrorAnswer struct {
	problem.Details
	Error ErrorBody `json:"error" see:"any"`
}

// ErrorBody is an error in the form of OpenAI's API.
type ErrorBody struct {
	Message string `json:"message" see:"any"`
	Type    string `json:"type" see:"any"`
	// Param names the field or parameter that is wrong; null if the error is another one.
	Param *string      `json:"param" see:"any"`
	Code  problem.Code `json:"code" see:"any"`
	// File is the existing file if the code is problem.DuplicateFile.
	File *File `json:"file,omitempty" see:"any"`
	// The provider's own name for the error and its own words, if a provider failed.
	Provider        string `json:"provider,omitempty" see:"any"`
	ProviderCode    string `json:"provider_code,omitempty" see:"any"`
	ProviderMessage string `json:"provider_message,omitempty"`
}

// The types of errors in OpenAI's API, and the header that its SDKs read.
const (
	ErrorInvalidRequest = "invalid_request_error"
	ErrorAuthentication = "authentication_error"
	ErrorPermission     = "permission_error"
	ErrorRateLimit      = "rate_limit_error"
	ErrorServer         = "server_error"
	HeaderShouldRetry   = "X-Should-Retry" // true or false
	// HeaderOwnError is true in an error of the gateway's own.
	HeaderOwnError = "X-Casgate-Error"
)
