package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Delete claims a row in order to delete the remote file: it becomes StateDeleting
// with the next fence, even if another client holds a lease, and is due when this lease
// runs out. If it was StateUploading, that attempt leaves a stray. The row loses the
// error and the attempts of an upload. The caller then ends the deletion with FinishDelete or FailDelete. A row in
// StateDeleting is claimed only if no lease runs. A non-empty operationID becomes the
// row's, and makes an eviction a delete that a caller asked for. If another operation has
// asked for the delete before, it becomes one of LaterDeletes; if there are too many, Delete
// is refused.
func Delete(k Key, operationID string, lease time.Duration) Transition {
	invalid := checkTexts("operation", operationID)
	return Transition{Key: k, Verb: "delete", invalid: invalid, apply: func(c *Copy, now time.Time) (Outcome, error) {
		if c.State == StateDeleted {
			return Refused, ErrNotFound
		}
		if c.State == StateDeleting && isLeased(c, now) {
			return Refused, nil
		}
		asked := c.State == StateDeleting && !c.Evicting
		switch {
		case operationID == "":
		case asked:
			if !addDelete(c, operationID) {
				return Refused, nil
			}
		default:
			c.OperationID = operationID
		}
		c.Evicting = c.Evicting && operationID == ""
		claimDelete(c, now, lease)
		return Changed, nil
	}}
}

// ResumeDelete is Delete for a delete that has begun, as this row says, and that no client
// works on. It is refused if the row has changed since.
func ResumeDelete(row Copy, lease time.Duration) Transition {
	return Transition{Key: row.Key, Verb: "resume the delete of", apply: func(c *Copy, now time.Time) (Outcome, error) {
		if c.State != StateDeleting || c.Fence != row.Fence || isLeased(c, now) {
			return Refused, nil
		}
		claimDelete(c, now, lease)
		return Changed, nil
	}}
}

// maxLaterDeletes bounds LaterDeletes. Beyond that a row doesn't know the operations.
const maxLaterDeletes = 64

// addDelete adds the operation of a further request to delete a copy, unless the row has it.
// It reports whether the row has it now: there may be too many.
func addDelete(c *Copy, operationID string) bool {
	if c.IsDeletedFor(operationID) {
		return true
	}
	if len(c.LaterDeletes) >= maxLaterDeletes {
		return false
	}
	c.LaterDeletes = append(slices.Clone(c.LaterDeletes), operationID)
	return true
}

// RepeatDelete records a further request to delete a copy that is being deleted. An
// eviction becomes the delete of that operation. Otherwise it becomes one of LaterDeletes,
// and is refused if there are too many.
func RepeatDelete(k Key, operationID string) Transition {
	invalid := checkTexts("operation", operationID)
	return Transition{Key: k, Verb: "repeat the delete of", invalid: invalid, apply: func(c *Copy, _ time.Time) (Outcome, error) {
		if c.State != StateDeleting || operationID == "" {
			return Refused, nil
		}
		switch {
		case c.Evicting:
			c.OperationID, c.Evicting = operationID, false
		case c.IsDeletedFor(operationID):
			return Repeated, nil
		case !addDelete(c, operationID):
			return Refused, nil
		}
		return Changed, nil
	}}
}

// Evict is Delete for a copy that must make room for another. It applies only to
// StateReady, and is refused if the copy was used or changed since the row was read.
func Evict(victim Copy, lease time.Duration) Transition {
	return Transition{Key: victim.Key, Verb: "evict", apply: func(c *Copy, now time.Time) (Outcome, error) {
		if c.State != StateReady || c.Fence != victim.Fence || c.FileID != victim.FileID || c.LastUse().After(victim.LastUse()) {
			return Refused, nil
		}
		c.Evicting = true
		claimDelete(c, now, lease)
		return Changed, nil
	}}
}

// StopEviction makes a copy ready again whose file the provider has kept. It is refused if
// the fence is not the newest any more, or if a caller has asked for the delete meanwhile.
//
// Safe to repeat: if the row already has this fence and is ready, an earlier call
// succeeded.
func StopEviction(k Key, fence int64) Transition {
	return Transition{Key: k, Verb: "stop the eviction of", apply: func(c *Copy, _ time.Time) (Outcome, error) {
		if c.Fence != fence || c.State != StateDeleting || !c.Evicting || c.FileID == "" {
			return repeatedIf(c.Fence == fence && c.State == StateReady), nil
		}
		c.State, c.Evicting, c.Error, c.Attempts = StateReady, false, nil, 0
		c.NextAttemptAt, c.LeaseUntil = time.Time{}, time.Time{}
		return Changed, nil
	}}
}

func claimDelete(c *Copy, now time.Time, lease time.Duration) {
	noteUpload(c)
	if c.State != StateDeleting {
		c.Error, c.Attempts, c.LaterDeletes = nil, 0, nil
	}
	c.State = StateDeleting
	c.Fence++
	c.LeaseUntil = now.Add(lease)
	c.NextAttemptAt = c.LeaseUntil
}

// FinishDelete ends a deletion: the row becomes StateDeleted or StateEvicted, without
// a file id. It is refused if the fence is not the newest any more. StateDeleted says
// that nothing is left, so it is also refused if a file that was given up is a stray,
// or if a stray has not settled yet; the others are looked for again after the settling
// time. If a caller has asked for the delete of an evicted copy meanwhile, the row
// only loses its file, and stays StateDeleting: the strays are left to delete.
//
// Safe to repeat: if the row already has this fence and state, an earlier call
// succeeded.
func FinishDelete(k Key, fence int64, to State, settling time.Duration) Transition {
	t := Transition{Key: k, Verb: "finish the delete of", apply: func(c *Copy, now time.Time) (Outcome, error) {
		if c.Fence != fence || c.State != StateDeleting {
			return repeatedIf(c.Fence == fence && c.State == to), nil
		}
		open := func(s Stray) bool { return s.IsGivenUp() || !s.HasSettled(now, settling) }
		if to == StateDeleted && slices.ContainsFunc(c.Strays, open) {
			return Refused, nil
		}
		c.forgetFile()
		if to == StateEvicted && !c.Evicting {
			return Changed, nil
		}
		c.State, c.Error, c.Evicting = to, nil, false
		c.NextAttemptAt, c.LeaseUntil = time.Time{}, time.Time{}
		if to == StateDeleted { // only the fence and the operation matter from now on
			c.ReadyAt, c.LastUsedAt = time.Time{}, time.Time{}
			c.LookAt = now.Add(settling)
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
		if f.Attempted {
			c.Attempts++
		}
		return Changed, nil
	}}
	switch {
	case f.State != "" && f.State != StateDeleting:
		t.invalid = fmt.Errorf("a failed delete can't make a copy %q", f.State)
	case f.MayTurnUp || f.GivenUp != "":
		t.invalid = errors.New("a failed delete makes no remote file")
	}
	return t
}
