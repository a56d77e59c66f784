package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"casgate/gateway/api"
)

func operationRequest(id string) *request {
	return &request{method: http.MethodGet, path: "/v1/operations/" + url.PathEscape(id), mayRetry: always}
}

// Operation returns the state of an operation.
func (c *Client) Operation(ctx context.Context, id string) (api.Operation, error) {
	var operation api.Operation
	err := c.doJSON(ctx, operationRequest(id), &operation)
	return operation, err
}

// WaitOperation waits until an operation has succeeded. If it failed, both the operation
// and an *Error are returned. If ctx ends, the operation continues at the gateway.
func (c *Client) WaitOperation(ctx context.Context, id string) (api.Operation, error) {
	return c.followOperation(ctx, id, func(api.Operation) bool { return false })
}

// followOperation waits like WaitOperation, but returns an operation that is still
// running as soon as enough reports true for it.
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
