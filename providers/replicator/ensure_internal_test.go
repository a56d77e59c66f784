package replicator

import (
	"errors"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

// The error for a copy that no gateway is making.
func TestResting(t *testing.T) {
	t.Parallel()
	soon, late := time.Now().Add(time.Second), time.Now().Add(time.Minute)
	refusal := &providers.Error{Provider: "depot", Kind: providers.KindPermanent, Code: "content_filter", RetryAfter: time.Hour}
	for name, c := range map[string]struct {
		row        ledger.Copy
		kind       providers.Kind // of an *Error; empty: none
		progress   bool           // ErrCopyInProgress
		waiting    bool           // worth waiting for nevertheless
		retryAfter time.Duration
	}{
		"failed permanently":  {row: ledger.Copy{State: ledger.StateFailed, Error: refusal}, kind: providers.KindPermanent},
		"failed for a while":  {row: ledger.Copy{State: ledger.StateFailed, Error: refusal, NextAttemptAt: late}, kind: providers.KindPermanent, retryAfter: 59 * time.Second},
		"lost too often":      {row: ledger.Copy{State: ledger.StateLost, Losses: 4, NextAttemptAt: late}, kind: providers.KindLost, retryAfter: 59 * time.Second},
		"lost":                {row: ledger.Copy{State: ledger.StateLost, NextAttemptAt: time.Now().Add(-time.Second)}, waiting: true},
		"being deleted":       {row: ledger.Copy{State: ledger.StateDeleting, LeaseUntil: late}, progress: true, waiting: true},
		"delete tried soon":   {row: ledger.Copy{State: ledger.StateDeleting, NextAttemptAt: soon}, progress: true, waiting: true},
		"delete tried later":  {row: ledger.Copy{State: ledger.StateDeleting, NextAttemptAt: late}, progress: true},
		"pending":             {row: ledger.Copy{State: ledger.StatePending, NextAttemptAt: soon}, waiting: true},
		"uploading elsewhere": {row: ledger.Copy{State: ledger.StateUploading, LeaseUntil: late}, waiting: true},
	} {
		err := idleError(c.row)
		e, _ := errors.AsType[*providers.Error](err)
		switch {
		case c.kind != "" && (e == nil || e.Kind != c.kind || e.RetryAfter < c.retryAfter || c.retryAfter == 0 && e.RetryAfter != 0):
			t.Errorf("%s: %v", name, err)
		case c.progress != errors.Is(err, providers.ErrCopyInProgress), c.kind == "" && !c.progress && err != nil:
			t.Errorf("%s: %v", name, err)
		}
		if err := waitError(c.row); c.waiting != (err == nil) {
			t.Errorf("%s: a caller that waits gets %v", name, err)
		}
	}
	if err := waitError(ledger.Copy{State: ledger.StatePending, NextAttemptAt: late, Error: refusal}); err == nil {
		t.Error("a caller that waits for a copy with a much later retry gets no error")
	}
	if refusal.RetryAfter != time.Hour {
		t.Error("the ledger's error was changed, which is shared")
	}
}
