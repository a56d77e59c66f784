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
