package openaicompat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"casgate/providers"
)

// Upload implements providers.Provider.
func (c *Client) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	if c.api.NoPurposes && !c.api.hasPurpose(u.Purpose) {
		// The provider can't refuse a purpose that it isn't told.
		return providers.RemoteFile{}, c.Refuse(providers.OpUpload, "unknown_purpose", fmt.Sprintf("there is no purpose %q", u.Purpose), nil)
	}
	limit := uploadTimeout + time.Duration(float64(u.Size)/uploadRate*float64(time.Second))
	call, cancel := context.WithTimeoutCause(ctx, limit, errNoAnswer)
	defer cancel()
	content, err := u.Open(call)
	if err != nil {
		return providers.RemoteFile{}, c.sourceFailed(ctx, err)
	}
	body, err := c.api.newForm(u, content)
	if err != nil {
		return providers.RemoteFile{}, c.Refuse(providers.OpUpload, "", err.Error(), errors.Join(err, content.Close()))
	}
	defer func() {
		cancel() // ends a read of the content
		body.finish()
	}()
	var connected atomic.Bool
	request, err := c.request(traced(call, &connected), http.MethodPost, "/files", nil)
	if err != nil {
		return providers.RemoteFile{}, c.Refuse(providers.OpUpload, "", err.Error(), err)
	}
	request.Body, request.ContentLength = body, body.length
	request.Header.Set("Content-Type", body.contentType)

	response, err := c.http.Do(request)
	if err != nil {
		begun, failed := body.state()
		if failed != nil && call.Err() == nil {
			return providers.RemoteFile{}, c.sourceFailed(ctx, failed)
		}
		return providers.RemoteFile{}, c.broken(ctx, call, providers.OpUpload, begun || connected.Load(), err)
	}
	answer, err := c.read(ctx, call, providers.OpUpload, response, maxAnswer)
	if err != nil {
		return providers.RemoteFile{}, err
	}
	if !body.whole.Load() {
		return providers.RemoteFile{}, c.BadAnswer(providers.OpUpload, response.StatusCode, "the answer says that the file is stored, but the upload was incomplete")
	}
	file, err := c.file(providers.OpUpload, response.StatusCode, answer)
	if err != nil {
		return providers.RemoteFile{}, err
	}
	return c.completed(file, u), nil
}

// traced sets connected when a request gets its connection. Nothing is sent before.
func traced(ctx context.Context, connected *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
}
