package wiring

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/problem"
)

// A command records the code that a gateway records for the same error.
func TestCommandRecordsTheCodeOfTheGateway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err     error
		outcome journal.Outcome
		code    problem.Code
	}{
		{nil, journal.OutcomeOK, ""},
		{cas.ErrOriginUnavailable, journal.OutcomeFailed, problem.OriginUnavailable},
		{fmt.Errorf("%w: %w", cas.ErrObjectCorrupt, cas.ErrDigestMismatch), journal.OutcomeFailed, problem.ObjectCorrupt},
		{cas.ErrDigestMismatch, journal.OutcomeFailed, problem.DigestMismatch},
		{cas.ErrStoreUnavailable, journal.OutcomeFailed, problem.StoreUnavailable},
		{cas.ErrUploadRaced, journal.OutcomeFailed, problem.Overloaded},
		{cas.ErrFileNotFound, journal.OutcomeFailed, problem.FileNotFound},
		{&cas.InvalidField{Field: "metadata", Problem: "is no object"}, journal.OutcomeFailed, problem.InvalidRequest},
		{access.ErrTokenNotFound, journal.OutcomeFailed, problem.NotFound},
		{errors.New("something else"), journal.OutcomeFailed, problem.Internal},
		{context.Canceled, journal.OutcomeBroken, ""}, // by Ctrl-C
	} {
		err := tt.err
		if err != nil {
			err = fmt.Errorf("wrapped: %w", err)
		}
		r := endedNow(journal.Record{ID: "key"}, time.Now(), err)
		if r.Outcome != tt.outcome || r.ErrorCode != string(tt.code) {
			t.Errorf("%v: %s with code %q, want %s with %q", tt.err, r.Outcome, r.ErrorCode, tt.outcome, tt.code)
		}
	}
}
