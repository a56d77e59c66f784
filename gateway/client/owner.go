package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// Owner is a blob or a file at the gateway. It has copies at providers, and those give
// references and text. For a file, its name and media type are the defaults of the
// options; for a blob, the blob's.
type Owner struct {
	client *Client
	path   string // below the gateway's URL
}

// CopyOptions choose among the copies at a provider.
type CopyOptions struct {
	// Purpose at the provider; empty means the usual one for these bytes.
	Purpose string
	// Name decides the remote file's name and extension; empty means the owner's.
	Name string
}

func (o CopyOptions) query() url.Values {
	q := url.Values{}
	setText(q, "purpose", o.Purpose)
	setText(q, "name", o.Name)
	return q
}

// copyPath is the path of the copy at a provider.
func (o Owner) copyPath(provider string) string {
	return o.path + "/copies/" + url.PathEscape(provider)
}

// Copies returns what the gateway knows of the copies at all providers. Files that
// have the same bytes share them.
func (o Owner) Copies(ctx context.Context) ([]api.Copy, error) {
	var list api.CopyList
	err := o.client.doJSON(ctx, &request{method: http.MethodGet, path: o.path + "/copies", mayRetry: always}, &list)
	return list.Copies, err
}

// Copy returns what the gateway knows of one copy, in any state. It uploads nothing.
func (o Owner) Copy(ctx context.Context, provider string, options CopyOptions) (api.Copy, error) {
	var found api.Copy
	err := o.client.doJSON(ctx, &request{method: http.MethodGet, path: o.copyPath(provider), query: options.query(), mayRetry: always}, &found)
	return found, err
}

// copyWait asks for an answer well before a proxy between client and gateway gives up,
// which many do after 30 or 60 seconds. The client then goes on by asking for the
// operation.
const copyWait = "wait=20"

// EnsureOptions say how to make a copy.
type EnsureOptions struct {
	CopyOptions
	// Retry tries again if the gateway has given up on the copy.
	Retry bool
	// Async returns the copy at once, ready or not. WaitOperation waits for the
	// operation that the copy names.
	Async bool
}

// EnsureCopy makes sure that there is a copy at a provider, and waits until it is
// ready or ctx ends; the gateway continues then. The copy's Created says whether this
// request made it. Created is nil if the copy took longer than the gateway lets a
// request wait.
func (o Owner) EnsureCopy(ctx context.Context, provider string, options EnsureOptions) (api.Copy, error) {
	r := &request{
		method: http.MethodPut, path: o.copyPath(provider), query: options.query(),
		header: http.Header{}, mayRetry: always, patient: true,
	}
	setRetry(r.query, options.Retry)
	r.header.Set("Prefer", copyWait)
	if options.Async {
		r.header.Set("Prefer", "respond-async")
	}
	for {
		made, status, err := o.client.doCopy(ctx, r)
		if err != nil || options.Async || status != http.StatusAccepted {
			return made, err
		}
		waited, err := o.client.waitCopy(ctx, made)
		if !errors.Is(err, problem.OperationNotFound) {
			return waited, err
		}
		// Another operation has replaced it: a delete, or a new attempt.
		r.query.Del("retry")
	}
}

// ReportLost tells the gateway that a provider doesn't know a file id. If fileID is
// empty, the present id of the copy is meant. If the provider really lost the file,
// the gateway uploads it again; the returned copy is usable.
func (o Owner) ReportLost(ctx context.Context, provider, fileID string, options CopyOptions) (api.Copy, error) {
	r := &request{method: http.MethodPost, path: o.copyPath(provider) + "/lost", query: options.query(), mayRetry: always, patient: true}
	if err := r.jsonBody(api.LostReport{ProviderFileID: fileID}); err != nil {
		return api.Copy{}, err
	}
	r.header.Set("Prefer", copyWait)
	made, status, err := o.client.doCopy(ctx, r)
	if err != nil || status != http.StatusAccepted {
		return made, err
	}
	return o.client.waitCopy(ctx, made)
}

func (c *Client) doCopy(ctx context.Context, r *request) (api.Copy, int, error) {
	var made api.Copy
	res, err := c.doJSONHead(ctx, r, &made)
	if err != nil {
		return api.Copy{}, 0, err
	}
	return made, res.StatusCode, nil
}

