package client

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
)

const blobsPath = "/v1/blobs"

func blobPath(d cas.Digest) string { return blobsPath + "/" + d.String() }

// BlobURL is a hash URL, taken apart.
type BlobURL struct {
	Base      string // the gateway's URL
	Digest    cas.Digest
	Signature url.Values // of a signed URL, else nil
}

// ParseBlobURL takes a hash URL apart, signed or not.
func ParseBlobURL(text string) (BlobURL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return BlobURL{}, fmt.Errorf("%w: the URL is malformed", cas.ErrInvalidDigest)
	}
	at := strings.LastIndex(u.Path, blobsPath+"/")
	if at < 0 {
		return BlobURL{}, fmt.Errorf("%w: the URL is not one that ends in %s/sha256:…", cas.ErrInvalidDigest, blobsPath)
	}
	b := BlobURL{}
	if b.Digest, err = cas.ParseDigest(u.Path[at+len(blobsPath)+1:]); err != nil {
		return BlobURL{}, err
	}
	// The name to save under, which any hash URL may have, is no signature.
	if query := u.Query(); len(query) > 1 || len(query) == 1 && !query.Has("download") {
		b.Signature = query
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = u.Path[:at], "", "", ""
	b.Base, err = parseBase(u.String())
	return b, err
}

// Meta returns what the gateway knows of a blob.
func (c *Client) Meta(ctx context.Context, d cas.Digest) (api.BlobMeta, error) {
	var meta api.BlobMeta
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: blobPath(d) + "/meta", mayRetry: always}, &meta)
	return meta, err
}

// Delete makes a blob unreadable; its bytes go later. A blob that files refer to
// is deleted only by force. A Delete is never retried, since one that succeeded
// unheard would then seem to have found no blob.
func (c *Client) Delete(ctx context.Context, d cas.Digest, force bool) error {
	r := &request{method: http.MethodDelete, path: blobPath(d)}
	if force {
		r.query = url.Values{"force": {"true"}}
	}
	return c.doJSON(ctx, r, &api.Deleted{})
}

// ListOptions select blobs. The zero value of each field selects all.
type ListOptions struct {
	MediaType string // equal to
	MinSize   int64  // bytes, inclusive
	MaxSize   *int64 // bytes, inclusive
	// PageSize is how many to ask for at a time; 0 leaves that to the gateway.
	PageSize int
}

func (o ListOptions) query() url.Values {
	q := url.Values{}
	if o.MediaType != "" {
		q.Set("media_type", o.MediaType)
	}
	if o.MinSize > 0 {
		q.Set("min_size", strconv.FormatInt(o.MinSize, 10))
	}
	if o.MaxSize != nil {
		q.Set("max_size", strconv.FormatInt(*o.MaxSize, 10))
	}
	if o.PageSize > 0 {
		q.Set("limit", strconv.Itoa(o.PageSize))
	}
	return q
}

// List yields blobs by creation, oldest first, and asks for each page as it is
// needed. An error is the last thing it yields.
func (c *Client) List(ctx context.Context, o ListOptions) iter.Seq2[api.Blob, error] {
	return func(yield func(api.Blob, error) bool) {
		query := o.query()
		for {
			var page api.BlobPage
			r := &request{method: http.MethodGet, path: blobsPath, query: maps.Clone(query), mayRetry: always}
			if err := c.doJSON(ctx, r, &page); err != nil {
				yield(api.Blob{}, err)
				return
			}
			for _, blob := range page.Blobs {
				if !yield(blob, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			if page.Next == query.Get("after") {
				yield(api.Blob{}, fmt.Errorf("%s sends the same page of blobs again and again", c.base))
				return
			}
			query.Set("after", page.Next)
		}
	}
}

// FindMissing returns those of the digests that the gateway doesn't have, in the
// order given.
func (c *Client) FindMissing(ctx context.Context, digests []cas.Digest) ([]cas.Digest, error) {
	var missing []cas.Digest
	for some := range slices.Chunk(digests, api.MaxFindMissing) {
		r := &request{method: http.MethodPost, path: blobsPath + "/find-missing", mayRetry: always}
		if err := r.jsonBody(api.FindMissing{Digests: some}); err != nil {
			return nil, err
		}
		var answer api.Missing
		if err := c.doJSON(ctx, r, &answer); err != nil {
			return nil, err
		}
		missing = append(missing, answer.Missing...)
	}
	return missing, nil
}

// Exists reports whether the gateway has a blob, whole as far as it knows. Of many at
// once FindMissing tells.
func (c *Client) Exists(ctx context.Context, d cas.Digest) (bool, error) {
	missing, err := c.FindMissing(ctx, []cas.Digest{d})
	return err == nil && len(missing) == 0, err
}

// SignURL returns a URL at which the blob can be read without a token for a
// while: a second at least, and api.MaxURLLife seconds at most.
func (c *Client) SignURL(ctx context.Context, d cas.Digest, life time.Duration) (api.SignedURL, error) {
	r := &request{method: http.MethodPost, path: blobPath(d) + "/url", mayRetry: always}
	if err := r.jsonBody(api.SignURL{ExpiresIn: int64(life / time.Second)}); err != nil {
		return api.SignedURL{}, err
	}
	var signed api.SignedURL
	err := c.doJSON(ctx, r, &signed)
	return signed, err
}

// Ready returns nil where the gateway, its index and its store answer, and an
// error that wraps ErrNotReady where the gateway alone does. It is not retried,
// and sends no token.
func (c *Client) Ready(ctx context.Context) error {
	var health api.Health
	err := c.doJSON(ctx, &request{
		method:    http.MethodGet,
		path:      "/readyz",
		anonymous: true,
		accept:    http.StatusServiceUnavailable,
	}, &health)
	if err != nil || health.Status == "ok" {
		return err
	}
	var ailing []string
	for _, part := range slices.Sorted(maps.Keys(health.Checks)) {
		if state := health.Checks[part]; state != "ok" {
			ailing = append(ailing, part+": "+state)
		}
	}
	return fmt.Errorf("%w: %s; its log says why", ErrNotReady, strings.Join(ailing, ", "))
}
