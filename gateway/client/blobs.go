package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"casgate/cas"
	"casgate/gateway/api"
)

const blobsPath = "/v1/blobs"

func blobPath(d cas.Digest) string { return blobsPath + "/" + d.String() }

// BlobListOptions select blobs. The zero value of each field selects all.
type BlobListOptions struct {
	MediaType string // equal to
	MinSize   int64  // bytes, inclusive
	MaxSize   *int64 // bytes, inclusive
	// PageSize is the number of blobs a request asks for; 0 leaves it to the gateway.
	PageSize int
}

func (o BlobListOptions) query() url.Values {
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

// Blobs yields blobs, oldest first, and requests each page when it is needed. An error
// is the last value.
func (c *Client) Blobs(ctx context.Context, o BlobListOptions) iter.Seq2[api.Blob, error] {
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

// ErrAmbiguous: several blobs have the beginning of a digest.
var ErrAmbiguous = errors.New("several blobs have digests that begin so")

// FindDigest returns the digest of the blob that begins with these hex digits, of which
// there must be 8 at least. Errors: cas.ErrBlobNotFound, ErrAmbiguous.
func (c *Client) FindDigest(ctx context.Context, prefix string) (cas.Digest, error) {
	var page api.BlobPage
	r := &request{method: http.MethodGet, path: blobsPath, query: url.Values{"digest_prefix": {prefix}, "limit": {"2"}}, mayRetry: always}
	if err := c.doJSON(ctx, r, &page); err != nil {
		return cas.Digest{}, err
	}
	switch len(page.Blobs) {
	case 0:
		return cas.Digest{}, fmt.Errorf("%w: no digest begins with %s", cas.ErrBlobNotFound, prefix)
	case 1:
		return page.Blobs[0].Digest, nil
	}
	return cas.Digest{}, fmt.Errorf("%w: %s and %s begin with %s; give more digits", ErrAmbiguous, page.Blobs[0].Digest, page.Blobs[1].Digest, prefix)
}

// FindMissing returns the digests that the gateway doesn't have, in the given order.
func (c *Client) FindMissing(ctx context.Context, digests []cas.Digest) ([]cas.Digest, error) {
	found, err := c.findMissing(ctx, digests, url.Values{})
	return found.Missing, err
}

// FindPresent is FindMissing, with the blobs that the gateway has. A gateway of an earlier
// version does not describe them.
func (c *Client) FindPresent(ctx context.Context, digests []cas.Digest) (api.Missing, error) {
	return c.findMissing(ctx, digests, url.Values{"present": {"true"}})
}

func (c *Client) findMissing(ctx context.Context, digests []cas.Digest, query url.Values) (api.Missing, error) {
	var found api.Missing
	for some := range slices.Chunk(digests, api.MaxFindMissing) {
		r := &request{method: http.MethodPost, path: blobsPath + "/find-missing", query: query, mayRetry: always}
		if err := r.jsonBody(api.FindMissing{Digests: some}); err != nil {
			return api.Missing{}, err
		}
		var answer api.Missing
		if err := c.doJSON(ctx, r, &answer); err != nil {
			return api.Missing{}, err
		}
		found.Missing = append(found.Missing, answer.Missing...)
		found.Present = append(found.Present, answer.Present...)
	}
	return found, nil
}
