package api

import (
	"time"

	"casgate/cas"
)

// Blob describes a blob.
type Blob struct {
	Digest    cas.Digest `json:"digest" see:"any"`
	Size      int64      `json:"size"` // bytes
	MediaType string     `json:"media_type"`
	Name      string     `json:"name,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	// Deduplicated is only in the answer to an upload. It is true if the bytes existed
	// and were not stored again.
	Deduplicated *bool `json:"deduplicated,omitempty" see:"any"`
	// Asked is only in the answer to an upload with providers=: the state of each
	// requested copy. The blob is stored in any case.
	Asked []AskedCopy `json:"copies,omitempty" see:"any"`
	// URL is the blob's hash URL.
	URL string `json:"url" see:"any"`
}

// BlobMeta is a Blob with its files and copies.
type BlobMeta struct {
	Blob
	State cas.State `json:"state"` // live or suspect
	// Files refer to the blob; oldest first, at most MaxMetaFiles.
	Files []File `json:"files"`
	// MoreFiles: there are more files; GET /v1/files?sha256= lists all.
	MoreFiles bool   `json:"more_files,omitempty"`
	Copies    []Copy `json:"copies"`
}

// MaxMetaFiles bounds the files of a BlobMeta.
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

// MaxFindMissing bounds the digests of one find-missing request.
const MaxFindMissing = 1000

// Missing is the answer of POST /v1/blobs/find-missing.
type Missing struct {
	Missing []cas.Digest `json:"missing" see:"any"`
	// Present are the others, each once, if the request asked for them. It is nil in the
	// answer of an earlier version.
	Present []Blob `json:"present,omitempty"`
}

// SignURL is the request of POST /v1/blobs/{digest}/url.
type SignURL struct {
	ExpiresIn int64 `json:"expires_in"` // seconds, 1 to MaxURLLife
}

// MaxURLLife bounds the life of a signed URL, in seconds: seven days, like S3's
// presigned URLs.
const MaxURLLife = 7 * 24 * 60 * 60

// SignedURL is the answer of POST /v1/blobs/{digest}/url.
type SignedURL struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Deleted is the answer of DELETE /v1/blobs/{digest}.
type Deleted struct {
	Digest cas.Digest `json:"digest" see:"any"`
	State  cas.State  `json:"state" see:"any"` // condemned
}
