package client

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"time"

	"casgate/cas"
)

// readKey marks the context of a request for a blob.
type readKey struct{}

// isToStore reports whether a redirect is the gateway's answer to a read of a blob: it
// has the digest of the blob.
func isToStore(next *http.Request) bool {
	isRead, _ := next.Context().Value(readKey{}).(bool)
	return isRead && next.Response != nil && next.Response.StatusCode == http.StatusTemporaryRedirect && next.Response.Header.Get("Repr-Digest") != ""
}

// openRedirected reads a blob where the gateway's answer redirects to. It returns an error if the
// bytes can't be read there: the gateway can then be asked for them.
func (c *Client) openRedirected(ctx context.Context, d cas.Digest, part byteRange, res *http.Response) (*Content, error) {
	target, err := res.Location()
	if err != nil {
		return nil, err
	}
	if gateway, err := url.Parse(c.base); err != nil || target.Scheme != "https" && target.Scheme != gateway.Scheme {
		return nil, fmt.Errorf("%s redirects to %s, which is not encrypted", c.base, origin(target))
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, readKey{}, false))
	timer := time.AfterFunc(answerTimeout, func() { cancel(errNoAnswer) })
	defer timer.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	r := &request{header: identityHeader()}
	part.setIn(r)
	req.Header = r.header
	req.Header.Set("User-Agent", c.userAgent)
	stored, err := c.http.Do(req)
	if err != nil {
		cancel(nil)
		return nil, connectionError(origin(target), err)
	}
	stored.Body = &answerBody{stored.Body, cancel}
	content, err := storedContent(ctx, d, part, stored)
	if err != nil {
		stored.Body.Close()
		return nil, err
	}
	return content, nil
}

// errStoreLost is an ErrUnreachable in the words for what is not the gateway.
var errStoreLost error = storeLost{}

type storeLost struct{}

func (storeLost) Error() string { return "the read at the object store failed" }

func (storeLost) Is(target error) bool { return target == ErrUnreachable }

// storedContent reads an answer of the object store.
func storedContent(ctx context.Context, d cas.Digest, part byteRange, res *http.Response) (*Content, error) {
	from := origin(res.Request.URL)
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusPartialContent {
		return nil, fmt.Errorf("%s answered with %s", from, res.Status)
	}
	if res.ContentLength < 0 {
		return nil, errors.New(from + " answered without a length")
	}
	info := Info{Digest: d, Size: res.ContentLength, MediaType: res.Header.Get("Content-Type")}
	if _, params, err := mime.ParseMediaType(res.Header.Get("Content-Disposition")); err == nil {
		info.Name = params["filename"]
	}
	content, err := contentOf(ctx, info, part, res, bodyOrigin{from, errStoreLost})
	if err == nil {
		content.Redirected = true
	}
	return content, err
}
