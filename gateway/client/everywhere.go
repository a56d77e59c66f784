package client

import (
	"cmp"
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
	// Force deletes a blob even if files refer to it. It has no effect on a file.
	Force bool
	// Async doesn't wait for the providers. WaitOperation waits for a copy in the state
	// "deleting".
	Async bool
}

func everywhereRequest(path string, o EverywhereOptions) *request {
	r := &request{method: http.MethodDelete, path: path, query: url.Values{"everywhere": {"true"}}, header: http.Header{}, patient: true}
	if o.Async {
		r.header.Set("Prefer", "respond-async")
	}
	return r
}

// confirmDeletes waits for the copies in the state "deleting", and updates their states.
// It stops waiting for a copy that the gateway has given up on.
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
			break // every other copy would get the same error
		}
	}
	return errors.Join(failures...)
}

func (c *Client) confirmDelete(ctx context.Context, one *api.Copy) error {
	operation, err := c.followOperation(ctx, one.OperationID, func(o api.Operation) bool {
		return o.Error != nil && !o.Error.Retryable
	})
	switch {
	case errors.Is(err, problem.OperationNotFound): // a later operation changed the copy
		return c.confirmGone(ctx, one)
	case err != nil:
		return err
	case operation.Status == api.OperationSucceeded:
	case operation.Copy != nil && !isSameCopy(*operation.Copy, *one): // the operation deletes several copies
		return c.confirmGone(ctx, one)
	default:
		if operation.Copy != nil {
			one.Error = operation.Copy.Error
		}
		return fmt.Errorf("the copy at %s is not deleted: %w", one.Provider, &Error{Problem: *operation.Error})
	}
	one.State, one.ProviderFileID = api.CopyDeleted, ""
	return nil
}

// isSameCopy reports whether a and b are states of one copy of a blob.
func isSameCopy(a, b api.Copy) bool {
	return a.Provider == b.Provider && a.Account == b.Account && a.Purpose == b.Purpose && a.Extension == b.Extension
}

// confirmGone checks in the list of copies that one is no longer being deleted, and that
// no copy has its file. If it is still being deleted, one gets its error.
func (c *Client) confirmGone(ctx context.Context, one *api.Copy) error {
	left, err := c.Blob(one.Digest).Copies(ctx)
	if err != nil && !errors.Is(err, cas.ErrBlobNotFound) {
		return err
	}
	for _, other := range left {
		switch {
		case !isSameCopy(other, *one):
		case other.State == api.CopyDeleting && other.Error != nil:
			one.Error = other.Error
			return fmt.Errorf("%w: the copy at %s is not deleted: %s", ErrProvider, one.Provider, cmp.Or(other.Error.Message, other.Error.Code, other.Error.Kind))
		case other.State == api.CopyDeleting:
			return problem.New(problem.CopyInProgress, fmt.Sprintf("copy in progress: the copy at %s is still being deleted", one.Provider))
		case one.ProviderFileID != "" && other.ProviderFileID == one.ProviderFileID:
			one.State, one.Error = other.State, other.Error
			return fmt.Errorf("%w: the copy at %s was not deleted: it is %s again", ErrProvider, one.Provider, other.State)
		}
	}
	one.State, one.ProviderFileID = api.CopyDeleted, ""
	return nil
}
