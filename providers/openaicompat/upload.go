package openaicompat

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		return providers.RemoteFile{}, c.Refuse(providers.OpUpload, providers.CodeUnknownPurpose, fmt.Sprintf("there is no purpose %q", u.Purpose), nil)
	}
	answer, err := c.send(ctx, u, c.formOf, func(ctx context.Context) (*http.Request, error) {
		return c.request(ctx, http.MethodPost, "/files", nil)
	})
	if err != nil {
		return providers.RemoteFile{}, err
	}
	file, err := c.file(providers.OpUpload, answer.Status, answer.Body)
	if err != nil {
		return providers.RemoteFile{}, err
	}
	return c.completed(file, u), nil
}

func (c *Client) formOf(u providers.Upload, content io.ReadCloser) (*form, error) {
	return c.api.newForm(u, content)
}

// send sends the body that newBody makes of an upload's content, with the request that
// newRequest makes, and returns the whole answer.
func (c *Client) send(
	ctx context.Context, u providers.Upload,
	newBody func(providers.Upload, io.ReadCloser) (*form, error), newRequest func(context.Context) (*http.Request, error),
) (Answer, error) {
	limit := uploadTimeout + time.Duration(float64(u.Size)/uploadRate*float64(time.Second))
	limited, end := context.WithTimeoutCause(ctx, limit, errNoAnswer)
	defer end()
	call, cancel := context.WithCancelCause(limited)
	defer cancel(nil)
	content, err := u.Open(call)
	if err != nil {
		return Answer{}, c.sourceFailed(ctx, err)
	}
	body, err := newBody(u, content)
	if err != nil {
		return Answer{}, c.Refuse(providers.OpUpload, "", err.Error(), errors.Join(err, content.Close()))
	}
	body.watch = &watchdog{cancel: cancel, idle: uploadIdle, idleErr: errNotTaken}
	defer func() {
		cancel(nil) // ends a read of the content
		body.finish()
	}()
	var connected atomic.Bool
	request, err := newRequest(traced(call, &connected))
	if err != nil {
		return Answer{}, c.Refuse(providers.OpUpload, "", err.Error(), err)
	}
	request.Body, request.ContentLength = body, body.length
	if body.contentType != "" {
		request.Header.Set("Content-Type", body.contentType)
	}

	response, err := c.http.Do(request)
	if err != nil {
		begun, failed := body.state()
		if failed != nil && call.Err() == nil {
			return Answer{}, c.sourceFailed(ctx, failed)
		}
		return Answer{}, c.broken(ctx, call, providers.OpUpload, begun || connected.Load(), err)
	}
	answer, err := c.read(ctx, call, providers.OpUpload, response, maxAnswer)
	if err != nil {
		return Answer{}, err
	}
	if !body.whole.Load() {
		return Answer{}, c.BadAnswer(providers.OpUpload, response.StatusCode, "the answer says that the file is stored, but the upload was incomplete")
	}
	return Answer{response.StatusCode, response.Header, answer}, nil
}

// traced sets connected when a request gets its connection. Nothing is sent before.
func traced(ctx context.Context, connected *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
}
