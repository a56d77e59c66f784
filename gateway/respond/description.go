package respond

import (
	"encoding/binary"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/request"
	"casgate/gateway/send"
)

const (
	// sandbox keeps scripts in blobs from running with the gateway's origin.
	sandbox = "sandbox; default-src 'none'"
	// mediaSandbox lets browsers play audio and video that they open by its URL: they
	// show it in a page of their own, which loads the same URL. It can't run scripts.
	mediaSandbox = "sandbox allow-same-origin; default-src 'none'; media-src 'self'"
)

// securityPolicy returns the Content-Security-Policy of a blob.
func securityPolicy(mediaType string) string {
	mediaType = strings.ToLower(mediaType)
	if strings.HasPrefix(mediaType, "audio/") || strings.HasPrefix(mediaType, "video/") {
		return mediaSandbox
	}
	return sandbox
}

// lastModified returns the time of a blob's upload, or "" if it is not known.
func lastModified(blob cas.Blob) string {
	if blob.CreatedAt.IsZero() {
		return ""
	}
	return blob.CreatedAt.UTC().Format(http.TimeFormat)
}

// description is what answers say of a blob, which is the same for 200, 206 and 304. It never
// changes.
type description struct {
	of        shown
	etag      string
	mediaType []string // one, the value of Content-Type
	header    send.Header
}

// shown is all that a description comes from.
type shown struct {
	digest          cas.Digest
	mediaType, name string
	createdAt       time.Time
	options         BlobOptions
}

// descriptions has descriptions that were needed lately, each where its digest hashes to: to
// make one costs as much as all else that a hot answer needs of this package.
var descriptions [1024]atomic.Pointer[description]

// describe returns the description of a blob.
func describe(blob cas.Blob, o BlobOptions) *description {
	o.Redirect = nil // it describes nothing
	of := shown{blob.Digest, blob.MediaType, blob.Name, blob.CreatedAt, o}
	place := &descriptions[binary.LittleEndian.Uint16(blob.Digest[:])%uint16(len(descriptions))]
	if known := place.Load(); known != nil && known.of == of {
		return known
	}
	made := newDescription(of)
	place.Store(made)
	return made
}

func newDescription(of shown) *description {
	blob := cas.Blob{Digest: of.digest, MediaType: cas.ShownMediaType(of.mediaType), Name: of.name, CreatedAt: of.createdAt}
	etag := request.ETag(of.digest)
	return &description{
		of:        of,
		etag:      etag,
		mediaType: []string{blob.MediaType},
		header: send.NewHeader(
			send.Field{Name: "Etag", Value: etag},
			send.Field{Name: request.HeaderReprDigest, Value: request.FormatDigest(of.digest)},
			send.Field{Name: "Accept-Ranges", Value: "bytes"},
			send.Field{Name: echo.HeaderCacheControl, Value: of.options.CacheControl},
			send.Field{Name: echo.HeaderXContentTypeOptions, Value: "nosniff"},
			send.Field{Name: echo.HeaderContentSecurityPolicy, Value: securityPolicy(blob.MediaType)},
			send.Field{Name: echo.HeaderContentDisposition, Value: contentDisposition(blob, of.options.Download)},
			send.Field{Name: echo.HeaderLastModified, Value: lastModified(blob)},
			send.Field{Name: "Content-Location", Value: of.options.Location},
		),
	}
}
