package api

import (
	"encoding/json"

	"casgate/cas"
	"casgate/gateway/problem"
)

// File is a named reference to a blob, as OpenAI's API shapes it, and what is
// known of it beyond that. Its times are in seconds since 1970.
type File struct {
	ID     string `json:"id"`
	Object string `json:"object"` // ObjectFile
	// Bytes is the size; 0 while an imported file's isn't known.
	Bytes     int64  `json:"bytes"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt int64  `json:"expires_at,omitempty"` // absent: never
	Filename  string `json:"filename"`
	Purpose   string `json:"purpose"`
	// Status is FileProcessed, or FileFailed where the bytes of an imported file could
	// not be taken in; StatusDetails then says why.
	Status        string `json:"status"`
	StatusDetails string `json:"status_details,omitempty"`

	// SHA256 is the digest in hexadecimal; null while the bytes of an imported file have
	// not been taken in, which the first access to them does.
	SHA256    *string         `json:"sha256"`
	MediaType string          `json:"media_type"`
	Context   string          `json:"context"`
	Tags      []string        `json:"tags"`
	Metadata  json.RawMessage `json:"metadata"` // an object
	// URL is the blob's hash URL; absent while SHA256 is null.
	URL            string `json:"url,omitempty"`
	LastAccessedAt int64  `json:"last_accessed_at,omitempty"` // absent: never
	// Asked is in the answer to an upload with providers only: what became of the
	// copies it asked for. The file is there whatever it says.
	Asked []AskedCopy `json:"copies,omitempty"`
}

// What is always so of files, and the states that the gateway's are in.
const (
	ObjectFile    = "file"
	ObjectList    = "list"
	FileProcessed = "processed"
	FileFailed    = "error"
)

// Digest returns the digest of the file's bytes; zero where it isn't known yet.
func (f File) Digest() cas.Digest {
	if f.SHA256 == nil {
		return cas.Digest{}
	}
	d, err := cas.ParseDigest("sha256:" + *f.SHA256)
	if err != nil {
		return cas.Digest{} // no gateway sends such a thing
	}
	return d
}

// FileList is one page of files.
type FileList struct {
	Object string `json:"object"` // ObjectList
	Data   []File `json:"data"`
	// FirstID and LastID are null where Data is empty. LastID is what to pass as after=
	// for the next page.
	FirstID *string `json:"first_id"`
	LastID  *string `json:"last_id"`
	// HasMore is true where there is a next page, with at least one file.
	HasMore bool `json:"has_more"`
}

// MaxFilePage is the most files on a page, and how many there are on one where the
// request doesn't say.
const MaxFilePage = 10_000

// FileDeleted is the answer of DELETE /v1/files/{id}.
type FileDeleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"` // ObjectFile
	Deleted bool   `json:"deleted"`
}

// FileError is an error answer of all routes below /v1/files: a Problem in the
// shape of OpenAI's API.
type FileError struct {
	Error ErrorBody `json:"error"`
}

// ErrorBody is what a FileError has in it.
type ErrorBody struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	// Param names the field or parameter that is wrong; null where it is none.
	Param *string      `json:"param"`
	Code  problem.Code `json:"code"`
	// File is the file that is there already, of problem.DuplicateFile.
	File *File `json:"file,omitempty"`
	// The provider's own words, where it was a provider that failed.
	Provider        string `json:"provider,omitempty"`
	ProviderCode    string `json:"provider_code,omitempty"`
	ProviderMessage string `json:"provider_message,omitempty"`
}

// The types of errors, as OpenAI's API has them.
const (
	ErrorInvalidRequest = "invalid_request_error"
	ErrorAuthentication = "authentication_error"
	ErrorPermission     = "permission_error"
	ErrorRateLimit      = "rate_limit_error"
	ErrorServer         = "server_error"
	HeaderShouldRetry   = "X-Should-Retry" // true or false: what SDKs go by
)