// waitCopy waits until the copy of a 202 is ready.
func (c *Client) waitCopy(ctx context.Context, begun api.Copy) (api.Copy, error) {
	operation, err := c.WaitOperation(ctx, begun.OperationID)
	if err != nil {
		return begun, err
	}
	if operation.Copy == nil { // only its record is left
		return begun, problem.New(problem.OperationNotFound, fmt.Sprintf("operation not found: %s has ended, and a later one on the same copy took its place", begun.OperationID))
	}
	return *operation.Copy, nil
}

// DeleteCopies deletes the copies at a provider; with a purpose, only those of that
// purpose. Copies in the state "deleting" are not confirmed by the provider yet. The
// gateway keeps trying, and WaitOperation waits for that. DeleteCopies is not retried,
// like Blob.Delete.
func (o Owner) DeleteCopies(ctx context.Context, provider, purpose string) ([]api.Copy, error) {
	r := &request{
		method: http.MethodDelete, path: o.copyPath(provider),
		query: CopyOptions{Purpose: purpose}.query(), patient: true,
	}
	var list api.CopyList
	err := o.client.doJSON(ctx, r, &list)
	return list.Copies, err
}

// CopyContent is what a provider returns for a copy. It is not verified, and may
// differ from the bytes that were uploaded.
type CopyContent struct {
	MediaType string
	Name      string // may be empty; as the gateway sends it, so not safe as a path
	// Body reads the bytes. If the connection breaks, here or at the provider, the
	// error wraps ErrUnreachable.
	Body io.ReadCloser
}

// CopyContent opens what a provider returns for the copy; Open reads the gateway's own
// bytes. It uploads nothing. The error wraps ErrProvider if the provider returns no
// files, or has lost this one. The caller closes the body.
func (o Owner) CopyContent(ctx context.Context, provider string, options CopyOptions) (*CopyContent, error) {
	res, err := o.client.do(ctx, &request{
		method: http.MethodGet, path: o.copyPath(provider) + "/content", query: options.query(),
		header: identityHeader(), mayRetry: always, patient: true,
	})
	if err != nil {
		return nil, err
	}
	content := &CopyContent{
		MediaType: res.Header.Get("Content-Type"),
		Body:      &contentBody{ctx: ctx, src: res.Body, from: bodyOrigin{o.client.base, ErrUnreachable}, length: res.ContentLength},
	}
	if _, params, err := mime.ParseMediaType(res.Header.Get("Content-Disposition")); err == nil {
		content.Name = params["filename"]
	}
	return content, nil
}

// ReferenceOptions choose how a request to a provider uses the bytes.
type ReferenceOptions struct {
	CopyOptions
	// Kind of the reference, such as image_url; empty means the usual one.
	Kind string
	// Retry tries again if the gateway has given up on the copy.
	Retry bool
}

// Reference returns what to put into a request to a provider, and makes the copy that
// this needs.
func (o Owner) Reference(ctx context.Context, provider string, options ReferenceOptions) (api.Reference, error) {
	query := options.query()
	setText(query, "kind", options.Kind)
	setRetry(query, options.Retry)
	var ref api.Reference
	err := o.client.doJSON(ctx, &request{
		method: http.MethodGet, path: o.path + "/references/" + url.PathEscape(provider), query: query,
		mayRetry: always, patient: true,
	}, &ref)
	return ref, err
}

// TextOptions choose an extracted text.
type TextOptions struct {
	// Provider extracts the text; empty leaves the choice to the gateway.
	Provider string
	// Name decides by its extension how the bytes are read; empty means the owner's.
	Name string
	// Retry tries again if the gateway has given up on the copy.
	Retry bool
}

// Text opens the text that a provider extracts from the bytes. The text is extracted
// once, and is then a blob of its own, whose digest the content has. It is verified
// like the bytes of Blob.Open. The caller closes the body.
func (o Owner) Text(ctx context.Context, options TextOptions) (*Content, error) {
	query := url.Values{}
	setText(query, "provider", options.Provider)
	setText(query, "name", options.Name)
	setRetry(query, options.Retry)
	return o.client.openTagged(ctx, &request{
		method: http.MethodGet, path: o.path + "/text", query: query,
		header: identityHeader(), mayRetry: always, patient: true,
	}, byteRange{})
}
