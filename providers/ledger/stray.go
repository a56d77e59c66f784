package ledger

import (
	"slices"
	"time"
)

// Stray is a remote file that its copy's row does not name. An upload whose outcome is
// not known leaves one, and so does a file that was given up.
type Stray struct {
	// Fence is that of the attempt that made the file, or may have.
	Fence int64 `json:"fence"`
	// FileID is the id of a file that was given up: it must be deleted, and never becomes
	// the copy's again. It is empty if only the attempt is known: its file may turn up.
	FileID string `json:"file_id,omitempty"`
	// At is when the attempt had ended for certain, or when a file that was given up
	// became known. It may lie in the future: the end of a lease.
	At time.Time `json:"at"`
	// Began is when the attempt began, or zero: its gateway died.
	Began time.Time `json:"began,omitzero"`
	// KeepUntil is when the file of a copy that was renewed expires. Callers have its id
	// with this time, so it is not deleted before, unless the whole copy is. Zero for all
	// others.
	KeepUntil time.Time `json:"keep_until,omitzero"`
}

// IsKept reports whether callers may still use the file.
func (s Stray) IsKept(now time.Time) bool { return s.KeepUntil.After(now) }

// IsGivenUp reports whether the file is known and must be deleted.
func (s Stray) IsGivenUp() bool { return s.FileID != "" }

// HasSettled reports whether the provider must list the file by now if it has it.
func (s Stray) HasSettled(now time.Time, settling time.Duration) bool {
	return !now.Before(s.At.Add(settling))
}

// MayTurnUp returns the strays of which only the attempt is known.
func (c Copy) MayTurnUp() []Stray {
	return slices.DeleteFunc(slices.Clone(c.Strays), Stray.IsGivenUp)
}

// GivenUp returns the strays whose file is known and must be deleted.
func (c Copy) GivenUp() []Stray {
	return slices.DeleteFunc(slices.Clone(c.Strays), func(s Stray) bool { return !s.IsGivenUp() })
}

// HasGivenUp reports whether a remote file was given up.
func (c Copy) HasGivenUp(fileID string) bool {
	return slices.ContainsFunc(c.Strays, func(s Stray) bool { return s.IsGivenUp() && s.FileID == fileID })
}

// IsFresh reports whether the provider may not know the row's file yet: it was uploaded
// less than the settling time ago.
func (c Copy) IsFresh(now time.Time, settling time.Duration) bool {
	return c.FileID != "" && !c.UploadedAt.IsZero() && now.Before(c.UploadedAt.Add(settling))
}

// addStray adds a stray. A stray of the same file, or of the same attempt if no file is
// known, is replaced by the one that ended later. The row is looked at now.
func (c *Copy) addStray(s Stray) {
	same := func(o Stray) bool { return o.FileID == s.FileID && (s.IsGivenUp() || o.Fence == s.Fence) }
	if i := slices.IndexFunc(c.Strays, same); i >= 0 && c.Strays[i].At.After(s.At) {
		s.At = c.Strays[i].At
	}
	c.dropStrays(same)
	c.Strays = append(c.Strays, s)
	c.LookAt = time.Time{} // now; see scheduleLook
}

// dropStrays removes the strays that match. It never changes a slice that another row
// shares.
func (c *Copy) dropStrays(match func(Stray) bool) {
	var kept []Stray
	for _, s := range c.Strays {
		if !match(s) {
			kept = append(kept, s)
		}
	}
	c.Strays = kept
}

// giveUpFile makes the row's file a stray that must be deleted, and forgets it. The file
// of StateUnverified may be somebody else's, so it is only forgotten.
func (c *Copy) giveUpFile() { c.giveUpFileFrom(time.Time{}) }

// giveUpFileFrom is giveUpFile for a file that must be deleted from a time on.
func (c *Copy) giveUpFileFrom(keepUntil time.Time) {
	if c.FileID != "" && c.State != StateUnverified {
		c.addStray(Stray{FileID: c.FileID, At: latest(c.UploadedAt, c.CreatedAt), KeepUntil: keepUntil})
	}
	c.forgetFile()
}

// scheduleLook sets LookAt, after any change of the row.
func (c *Copy) scheduleLook(now time.Time) {
	switch c.State {
	case StateReady, StateFailed, StateLost, StateEvicted, StateDeleted:
		if len(c.Strays) > 0 {
			c.LookAt = latest(c.LookAt, now)
			return
		}
	}
	c.LookAt = time.Time{}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
