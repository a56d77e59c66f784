package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// CopyOptions choose among the copies of a blob at a provider.
type CopyOptions struct {
	// Purpose at the provider; empty means the usual one for the blob.
	Purpose string
	// Name decides the remote file's name and extension; empty means the blob's.
	Name string
}

func (o CopyOptions) query() url.Values {
	q := url.Values{}
	setText(q, "purpose", o.Purpose)
	setText(q, "name", o.Name)
	return q
}

func setText(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// copyPath is where the copy at a provider lies, of the blob or file at a path.
func copyPath(of, provider string) string {
	return of + "/copies/" + url.PathEscape(provider)
}

// EnsureOptions say how a copy is to be made.
type EnsureOptions struct {
	CopyOptions
	// Retry tries again what was given up.
	Retry bool
	// Async doesn't wait: the copy comes back as it is, ready or not, and
	// WaitOperation waits for the operation that it names.
	Async bool
}

// EnsureCopy makes sure that a blob has a copy at a provider, and waits until it
// is ready, unless told otherwise, for as long as ctx lives. When ctx ends the
// work goes on. The copy's Created says whether this request made it; it is nil
// where that took longer than the gateway lets a request wait.
func (c *Client) EnsureCopy(ctx context.Context, d cas.Digest, provider string, o EnsureOptions) (api.Copy, error) {
	return c.ensureCopy(ctx, blobPath(d), provider, o)
}

func (c *Client) ensureCopy(ctx context.Context, of, provider string, o EnsureOptions) (api.Copy, error) {
	r := &request{
		method: http.MethodPut, path: copyPath(of, provider), query: o.query(),
		header: http.Header{}, mayRetry: always, patient: true,
	}
	if o.Retry {
		r.query.Set("retry", "true")
	}
	if o.Async {
		r.header.Set("Prefer", "respond-async")
	}
	for {
		made, status, err := c.doCopy(ctx, r)
		if err != nil || o.Async || status != http.StatusAccepted {
			return made, err
		}
		waited, err := c.waitCopy(ctx, made)
		if !errors.Is(err, problem.OperationNotFound) {
			return waited, err
		}
		// Another operation has taken its place meanwhile: a delete, or a new attempt.
		r.query.Del("retry")
	}
}

// ReportLost tells the gateway that a provider denied a file id, an empty one
// standing for the copy's present one. Where the provider really lost the file,
// it is uploaded again; the copy returned is usable.
func (c *Client) ReportLost(ctx context.Context, d cas.Digest, provider, fileID string, o CopyOptions) (api.Copy, error) {
	r := &request{method: http.MethodPost, path: copyPath(blobPath(d), provider) + "/lost", query: o.query(), mayRetry: always, patient: true}
	if err := r.jsonBody(api.LostReport{ProviderFileID: fileID}); err != nil {
		return api.Copy{}, err
	}
	made, status, err := c.doCopy(ctx, r)
	if err != nil || status != http.StatusAccepted {
		return made, err
	}
	return c.waitCopy(ctx, made)
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
	if operation.Copy == nil { // there is only its record
		return begun, problem.New(problem.OperationNotFound, fmt.Sprintf("operation not found: %s has ended, and a later one on the same copy took its place", begun.OperationID))
	}
	return *operation.Copy, nil
}

// Copies returns what the gateway knows of a blob's copies, at all providers.
func (c *Client) Copies(ctx context.Context, d cas.Digest) ([]api.Copy, error) {
	return c.listCopies(ctx, blobPath(d))
}

func (c *Client) listCopies(ctx context.Context, of string) ([]api.Copy, error) {
	var list api.CopyList
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: of + "/copies", mayRetry: always}, &list)
	return list.Copies, err
}

// Copy returns what the gateway knows of a copy, in whatever state it is. Nothing
// is uploaded.
func (c *Client) Copy(ctx context.Context, d cas.Digest, provider string, o CopyOptions) (api.Copy, error) {
	var found api.Copy
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: copyPath(blobPath(d), provider), query: o.query(), mayRetry: always}, &found)
	return found, err
}

// DeleteCopies deletes the copies of a blob at a provider, of all purposes where
// none is given. Those that the provider has not confirmed yet are "deleting",
// and the gateway goes on trying; WaitOperation waits for that. It is not
// retried, as Delete isn't.
func (c *Client) DeleteCopies(ctx context.Context, d cas.Digest, provider, purpose string) ([]api.Copy, error) {
	return c.deleteCopies(ctx, blobPath(d), provider, purpose)
}

func (c *Client) deleteCopies(ctx context.Context, of, provider, purpose string) ([]api.Copy, error) {
	r := &request{
		method: http.MethodDelete, path: copyPath(of, provider),
		query: CopyOptions{Purpose: purpose}.query(), patient: true,
	}
	var list api.CopyList
	err := c.doJSON(ctx, r, &list)
	return list.Copies, err
}

