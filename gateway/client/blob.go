package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
)

// Blob is a handle for one blob: its methods ask the gateway about it. A handle costs
// nothing, and the blob need not exist.
type Blob struct {
	Owner
	digest cas.Digest
}

// Blob returns a handle for the blob of a digest. It sends nothing.
func (c *Client) Blob(d cas.Digest) Blob {
	return Blob{Owner{c, blobPath(d)}, d}
}

// Digest returns the digest of the blob.
func (b Blob) Digest() cas.Digest { return b.digest }

// Meta returns what the gateway knows of the blob.
func (b Blob) Meta(ctx context.Context) (api.BlobMeta, error) {
	var meta api.BlobMeta
	err := b.client.doJSON(ctx, &request{method: http.MethodGet, path: b.path + "/meta", mayRetry: always}, &meta)
	return meta, err
}

// Exists reports whether the gateway has the whole blob, as far as it knows.
// Client.FindMissing asks for many blobs at once.
func (b Blob) Exists(ctx context.Context) (bool, error) {
	missing, err := b.client.FindMissing(ctx, []cas.Digest{b.digest})
	return err == nil && len(missing) == 0, err
}

// OpenOptions choose which bytes of a blob to read, and with which permission.
type OpenOptions struct {
	// Offset is the first byte to read. The bytes can't be verified if it isn't 0.
	Offset int64
	// Length is the most bytes to read; 0: all. A part of a blob can't be verified.
	Length int64
	// Signature is the one of a signed URL, see ParseBlobURL. It replaces the token.
	Signature url.Values
	// NoRedirect asks the gateway for the bytes itself. It is for a second attempt, when what the object store
	// sent was wrong or incomplete.
	NoRedirect bool
}

// Open opens the blob. The caller closes the body, and reads it without long pauses,
// because the gateway gives up on slow readers. If the gateway redirects to the object
// store, and the bytes can't be read there, Open reads them through the gateway.
func (b Blob) Open(ctx context.Context, o OpenOptions) (*Content, error) {
	r := b.bytesRequest(http.MethodGet, o)
	part := byteRange{o.Offset, o.Length}
	part.setIn(r)
	if !b.client.direct && !o.NoRedirect {
		r.accept = http.StatusTemporaryRedirect
		res, err := b.client.do(context.WithValue(ctx, readKey{}, true), r)
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusTemporaryRedirect {
			return b.opened(ctx, part, res)
		}
		content, err := b.client.openRedirected(ctx, b.digest, part, res)
		closeDrained(res.Body)
		if err == nil || ctx.Err() != nil {
			return content, err
		}
	}
	r.accept = 0
	r.header.Set("Prefer", "redirect=none")
	res, err := b.client.do(ctx, r)
	if err != nil {
		return nil, err
	}
	return b.opened(ctx, part, res)
}

// opened reads an answer of the gateway that is the blob.
func (b Blob) opened(ctx context.Context, part byteRange, res *http.Response) (*Content, error) {
	content, err := b.client.openContent(ctx, b.digest, part, res)
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	return content, nil
}

// Stat returns what the headers of the blob say. Offset is ignored.
func (b Blob) Stat(ctx context.Context, o OpenOptions) (Info, error) {
	res, err := b.client.do(ctx, b.bytesRequest(http.MethodHead, o))
	if err != nil {
		return Info{}, err
	}
	defer res.Body.Close()
	return b.client.infoOf(b.digest, res)
}

func (b Blob) bytesRequest(method string, o OpenOptions) *request {
	return &request{
		method:    method,
		path:      b.path,
		query:     o.Signature,
		header:    identityHeader(),
		mayRetry:  always,
		anonymous: o.Signature != nil,
	}
}

// SignURL returns a URL that reads the blob without a token. It works for the given
// time, from one second to api.MaxURLLife seconds.
func (b Blob) SignURL(ctx context.Context, life time.Duration) (api.SignedURL, error) {
	r := &request{method: http.MethodPost, path: b.path + "/url", mayRetry: always}
	if err := r.jsonBody(api.SignURL{ExpiresIn: int64(life / time.Second)}); err != nil {
		return api.SignedURL{}, err
	}
	var signed api.SignedURL
	err := b.client.doJSON(ctx, r, &signed)
	return signed, err
}

// DeleteOptions say how to delete a blob.
type DeleteOptions struct {
	// Force deletes the blob even if files refer to it.
	Force bool
}

// Delete makes the blob unreadable; the gateway removes its bytes later. Delete is
// never retried: if the first request succeeded and its answer was lost, the second
// one would report that there is no such blob.
func (b Blob) Delete(ctx context.Context, o DeleteOptions) error {
	r := &request{method: http.MethodDelete, path: b.path}
	if o.Force {
		r.query = url.Values{"force": {"true"}}
	}
	return b.client.doJSON(ctx, r, &api.Deleted{})
}

// DeleteEverywhere deletes the blob and its copies at all providers. If files refer to
// the blob, Force is needed. It waits for the providers as File.DeleteEverywhere does.
func (b Blob) DeleteEverywhere(ctx context.Context, o EverywhereOptions) (api.DeletedEverywhere, error) {
	r := everywhereRequest(ctx, b.path, o)
	if o.Force {
		r.query.Set("force", "true")
	}
	var answer api.DeletedEverywhere
	if err := b.client.doJSON(ctx, r, &answer); err != nil {
		return answer, err
	}
	return answer, b.client.confirmDeletes(ctx, answer.Copies, o)
}
