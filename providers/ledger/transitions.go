package ledger

import (
	"errors"
	"fmt"
	"slices"
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
	c.scheduleLook(now)
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
	// ByLife: the margin is RenewalMargin of the life that the provider gave the file, from
	// its upload to its expiry. Margin counts only if that is not known.
	ByLife bool
	// Retry: a copy that failed, was lost or waits is tried again at once.
	Retry bool
	// Existing: the caller has seen the copy. A copy that was deleted since is not made
	// again.
	Existing bool
	// AfterDelete is the operation of the delete that the caller has waited for. If a later
	// one has deleted the copy, it is not made again. Empty: the caller has seen none.
	AfterDelete string
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
//	no row, StateEvicted                  always
//	StateDeleted                          unless w.Existing, or another delete than w.AfterDelete came
//	StatePending, StateFailed, StateLost  if it is due, or w.Retry
//	StateUploading, StateProcessing       if no lease runs
//	StateUnverified                       if no lease runs
//	StateReady                            if it expires within the margin of w
//	StateDeleting                         never
//
// StatePending never has a lease. A row is due if NextAttemptAt is set and has passed.
func (w Wanted) claimable(c *Copy, now time.Time) bool {
	switch c.State {
	case "", StateEvicted:
		return true
	case StateDeleted:
		return !w.Existing && (w.AfterDelete == "" || w.AfterDelete == c.LastDelete())
	case StatePending, StateFailed, StateLost:
		return w.Retry || hasPassed(c.NextAttemptAt, now)
	case StateUploading, StateProcessing, StateUnverified:
		return !isLeased(c, now)
	case StateReady:
		return hasPassed(c.ExpiresAt, now.Add(w.margin(c)))
	}
	return false
}

// RenewalMargin returns how long before its expiry a copy with this lifetime is renewed:
// in the last tenth of it, at most a day.
func RenewalMargin(lifetime time.Duration) time.Duration {
	return min(max(lifetime, 0)/10, 24*time.Hour)
}

// margin is how long before its expiry a ready row may be renewed.
func (w Wanted) margin(c *Copy) time.Duration {
	if !w.ByLife || c.UploadedAt.IsZero() || c.ExpiresAt.IsZero() {
		return w.Margin
	}
	return RenewalMargin(c.ExpiresAt.Sub(c.UploadedAt))
}

// Accepts reports whether a row is ready, and need not be renewed for w.
func (w Wanted) Accepts(c Copy, now time.Time) bool {
	return c.State == StateReady && !hasPassed(c.ExpiresAt, now.Add(w.margin(&c)))
}

// describe gives the row the name, media type and size of w, and, unless the row is
// asked for already (Copy.IsAskedFor), its operation.
func (w Wanted) describe(c *Copy, now time.Time) {
	c.Name, c.MediaType, c.Size, c.LaterDeletes = w.Name, w.MediaType, w.Size, nil
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
// StateUploading (StateProcessing and StateUnverified stay so). If it was
// StateUploading, that attempt leaves a stray, and is not counted. Attempts start over,
// unless the row was pending or in work.
func Claim(w Wanted, lease time.Duration) Transition {
	return w.transition("claim", nil, func(c *Copy, now time.Time) (Outcome, error) {
		if !w.claimable(c, now) {
			return Refused, nil
		}
		w.describe(c, now)
		switch c.State {
		case StateProcessing, StateUnverified:
		case StateUploading: // its gateway died, which says nothing about the provider
		case StatePending:
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
// as f's status says, and keeps the lease in the latter only. Error and NextAttemptAt
// are cleared; in StateReady Attempts too. Another file that the row named is given
// up; the file of a copy that was renewed is kept until it expires. It is refused if the fence is not the newest any more, or if f was given up.
//
// Safe to repeat: if the row has this fence and is ready with this file, an earlier
// call succeeded.
func Complete(k Key, fence int64, f providers.RemoteFile) Transition {
	return Transition{Key: k, Verb: "complete", invalid: checkRemoteFile(f), apply: func(c *Copy, now time.Time) (Outcome, error) {
		if !inWork(c, fence) {
			return repeatedIf(c.Fence == fence && c.State == StateReady && c.FileID == f.ID), nil
		}
		if c.HasGivenUp(f.ID) {
			return Refused, nil
		}
		if c.FileID != f.ID {
			var keepUntil time.Time
			if c.State == StateUploading && c.ExpiresAt.After(now) {
				keepUntil = c.ExpiresAt
			}
			c.giveUpFileFrom(keepUntil)
			c.UploadedAt = now
		} else if c.UploadedAt.IsZero() && hasPassed(f.CreatedAt, now) { // an entered copy
			c.UploadedAt = f.CreatedAt
		}
		c.FileID, c.RemoteName, c.ExpiresAt = f.ID, f.Name, f.ExpiresAt
		c.Error, c.NextAttemptAt = nil, time.Time{}
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
	// MayTurnUp: the attempt may have left a remote file, which becomes a stray.
	MayTurnUp bool
	// Began is when the attempt began, by the database's clock. Zero: not known.
	Began time.Time
	// GivenUp is the id of a remote file that the attempt made and that must be deleted.
	// Empty means that there is none.
	GivenUp string
	// Attempted: the provider refused a delete, which FailDelete counts in Attempts.
	Attempted bool
	// Again: the row is due After from now. Otherwise it never becomes due by itself.
	Again bool
	After time.Duration
}

// record puts the failure into the row, and ends the lease.
func (f Failure) record(c *Copy, now time.Time) {
	c.Error, c.LeaseUntil, c.NextAttemptAt = f.Error, time.Time{}, time.Time{}
	if f.Again {
		c.NextAttemptAt = now.Add(f.After)
	}
}

// Fail ends an attempt that failed, and the lease. The row becomes f.State, without a
// file id, except StateReady: only the renewal of a copy that still has its old file
// can become that, and keeps the file. Otherwise the row's file is given up, with two
// exceptions: a file in process that MayTurnUp, and the file of StateUnverified, which
// somebody else may have made. Fail is refused if the fence is not the newest any more.
//
// Safe to repeat: if the row already has this fence and state, an earlier call
// succeeded.
func Fail(k Key, fence int64, f Failure) Transition {
	t := Transition{Key: k, Verb: "fail", invalid: checkTexts("id of the remote file", f.GivenUp), apply: func(c *Copy, now time.Time) (Outcome, error) {
		if !inWork(c, fence) {
			return repeatedIf(c.Fence == fence && c.State == f.State), nil
		}
		switch {
		case f.State == StateReady && (c.State != StateUploading || c.FileID == ""):
			return Refused, fmt.Errorf("there is no earlier file with which it could be %s", StateReady)
		case f.State == StateReady:
		case c.State == StateProcessing && f.MayTurnUp:
			c.forgetFile()
		default:
			c.giveUpFile()
		}
		if f.MayTurnUp {
			c.addStray(Stray{Fence: fence, At: now, Began: f.Began})
		}
		if f.GivenUp != "" {
			c.addStray(Stray{Fence: fence, FileID: f.GivenUp, At: now})
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

// Lose makes a copy StateLost whose remote file no longer exists. The file is given up,
// since the provider may be wrong. It applies only to StateReady and StateProcessing
// with this file id. Losses start over if the last one
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
		c.giveUpFile()
		c.State, c.LeaseUntil, c.LostAt, c.NextAttemptAt = StateLost, time.Time{}, now, now
		if c.Losses > allowed {
			c.NextAttemptAt = now.Add(window)
		}
		return Changed, nil
	}}
}

// Look is the result of a look for the strays of a row at its provider.
type Look struct {
	// GivenUp are files that were found, and that must be deleted.
	GivenUp []Stray
	// Gone lists the ids of files that are deleted for certain.
	Gone []string
	// Fences lists attempts of which nothing more can turn up: their file was found, or
	// they sent no whole file.
	Fences []int64
	// Before: attempts that had ended by then are forgotten. Zero means none.
	Before time.Time
	// Next is when the row is looked at again, from now.
	Next time.Duration
}

// check returns an error if the row after l can't be stored.
func (l Look) check() error {
	for _, s := range l.GivenUp {
		if s.FileID == "" {
			return errors.New("a file that was given up has no id")
		}
		if err := checkTexts("id of the remote file", s.FileID); err != nil {
			return err
		}
	}
	return nil
}

// isGone reports whether l makes a stray superfluous.
func (l Look) isGone(s Stray) bool {
	if s.IsGivenUp() {
		return slices.Contains(l.Gone, s.FileID)
	}
	return slices.Contains(l.Fences, s.Fence) || !s.At.After(l.Before)
}

// NoteLook records what a look for strays has found. A file that is Gone is no stray
// any more; in StateDeleting it isn't the row's either. A deletion that had to wait
// for a stray is due at once, if no lease runs.
//
// Files that were GivenUp are added only if no other client may adopt them: the row is
// in StateDeleting; or by, which is not 0, is the newest fence of a row in work; or the
// row is settled and no lease runs. Otherwise, or if the row names one of the files,
// NoteLook is refused.
func NoteLook(k Key, by int64, l Look) Transition {
	return Transition{Key: k, Verb: "note a look for", invalid: l.check(), apply: func(c *Copy, now time.Time) (Outcome, error) {
		named := func(s Stray) bool { return s.FileID == c.FileID }
		idle := c.State.Settled() && !isLeased(c, now)
		if len(l.GivenUp) > 0 && (slices.ContainsFunc(l.GivenUp, named) || c.State != StateDeleting && !idle && !inWork(c, by)) {
			return Refused, nil
		}
		for _, s := range l.GivenUp {
			s.At = now
			c.addStray(s)
		}
		had := len(c.Strays)
		c.dropStrays(l.isGone)
		switch {
		case c.State == StateDeleting:
			if slices.Contains(l.Gone, c.FileID) {
				c.forgetFile()
			}
			if len(c.Strays) < had && !isLeased(c, now) {
				c.NextAttemptAt = now
			}
		case l.Next > 0:
			c.LookAt = now.Add(l.Next)
		}
		return Changed, nil
	}}
}

// hasPassed reports whether a time is set and not after now.
func hasPassed(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// isLeased reports whether a lease runs.
func isLeased(c *Copy, now time.Time) bool { return c.LeaseUntil.After(now) }

// inWork reports whether the holder of this fence makes or verifies the copy.
func inWork(c *Copy, fence int64) bool {
	return c.Fence == fence && !c.LeaseUntil.IsZero() && c.State != StateDeleting
}

// noteUpload makes a stray of the upload from which another client takes over. That
// upload ends with its lease.
func noteUpload(c *Copy) {
	if c.State == StateUploading {
		c.addStray(Stray{Fence: c.Fence, At: c.LeaseUntil})
	}
}

// forgetFile makes the row name no remote file.
func (c *Copy) forgetFile() {
	c.FileID, c.RemoteName = "", ""
	c.ExpiresAt, c.UploadedAt = time.Time{}, time.Time{}
}

// repeatedIf is the outcome of a transition that does not apply to the row.
func repeatedIf(recorded bool) Outcome {
	if recorded {
		return Repeated
	}
	return Refused
}
