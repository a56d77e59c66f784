package ledger

import (
	"fmt"
	"time"

	"casgate/providers"
)

// Transition is a change of one row. Each function of this file that returns one
// describes when the row changes, and how.
type Transition struct {
	Key Key
	// Verb names the transition in errors: "claim".
	Verb string

	creates bool  // also applies if there is no row
	invalid error // the arguments can't be stored
	apply   func(c *Copy, now time.Time) (Outcome, error)
}

// Outcome is the effect of a transition on a row.
type Outcome int

// The outcomes of transitions.
const (
	// Refused: the row's state, lease or fence forbids the transition.
	Refused Outcome = iota
	// Changed: the row has changed, and must be written.
	Changed
	// Repeated: the row is already as the transition makes it, because an earlier call
	// was applied. Nothing must be written.
	Repeated
)

// Check returns an error if no row can exist to which the transition applies, or if
// the row after it could not be stored. Drivers call it before they read the row.
func (t Transition) Check() error {
	err := t.Key.Check()
	switch {
	case err != nil && !t.creates:
		return t.fail(ErrNotFound)
	case err == nil:
		err = t.invalid
	}
	if err != nil {
		return t.fail(err)
	}
	return nil
}

// Apply returns the row after the transition at a time, and the outcome. If the row
// does not exist, c is the zero Copy. Errors: ErrNotFound; the arguments don't fit the
// row's state.
func (t Transition) Apply(c Copy, now time.Time) (Copy, Outcome, error) {
	if c.State == "" {
		if !t.creates {
			return Copy{}, Refused, t.fail(ErrNotFound)
		}
		c = Copy{Key: t.Key}
	}
	before := c
	outcome, err := t.apply(&c, now)
	if err != nil {
		return Copy{}, Refused, t.fail(err)
	}
	if outcome != Changed {
		return before, outcome, nil
	}
	return c, Changed, nil
}

// String returns the transition for errors: "claim copy 01234567 at kimi (batch.jsonl)".
func (t Transition) String() string { return t.Verb + " copy " + t.Key.String() }

func (t Transition) fail(err error) error { return fmt.Errorf("%s: %w", t, err) }

// Wanted is a copy that a caller asks for.
type Wanted struct {
	Key
	Name        string
	MediaType   string
	Size        int64 // bytes
	OperationID string
	// Margin: a ready copy that expires within it may be claimed to be renewed.
	Margin time.Duration
	// Retry: a copy that failed, was lost or waits is tried again at once.
	Retry bool
}

// check returns an error if the row of w can't be stored.
func (w Wanted) check() error {
	if w.Size < 0 {
		return fmt.Errorf("size %d must not be negative", w.Size)
	}
	return checkTexts("name", w.Name, "media type", w.MediaType, "operation", w.OperationID)
}

// transition makes a transition to the row of w, which creates it if there is none.
func (w Wanted) transition(verb string, invalid error, apply func(c *Copy, now time.Time) (Outcome, error)) Transition {
	if err := w.check(); err != nil {
		invalid = err
	}
	return Transition{Key: w.Key, Verb: verb, creates: true, invalid: invalid, apply: apply}
}

// claimable reports whether the row may be claimed for w:
//
//	no row, StateEvicted or StateDeleted  always
//	StatePending, StateFailed, StateLost  if it is due, or w.Retry
//	StateUploading, StateProcessing       if no lease runs
//	StateUnverified                       if no lease runs
//	StateReady                            if it expires within w.Margin
//	StateDeleting                         never
//
// StatePending never has a lease. A row is due if NextAttemptAt is set and has passed.
func (w Wanted) claimable(c *Copy, now time.Time) bool {
	switch c.State {
	case "", StateEvicted, StateDeleted:
		return true
	case StatePending, StateFailed, StateLost:
		return w.Retry || hasPassed(c.NextAttemptAt, now)
	case StateUploading, StateProcessing, StateUnverified:
		return !isLeased(c, now)
	case StateReady:
		return hasPassed(c.ExpiresAt, now.Add(w.Margin))
	}
	return false
}

