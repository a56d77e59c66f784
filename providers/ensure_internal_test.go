package providers

import (
	"errors"
	"testing"
	"time"
)

// What is said of a copy that nobody makes.
func TestResting(t *testing.T) {
	t.Parallel()
	soon, late := time.Now().Add(time.Second), time.Now().Add(time.Minute)
	refusal := &Error{Provider: "depot", Kind: KindPermanent, Code: "content_filter", RetryAfter: time.Hour}
	for name, c := range map[string]struct {
		row        Copy
		kind       Kind // of an *Error; empty: none
		progress   bool // ErrCopyInProgress
		waiting    bool // worth waiting for all the same
		retryAfter time.Duration
	}{
		"failed for good":     {row: Copy{State: StateFailed, Error: refusal}, kind: KindPermanent},
		"failed for a while":  {row: Copy{State: StateFailed, Error: refusal, NextAttemptAt: late}, kind: KindPermanent, retryAfter: 59 * time.Second},
		"lost too often":      {row: Copy{State: StateLost, Losses: 4, NextAttemptAt: late}, kind: KindLost, retryAfter: 59 * time.Second},
		"lost":                {row: Copy{State: StateLost, NextAttemptAt: time.Now().Add(-time.Second)}, waiting: true},
		"being deleted":       {row: Copy{State: StateDeleting, LeaseUntil: late}, progress: true, waiting: true},
		"delete tried soon":   {row: Copy{State: StateDeleting, NextAttemptAt: soon}, progress: true, waiting: true},
		"delete tried later":  {row: Copy{State: StateDeleting, NextAttemptAt: late}, progress: true},
		"pending":             {row: Copy{State: StatePending, NextAttemptAt: soon}, waiting: true},
		"uploading elsewhere": {row: Copy{State: StateUploading, LeaseUntil: late}, waiting: true},
	} {
		err := resting(c.row)
		e, _ := errors.AsType[*Error](err)
		switch {
		case c.kind != "" && (e == nil || e.Kind != c.kind || e.RetryAfter < c.retryAfter || c.retryAfter == 0 && e.RetryAfter != 0):
			t.Errorf("%s: %v", name, err)
		case c.progress != errors.Is(err, ErrCopyInProgress), c.kind == "" && !c.progress && err != nil:
			t.Errorf("%s: %v", name, err)
		}
		if err := givenUp(c.row); c.waiting != (err == nil) {
			t.Errorf("%s: who waits for it is told %v", name, err)
		}
	}
	if err := givenUp(Copy{State: StatePending, NextAttemptAt: late, Error: refusal}); err == nil {
		t.Error("who waits for what is tried much later is told nothing")
	}
	if refusal.RetryAfter != time.Hour {
		t.Error("the ledger's error was changed, which is shared")
	}
}
