package respond

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/request"
)

// Redirect answers reads of large blobs with a URL at which the object store serves the
// bytes itself. The store doesn't verify them, so the client has to.
type Redirect struct {
	// Above is the size of the largest blob, in bytes, that the gateway still serves.
	Above int64
	// URL returns a URL that reads an object for a time of at least a second. The store sends
	// these fields with it: Content-Type, Content-Disposition and Cache-Control.
	URL func(ctx context.Context, ref cas.ObjectRef, life time.Duration, shown http.Header) (string, error)
	// Used notes that a blob is read.
	Used func(cas.Digest)
}

// redirectLife is how long the URL of a redirect works, at most. A transfer that has begun
// may take longer.
const redirectLife = 15 * time.Minute

// ownTags are fields that compare with the gateway's own entity tag and times. The object
// store, which has others, would answer them wrongly.
var ownTags = []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"}

// wants reports whether a request is redirected.
func (r *Redirect) wants(req *http.Request, blob cas.Blob) bool {
	if r == nil || req.Method != http.MethodGet || blob.Size <= r.Above || blob.State != cas.StateLive {
		return false
	}
	for _, name := range ownTags {
		if len(req.Header[name]) > 0 {
			return false
		}
	}
	// Clients send these fields to the bucket, too: only Authorization and cookies stay behind.
	for _, name := range request.KeyHeaders {
		if len(req.Header[name]) > 0 {
			return false
		}
	}
	// A page's own requests would need a policy of the bucket for other origins.
	mode := req.Header.Get("Sec-Fetch-Mode")
	if req.Header.Get("Origin") != "" || mode != "" && mode != "navigate" {
		return false
	}
	return !request.NoRedirect(req)
}

// answer redirects a request.
func (r *Redirect) answer(c echo.Context, blob cas.Blob, o BlobOptions) error {
	shown := http.Header{}
	shown.Set(echo.HeaderContentType, blob.MediaType)
	shown.Set(echo.HeaderCacheControl, o.CacheControl)
	if disposition := contentDisposition(blob, o.Download); disposition != "" {
		shown.Set(echo.HeaderContentDisposition, disposition)
	}
	life := redirectLife
	if expires := request.StateOf(c).URLExpires; !expires.IsZero() {
		life = max(min(life, time.Until(expires)), time.Second) // no longer than the signed URL itself
	}
	address, err := r.URL(c.Request().Context(), blob.Object(), life, shown)
	if err != nil {
		return err
	}
	r.Used(blob.Digest)
	h := request.StateOf(c).Header()
	h.Del(echo.HeaderContentType)              // the blob's
	h.Set(echo.HeaderCacheControl, "no-store") // the URL works for a short time only
	h.Set(request.HeaderReprDigest, request.FormatDigest(blob.Digest))
	return c.Redirect(http.StatusTemporaryRedirect, address)
}
