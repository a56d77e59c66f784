package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// EverywhereOptions say how to delete everywhere.
type EverywhereOptions struct {
	// Force deletes a blob even where files refer to it. Of a file it means nothing.
	Force bool
	// Async doesn't wait for the providers: copies that are "deleting" are waited for by
	// WaitOperation.
	Async bool
}

func everywhereRequest(path string, o EverywhereOptions) *request {
	r := &request{method: http.MethodDelete, path: path, query: url.Values{"everywhere": {"true"}}, header: http.Header{}, patient: true}
	if o.Async {
		r.header.Set("Prefer", "respond-async")
	}
	return r
}

// confirmDeletes waits until those of the copies are deleted that are being deleted, and
// corrects their states. It gives up where that doesn't go on by itself.
func (c *Client) confirmDeletes(ctx context.Context, copies []api.Copy, o EverywhereOptions) error {
	if o.Async {
		return nil
	}
	var failures []error
	for i := range copies {
		if copies[i].State != api.CopyDeleting {
			continue
		}
		if err := c.confirmDelete(ctx, &copies[i]); err != nil {
			failures = append(failures, err)
		}
		if ctx.Err() != nil {
			break // the same would be said of each
		}
	}
	return errors.Join(failures...)
}

func (c *Client) confirmDelete(ctx context.Context, one *api.Copy) error {
	operation, err := c.followOperation(ctx, one.OperationID, func(o api.Operation) bool {
		return o.Error != nil && !o.Error.Retryable
	})
	switch {
	case errors.Is(err, problem.OperationNotFound): // something else has become of the copy since
		return c.confirmGone(ctx, one)
	case err != nil:
		return err
	case operation.Status != api.OperationSucceeded:
		if operation.Copy != nil {
			one.Error = operation.Copy.Error
		}
		return fmt.Errorf("the copy at %s is not deleted: %w", one.Provider, &Error{Problem: *operation.Error})
	}
	one.State, one.ProviderFileID = api.CopyDeleted, ""
	return nil
}

// confirmGone asks what the gateway knows of a copy.
func (c *Client) confirmGone(ctx context.Context, one *api.Copy) error {
	left, err := c.Blob(one.Digest).Copies(ctx)
	if err != nil && !errors.Is(err, cas.ErrBlobNotFound) {
		return err
	}
	for _, other := range left {
		if other.Provider == one.Provider && other.Account == one.Account && other.Purpose == one.Purpose && other.Extension == one.Extension &&
			other.State == api.CopyDeleting {
			return problem.New(problem.CopyInProgress, fmt.Sprintf("copy in progress: the copy at %s is still being deleted", one.Provider))
		}
	}
	one.State, one.ProviderFileID = api.CopyDeleted, ""
	return nil
}