// describe gives the row the name, media type and size of w, and, unless the row is
// asked for already (Copy.IsAskedFor), its operation.
func (w Wanted) describe(c *Copy, now time.Time) {
	c.Name, c.MediaType, c.Size = w.Name, w.MediaType, w.Size
	if !c.IsAskedFor() {
		c.OperationID = w.OperationID
	}
	if c.State == "" || c.State == StateDeleted {
		c.CreatedAt = now
	}
	noteUpload(c)
}

// Request makes the row say that the copy is wanted, so that the first gateway that
// finds it due makes the copy. A row that Claim could claim becomes StatePending
// (StateUnverified stays so), due now, with w's description, its attempts and error
// cleared. Other rows, and StateProcessing, stay as they are.
func Request(w Wanted) Transition {
	return w.transition("request", nil, func(c *Copy, now time.Time) (Outcome, error) {
		if c.State == StateProcessing || !w.claimable(c, now) {
			return Refused, nil
		}
		w.describe(c, now)
		if c.State != StateUnverified {
			c.State = StatePending
		}
		c.Attempts, c.Error = 0, nil
		c.NextAttemptAt, c.LeaseUntil = now, time.Time{}
		return Changed, nil
	})
}

// Claim gives the caller the row, to work on until the lease runs out, if it may be
// claimed (see claimable). The row gets the next fence, w's description, and becomes
// StateUploading (StateProcessing and StateUnverified stay so). It becomes Uncertain
// if it was StateUploading. Attempts start over, unless the row was pending or in
// work.
func Claim(w Wanted, lease time.Duration) Transition {
	return w.transition("claim", nil, func(c *Copy, now time.Time) (Outcome, error) {
		if !w.claimable(c, now) {
			return Refused, nil
		}
		w.describe(c, now)
		switch c.State {
		case StateProcessing, StateUnverified:
		case StatePending, StateUploading:
			c.State = StateUploading
			c.Attempts++
		default:
			c.State, c.Attempts = StateUploading, 1
		}
		c.Fence++
		c.NextAttemptAt, c.LeaseUntil = time.Time{}, now.Add(lease)
		return Changed, nil
	})
}

// Enter stores a copy that an old system has recorded: StateUnverified, with this file
// id and w's description, not due. An existing row, in whatever state, stays as it is.
func Enter(w Wanted, fileID string) Transition {
	invalid := checkRemoteFile(providers.RemoteFile{ID: fileID, Status: providers.StatusReady})
	return w.transition("enter", invalid, func(c *Copy, now time.Time) (Outcome, error) {
		if c.State != "" {
			return Refused, nil
		}
		w.describe(c, now)
		c.State, c.FileID = StateUnverified, fileID
		return Changed, nil
	})
}

// ExtendLease makes the lease run this long from now. It is refused if the fence is
// not the newest any more, or the work has ended.
func ExtendLease(k Key, fence int64, lease time.Duration) Transition {
	return Transition{Key: k, Verb: "extend the lease of", apply: func(c *Copy, now time.Time) (Outcome, error) {
		if c.Fence != fence || c.LeaseUntil.IsZero() {
			return Refused, nil
		}
		c.LeaseUntil = now.Add(lease)
		return Changed, nil
	}}
}

// Complete records the remote file f. The row becomes StateReady or StateProcessing,
// as f's status says, and keeps the lease in the latter only. Error, Uncertain and
// NextAttemptAt are cleared; in StateReady Attempts too. It is refused if the fence is
// not the newest any more.
//
// Safe to repeat: if the row has this fence and is ready with this file, an earlier
// call succeeded.
func Complete(k Key, fence int64, f providers.RemoteFile) Transition {
	return Transition{Key: k, Verb: "complete", invalid: checkRemoteFile(f), apply: func(c *Copy, now time.Time) (Outcome, error) {
		if !inWork(c, fence) {
			return repeatedIf(c.Fence == fence && c.State == StateReady && c.FileID == f.ID), nil
		}
		c.FileID, c.RemoteName, c.ExpiresAt = f.ID, f.Name, f.ExpiresAt
		c.Error, c.Uncertain, c.NextAttemptAt = nil, false, time.Time{}
		c.State = StateProcessing
		if f.Status == providers.StatusReady {
			c.State, c.Attempts, c.ReadyAt, c.LeaseUntil = StateReady, 0, now, time.Time{}
		}
		return Changed, nil
	}}
}

