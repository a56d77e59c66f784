package client

import (
	"context"
	"io"
	"mime"
	"net/http"

	"casgate/cas"
)

// CopyContent is what a provider gives back for a copy. Nobody has verified it, and it
// need not be the bytes that were uploaded.
type CopyContent struct {
	MediaType string
	Name      string // may be empty; as the gateway sends it, so unfit for a path as it is
	// Body yields the bytes. A connection that breaks, here or at the provider, is an
	// error that wraps ErrUnreachable.
	Body io.ReadCloser
}

// CopyContent opens what a provider gives back for the copy of a blob; Get opens the
// gateway's own bytes. Nothing is uploaded for it. A provider that gives no files back,
// or has lost this one, is an error that wraps ErrProvider. The caller closes the body.
func (c *Client) CopyContent(ctx context.Context, d cas.Digest, provider string, o CopyOptions) (*CopyContent, error) {
	return c.copyContent(ctx, blobPath(d), provider, o)
}

func (c *Client) copyContent(ctx context.Context, of, provider string, o CopyOptions) (*CopyContent, error) {
	res, err := c.do(ctx, &request{
		method: http.MethodGet, path: copyPath(of, provider) + "/content", query: o.query(),
		header:   http.Header{"Accept-Encoding": {"identity"}}, // net/http would ask for gzip
		mayRetry: always, patient: true,
	})
	if err != nil {
		return nil, err
	}
	content := &CopyContent{
		MediaType: res.Header.Get("Content-Type"),
		Body:      &contentBody{ctx: ctx, src: res.Body, base: c.base, length: res.ContentLength},
	}
	if _, params, err := mime.ParseMediaType(res.Header.Get("Content-Disposition")); err == nil {
		content.Name = params["filename"]
	}
	return content, nil
}
