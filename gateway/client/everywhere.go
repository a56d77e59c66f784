package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

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
	// UntilFailure stops waiting for a copy whose delete has failed, but not in the first 10 seconds,
	// in which the gateway tries again. The error says why, and the gateway keeps trying.
	UntilFailure bool
}

// failurePatience is how long the gateway is asked to wait with UntilFailure: a failure counts only if
// it has not passed then.
const failurePatience = 10 * time.Second

// usualWait is how long a gateway is asked to wait at most, if the caller has a time limit.
const usualWait = 25 * time.Second

// answerReserve is the part of a context's time in which the answer of the gateway comes
// back. Without the answer the caller doesn't learn what is deleted.
const answerReserve = time.Second

func everywhereRequest(ctx context.Context, path string, o EverywhereOptions) *request {
	r := &request{method: http.MethodDelete, path: path, query: url.Values{"everywhere": {"true"}}, header: http.Header{}, patient: true}
	if prefer := o.preference(ctx); prefer != "" {
		r.header.Set("Prefer", prefer)
	}
	return r
}

// preference returns the Prefer field of a request; empty if it has none.
func (o EverywhereOptions) preference(ctx context.Context) string {
	if o.Async {
		return "respond-async"
	}
	deadline, isLimited := ctx.Deadline()
	if !isLimited && !o.UntilFailure {
		return "" // the gateway knows how long its answers may take
	}
	wait := usualWait
	if o.UntilFailure {
		wait = failurePatience
	}
	if isLimited {
		wait = min(wait, max(0, time.Until(deadline)-answerReserve))
	}
	return fmt.Sprintf("wait=%d", wait/time.Second)
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
		if err := c.confirmDelete(ctx, &copies[i], o); err != nil {
			failures = append(failures, err)
		}
		if ctx.Err() != nil {
			break // every other copy would get the same error
		}
	}
	return errors.Join(failures...)
}

func (c *Client) confirmDelete(ctx context.Context, one *api.Copy, o EverywhereOptions) error {
	operation, err := c.followOperation(ctx, one.OperationID, func(now api.Operation) bool {
		return now.Error != nil && (o.UntilFailure || !now.Error.Retryable)
	})
	if operation.Copy != nil && operation.Copy.Error != nil && isSameCopy(*operation.Copy, *one) {
		one.Error = operation.Copy.Error
	}
	switch {
	case errors.Is(err, problem.OperationNotFound): // a later operation changed the copy
		return c.confirmGone(ctx, one)
	case err != nil:
		return err
	case operation.Status == api.OperationSucceeded:
	case operation.Copy != nil && !isSameCopy(*operation.Copy, *one): // the operation deletes several copies
		return c.confirmGoneSoon(ctx, one)
	default:
		return fmt.Errorf("the copy at %s is not deleted: %w", one.Provider, &Error{Problem: *operation.Error})
	}
	one.State, one.ProviderFileID, one.Error = api.CopyDeleted, "", nil
	return nil
}

// isSameCopy reports whether a and b are states of one copy of a blob.
func isSameCopy(a, b api.Copy) bool {
	return a.Provider == b.Provider && a.Account == b.Account && a.Purpose == b.Purpose && a.Extension == b.Extension
}

// gonePatience is the time for a copy without an error, after the gateway has waited already.
const gonePatience = 2 * time.Second

// confirmGoneSoon is confirmGone, but gives a copy without an error some time: the operation shows that of
// another one.
func (c *Client) confirmGoneSoon(ctx context.Context, one *api.Copy) error {
	patience := time.NewTimer(gonePatience)
	defer patience.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		err := c.confirmGone(ctx, one)
		if !errors.Is(err, problem.CopyInProgress) {
			return err
		}
		select {
		case <-look.C:
		case <-patience.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
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
	one.State, one.ProviderFileID, one.Error = api.CopyDeleted, "", nil
	return nil
}