// checkRemoteFile returns an error if no copy can be completed with f.
func checkRemoteFile(f providers.RemoteFile) error {
	if f.ID == "" {
		return fmt.Errorf("remote file %q has no id", f.Name)
	}
	if f.Status != providers.StatusReady && f.Status != providers.StatusProcessing {
		return fmt.Errorf("remote file %q is %q; a copy is completed with one that is ready or processing", f.ID, f.Status)
	}
	return checkTexts("id of the remote file", f.ID, "name of the remote file", f.Name)
}

// Failure is the result of an attempt that failed.
type Failure struct {
	// State is StatePending, StateFailed, StateReady (a renewal failed, and the old
	// file is still good) or StateDeleting.
	State State
	Error *providers.Error
	// Uncertain: the attempt may have left a remote file.
	Uncertain bool
	// Again: the row is due After from now. Otherwise it never becomes due by itself.
	Again bool
	After time.Duration
}

// record puts the failure into the row, and ends the lease.
func (f Failure) record(c *Copy, now time.Time) {
	c.Error, c.LeaseUntil, c.NextAttemptAt = f.Error, time.Time{}, time.Time{}
	c.Uncertain = c.Uncertain || f.Uncertain
	if f.Again {
		c.NextAttemptAt = now.Add(f.After)
	}
}

// Fail ends an attempt that failed, and the lease. The row becomes f.State, without a
// file id, except StateReady: only the renewal of a copy that still has its old file
// can become that, and keeps the file. An Uncertain row stays so until it is
// completed. Fail is refused if the fence is not the newest any more.
//
// Safe to repeat: if the row already has this fence and state, an earlier call
// succeeded.
func Fail(k Key, fence int64, f Failure) Transition {
	t := Transition{Key: k, Verb: "fail", apply: func(c *Copy, now time.Time) (Outcome, error) {
		if !inWork(c, fence) {
			return repeatedIf(c.Fence == fence && c.State == f.State), nil
		}
		if f.State != StateReady {
			c.forgetFile()
		} else if c.State != StateUploading || c.FileID == "" {
			return Refused, fmt.Errorf("there is no earlier file with which it could be %s", StateReady)
		}
		f.record(c, now)
		c.State = f.State
		return Changed, nil
	}}
	switch f.State {
	case StatePending, StateFailed, StateReady, StateDeleting:
	default:
		t.invalid = fmt.Errorf("a failed attempt can't make a copy %q", f.State)
	}
	return t
}

// Lose makes a copy StateLost whose remote file no longer exists. It applies only to
// StateReady and StateProcessing with this file id. Losses start over if the last one
// is longer ago than window. The row is due at once, or, after more losses than
// allowed, when window is over.
func Lose(k Key, fileID string, allowed int, window time.Duration) Transition {
	return Transition{Key: k, Verb: "lose", apply: func(c *Copy, now time.Time) (Outcome, error) {
		if c.State == StateDeleted {
			return Refused, ErrNotFound
		}
		if (c.State != StateReady && c.State != StateProcessing) || c.FileID != fileID {
			return Refused, nil
		}
		if hasPassed(c.LostAt, now.Add(-window)) {
			c.Losses = 0
		}
		c.Losses++
		c.forgetFile()
		c.State, c.LeaseUntil, c.LostAt, c.NextAttemptAt = StateLost, time.Time{}, now, now
		if c.Losses > allowed {
			c.NextAttemptAt = now.Add(window)
		}
		return Changed, nil
	}}
}

