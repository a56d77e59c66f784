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

// FindMissing returns the digests that the gateway doesn't have, in the given order.
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
