package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"casgate/cas"
)

// Info is what the headers of an answer say about a blob.
type Info struct {
	Digest    cas.Digest
	Size      int64 // bytes, of the whole blob
	MediaType string
	Name      string // may be empty; as the gateway sends it, so not safe as a path
}

// Content is an open blob, or the rest of one.
type Content struct {
	Info
	// Offset is where Body begins: the requested offset, or 0 if the gateway sends the
	// whole blob instead.
	Offset int64
	// Redirected: the bytes come from the object store, not through the gateway.
	Redirected bool
	// Body reads the bytes from Offset to the end, or as many as were asked for. Those of a
	// whole blob are verified: Body returns the last bytes only if the digest is right, and
	// otherwise an error that wraps cas.ErrDigestMismatch. If the connection breaks, the error wraps
	// ErrUnreachable, and its text names the object store if the bytes come from there.
	Body io.ReadCloser

	unverified io.ReadCloser // what Body reads
}

// Unverified reads what Body reads, and checks no digest. It is for a caller that verifies
// the bytes itself, such as the parts of a blob together. Read one of both.
func (c *Content) Unverified() io.ReadCloser { return c.unverified }

// openContent reads an answer that is a blob, or the part of it that was asked for.
func (c *Client) openContent(ctx context.Context, d cas.Digest, part byteRange, res *http.Response) (*Content, error) {
	info, err := c.infoOf(d, res)
	if err != nil {
		return nil, err
	}
	return contentOf(ctx, info, part, res, bodyOrigin{c.base, ErrUnreachable})
}

// bodyOrigin is what sends a body.
type bodyOrigin struct {
	url  string
	lost error // what errors wrap if the connection to it is lost
}

// contentOf returns the content of an answer.
func contentOf(ctx context.Context, info Info, part byteRange, res *http.Response, from bodyOrigin) (*Content, error) {
	d := info.Digest
	body := &contentBody{ctx: ctx, src: res.Body, from: from, length: res.ContentLength}
	content := &Content{Info: info, unverified: body}
	if answer, ok := res.Body.(*answerBody); ok {
		body.silence = time.AfterFunc(bodyPatience, func() { body.isSilent.Store(true); answer.cancel(errSilentBody) })
		body.silence.Stop()
	}
	if res.StatusCode == http.StatusPartialContent {
		total, ok := part.totalOf(res.Header.Get("Content-Range"), res.ContentLength)
		if !ok {
			return nil, fmt.Errorf("%s sent another part of %s than asked for: %q", from.url, d, res.Header.Get("Content-Range"))
		}
		content.Size, content.Offset, content.Body = total, part.offset, body
		return content, nil
	}
	content.Body = struct {
		io.Reader
		io.Closer
	}{cas.NewVerifyingReader(body, d, content.Size), body}
	return content, nil
}

// openTagged sends a request for a blob whose digest the caller doesn't know: the
// entity tag of the answer has it.
func (c *Client) openTagged(ctx context.Context, r *request, part byteRange) (*Content, error) {
	part.setIn(r)
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	d, err := cas.ParseDigest(strings.Trim(strings.TrimPrefix(res.Header.Get("ETag"), "W/"), `"`))
	if err != nil {
		res.Body.Close()
		return nil, fmt.Errorf("%s answered with %s, and without the digest; is it a casgate gateway?", c.base, contentTypeText(res.Header))
	}
	content, err := c.openContent(ctx, d, part, res)
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	return content, nil
}

// identityHeader asks for the bytes as they are; net/http would ask for gzip.
func identityHeader() http.Header { return http.Header{"Accept-Encoding": {"identity"}} }

// byteRange is the part of a blob that a request asks for.
type byteRange struct {
	offset int64
	length int64 // 0: to the end
}

// setIn asks for the part.
func (b byteRange) setIn(r *request) {
	switch {
	case b.length > 0:
		r.header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.offset, b.offset+b.length-1))
	case b.offset > 0:
		r.header.Set("Range", fmt.Sprintf("bytes=%d-", b.offset))
	}
}

// infoOf reads the headers of a 200 answer about a blob, and checks that a gateway
// wrote them.
func (c *Client) infoOf(d cas.Digest, res *http.Response) (Info, error) {
	h := res.Header
	if strings.TrimPrefix(h.Get("ETag"), "W/") != `"`+d.String()+`"` {
		return Info{}, fmt.Errorf("%s answered with %s, not with %s; is it a casgate gateway?", c.base, contentTypeText(h), d)
	}
	if res.ContentLength < 0 {
		return Info{}, fmt.Errorf("%s answered with %s without its length, so something between changed it", c.base, d)
	}
	info := Info{Digest: d, Size: res.ContentLength, MediaType: h.Get("Content-Type")}
	if _, params, err := mime.ParseMediaType(h.Get("Content-Disposition")); err == nil {
		info.Name = params["filename"]
	}
	return info, nil
}

// totalOf returns the total size of a blob from a Content-Range, and reports whether that is
// the part that was asked for, with this length.
func (b byteRange) totalOf(contentRange string, length int64) (total int64, ok bool) {
	rest, ok := strings.CutPrefix(contentRange, fmt.Sprintf("bytes %d-%d/", b.offset, b.offset+length-1))
	if !ok || b == (byteRange{}) {
		return 0, false
	}
	total, err := strconv.ParseInt(rest, 10, 64)
	end := total
	if b.length > 0 {
		end = min(end, b.offset+b.length)
	}
	return total, err == nil && b.offset+length == end
}

// bodyPatience is how long a body may bring no byte. A gateway's own waits for a store in the middle
// of an answer are shorter; so the connection is lost, and the rest can be asked for.
const bodyPatience = 2 * time.Minute

// errSilentBody is the cause if a body brought no byte for so long.
var errSilentBody = fmt.Errorf("no byte came for %v", bodyPatience)

// contentBody reads the body of an answer, and translates the errors of net/http.
type contentBody struct {
	ctx          context.Context // of the request, which the body belongs to
	src          io.ReadCloser
	from         bodyOrigin
	read, length int64
	silence      *time.Timer // runs while a Read waits
	isSilent     atomic.Bool
}

func (b *contentBody) Read(p []byte) (int, error) {
	if b.silence != nil {
		b.silence.Reset(bodyPatience)
		defer b.silence.Stop()
	}
	n, err := b.src.Read(p)
	b.read += int64(n)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case b.isSilent.Load():
		return n, fmt.Errorf("%w: the connection to %s fell silent after %d of %d bytes: %w", b.from.lost, b.from.url, b.read, b.length, errSilentBody)
	case b.ctx.Err() != nil:
		return n, fmt.Errorf("after %d of %d bytes: %w", b.read, b.length, context.Cause(b.ctx))
	case errors.Is(err, io.ErrUnexpectedEOF): // from net/http if the connection was closed too early
		return n, fmt.Errorf("%w: %s closed the connection after %d of %d bytes", b.from.lost, b.from.url, b.read, b.length)
	}
	return n, fmt.Errorf("%w: the connection to %s broke after %d of %d bytes: %w", b.from.lost, b.from.url, b.read, b.length, err)
}

func (b *contentBody) Close() error { return b.src.Close() }