// Delete claims a row in order to delete the remote file: it becomes StateDeleting
// with the next fence, even if another client holds a lease, and is due when this lease runs out. It
// becomes Uncertain if it was StateUploading, and loses the error of an upload. The
// caller then ends the deletion with FinishDelete or FailDelete. A row in
// StateDeleting is claimed only if no lease runs. A non-empty operationID replaces the
// row's.
func Delete(k Key, operationID string, lease time.Duration) Transition {
	invalid := checkTexts("operation", operationID)
	return Transition{Key: k, Verb: "delete", invalid: invalid, apply: func(c *Copy, now time.Time) (Outcome, error) {
		if c.State == StateDeleted {
			return Refused, ErrNotFound
		}
		if c.State == StateDeleting && isLeased(c, now) {
			return Refused, nil
		}
		claimDelete(c, now, lease)
		if operationID != "" {
			c.OperationID = operationID
		}
		return Changed, nil
	}}
}

// Evict is Delete for a copy that must make room for another. It applies only to
// StateReady.
func Evict(k Key, lease time.Duration) Transition {
	return Transition{Key: k, Verb: "evict", apply: func(c *Copy, now time.Time) (Outcome, error) {
		if c.State != StateReady {
			return Refused, nil
		}
		claimDelete(c, now, lease)
		return Changed, nil
	}}
}

func claimDelete(c *Copy, now time.Time, lease time.Duration) {
	noteUpload(c)
	if c.State != StateDeleting {
		c.Error = nil
	}
	c.State = StateDeleting
	c.Fence++
	c.LeaseUntil = now.Add(lease)
	c.NextAttemptAt = c.LeaseUntil
}

// FinishDelete ends a deletion: the row becomes StateDeleted or StateEvicted, without
// a file id. It is refused if the fence is not the newest any more.
//
// Safe to repeat: if the row already has this fence and state, an earlier call
// succeeded.
func FinishDelete(k Key, fence int64, to State) Transition {
	t := Transition{Key: k, Verb: "finish the delete of", apply: func(c *Copy, _ time.Time) (Outcome, error) {
		if c.Fence != fence || c.State != StateDeleting {
			return repeatedIf(c.Fence == fence && c.State == to), nil
		}
		c.forgetFile()
		c.State, c.Error = to, nil
		c.NextAttemptAt, c.LeaseUntil = time.Time{}, time.Time{}
		if to == StateDeleted { // only the fence and the operation matter from now on
			c.ReadyAt, c.LastUsedAt = time.Time{}, time.Time{}
		}
		return Changed, nil
	}}
	if to != StateDeleted && to != StateEvicted {
		t.invalid = fmt.Errorf("a finished delete can't make it %q", to)
	}
	return t
}

// FailDelete records why a deletion failed, and when it is tried again. It is refused
// if the fence is not the newest any more.
func FailDelete(k Key, fence int64, f Failure) Transition {
	t := Transition{Key: k, Verb: "fail the delete of", apply: func(c *Copy, now time.Time) (Outcome, error) {
		if c.Fence != fence || c.State != StateDeleting {
			return Refused, nil
		}
		f.record(c, now)
		return Changed, nil
	}}
	if f.State != "" && f.State != StateDeleting {
		t.invalid = fmt.Errorf("a failed delete can't make a copy %q", f.State)
	}
	return t
}

// hasPassed reports whether a time is set and not after now.
func hasPassed(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// isLeased reports whether a lease runs.
func isLeased(c *Copy, now time.Time) bool { return c.LeaseUntil.After(now) }

// inWork reports whether the holder of this fence makes or verifies the copy.
func inWork(c *Copy, fence int64) bool {
	return c.Fence == fence && !c.LeaseUntil.IsZero() && c.State != StateDeleting
}

// noteUpload makes a row Uncertain that another client takes over from an upload.
func noteUpload(c *Copy) { c.Uncertain = c.Uncertain || c.State == StateUploading }

// forgetFile makes the row name no remote file.
func (c *Copy) forgetFile() { c.FileID, c.RemoteName, c.ExpiresAt = "", "", time.Time{} }

// repeatedIf is the outcome of a transition that does not apply to the row.
func repeatedIf(recorded bool) Outcome {
	if recorded {
		return Repeated
	}
	return Refused
}