// ReferenceOptions choose a way to use a blob in a request to a provider.
type ReferenceOptions struct {
	CopyOptions
	// Kind is the reference's, such as image_url; empty means the usual one.
	Kind string
}

// Reference returns what to put into a request to a provider to use a blob, and
// makes the copy it needs.
func (c *Client) Reference(ctx context.Context, d cas.Digest, provider string, o ReferenceOptions) (api.Reference, error) {
	return c.reference(ctx, blobPath(d), provider, o)
}

func (c *Client) reference(ctx context.Context, of, provider string, o ReferenceOptions) (api.Reference, error) {
	query := o.query()
	setText(query, "kind", o.Kind)
	var ref api.Reference
	err := c.doJSON(ctx, &request{
		method: http.MethodGet, path: of + "/references/" + url.PathEscape(provider), query: query,
		mayRetry: always, patient: true,
	}, &ref)
	return ref, err
}

// TextOptions choose an extracted text.
type TextOptions struct {
	// Provider is who extracts it; empty means the gateway's choice.
	Provider string
	// Name decides by its extension how the blob is read; empty means the blob's.
	Name string
}

// Text opens the text that a provider extracts from a blob: it is extracted once,
// and is a blob of its own from then on, whose digest the content has. The bytes
// are verified as those of Get are. The caller closes the body.
func (c *Client) Text(ctx context.Context, d cas.Digest, o TextOptions) (*Content, error) {
	return c.text(ctx, blobPath(d), o)
}

func (c *Client) text(ctx context.Context, of string, o TextOptions) (*Content, error) {
	query := url.Values{}
	setText(query, "provider", o.Provider)
	setText(query, "name", o.Name)
	res, err := c.do(ctx, &request{
		method: http.MethodGet, path: of + "/text", query: query,
		header:   http.Header{"Accept-Encoding": {"identity"}}, // net/http would ask for gzip
		mayRetry: always, patient: true,
	})
	if err != nil {
		return nil, err
	}
	content, err := c.openTagged(ctx, GetOptions{}, res)
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	return content, nil
}

// Providers returns what the gateway knows of all providers.
func (c *Client) Providers(ctx context.Context) ([]api.Provider, error) {
	var list api.ProviderList
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: "/v1/providers", mayRetry: always}, &list)
	return list.Providers, err
}

func providerPath(provider string) string { return "/v1/providers/" + url.PathEscape(provider) }

// Provider returns what the gateway knows of a provider.
func (c *Client) Provider(ctx context.Context, provider string) (api.Provider, error) {
	var found api.Provider
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: providerPath(provider), mayRetry: always}, &found)
	return found, err
}

// Reconcile compares what the gateway knows of a provider's files with what the
// provider says. Only with apply is anything changed.
func (c *Client) Reconcile(ctx context.Context, provider string, apply bool) (api.Reconciliation, error) {
	var report api.Reconciliation
	err := c.doJSON(ctx, &request{
		method: http.MethodPost, path: providerPath(provider) + "/reconcile",
		query:    url.Values{"apply": {strconv.FormatBool(apply)}},
		mayRetry: always, patient: true,
	}, &report)
	return report, err
}

func operationRequest(id string) *request {
	return &request{method: http.MethodGet, path: "/v1/operations/" + url.PathEscape(id), mayRetry: always}
}

// Operation returns how far an operation is.
func (c *Client) Operation(ctx context.Context, id string) (api.Operation, error) {
	var operation api.Operation
	err := c.doJSON(ctx, operationRequest(id), &operation)
	return operation, err
}

// WaitOperation waits until an operation has succeeded. One that failed is an
// *Error, with the operation beside it. When ctx ends the operation goes on.
func (c *Client) WaitOperation(ctx context.Context, id string) (api.Operation, error) {
	return c.followOperation(ctx, id, func(api.Operation) bool { return false })
}

// followOperation is WaitOperation for who has enough of an operation that is still
// under way once enough says so.
func (c *Client) followOperation(ctx context.Context, id string, enough func(api.Operation) bool) (api.Operation, error) {
	for looks := 0; ; looks++ {
		var operation api.Operation
		r := operationRequest(id)
		res, err := c.doJSONHead(ctx, r, &operation)
		if err != nil {
			return operation, err
		}
		switch operation.Status {
		case api.OperationSucceeded:
			return operation, nil
		case api.OperationFailed:
			e := &Error{}
			if operation.Error != nil {
				e.Problem = *operation.Error
				e.retryAfter = time.Duration(e.Problem.RetryAfter) * time.Second
			} else {
				e.Problem.Title = "the operation " + id + " failed"
			}
			return operation, e
		}
		if enough(operation) {
			return operation, nil
		}
		wait := max(min(longestWait, firstWait<<min(looks, 10)), parseRetryAfter(res.Header.Get("Retry-After")))
		timer := time.NewTimer(min(wait, longestRetryAfter))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return operation, c.interrupted(ctx, r)
		}
	}
}
