package main

import (
	"context"
	"errors"

	"casgate/cmd/cas/internal/exit"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// tally counts what came of several things that a command did, each of which may
// fail without stopping the others.
type tally struct {
	total, failed int
	first         error
}

func (t *tally) add(err error) {
	t.total++
	if err == nil {
		return
	}
	t.failed++
	if t.first == nil {
		t.first = err
	}
}

// err is what the command returns, having reported each failure by itself: the
// exit code is the failure's where all failed, and exit.Partly where some did.
func (t *tally) err(ctx context.Context) error {
	switch t.failed {
	case 0:
		return nil
	case t.total:
		return exit.With(exitCode(ctx, t.first), exit.ErrReported)
	}
	return exit.With(exit.Partly, exit.ErrReported)
}

// concernsAll reports whether an error is one that everything else would end in,
// too: the command may as well stop.
func concernsAll(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() != nil ||
		errors.Is(err, client.ErrUnauthenticated) || errors.Is(err, client.ErrForbidden)
}

// jsonError is an error in a command's JSON output.
type jsonError struct {
	Code        api.Code `json:"code,omitempty"` // of an error that the gateway answered
	Message     string   `json:"message"`
	OperationID string   `json:"operation_id,omitempty"`
}

func newJSONError(err error) *jsonError {
	if err == nil {
		return nil
	}
	e := &jsonError{Message: err.Error()}
	if answer, ok := errors.AsType[*client.Error](err); ok {
		e.Code, e.OperationID = answer.Problem.Code, answer.Problem.OperationID
	}
	return e
}
