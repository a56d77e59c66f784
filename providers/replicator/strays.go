package replicator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

const (
	// The delays between two looks for a file that may turn up.
	shortestLook = 300 * time.Millisecond
	longestLook  = 5 * time.Second
	// forgetAfter is how many settling times after its attempt a stray is forgotten.
	forgetAfter = 10
	// longestSweep is the longest wait before a file that could not be deleted is deleted
	// again.
	longestSweep = time.Hour
)

// lookDelay returns the wait before the next look for a file whose upload ended at a
// time. A file turns up most probably near that time, so the delays are short there.
func lookDelay(now, ended time.Time) time.Duration {
	return min(max(now.Sub(ended).Abs()/2, shortestLook), longestLook)
}

// databaseClock returns a clock of the database's time, which began when a row was
// claimed. It is a little slow, and never fast.
func (r *Replicator) databaseClock(claimed ledger.Copy) func() time.Time {
	began, then := time.Now(), claimed.LeaseUntil.Add(-r.o.Lease)
	return func() time.Time { return then.Add(time.Since(began)) }
}

// unsettled returns the stray that settles last, if one has not settled yet.
func unsettled(strays []ledger.Stray, now time.Time, settling time.Duration) (last ledger.Stray, ok bool) {
	for _, s := range strays {
		if !s.HasSettled(now, settling) && (!ok || s.At.After(last.At)) {
			last, ok = s, true
		}
	}
	return last, ok
}

// strangers returns those remote files of a copy's attempts that are neither the row's
// nor given up.
func strangers(c ledger.Copy, files []providers.RemoteFile) []providers.RemoteFile {
	var unknown []providers.RemoteFile
	for _, f := range files {
		if f.ID != c.FileID && !c.HasGivenUp(f.ID) {
			unknown = append(unknown, f)
		}
	}
	return unknown
}

// giveUp returns the look that gives these files up. Of the attempts that made them
// nothing more can turn up.
func giveUp(description providers.Description, files []providers.RemoteFile) (l ledger.Look) {
	for _, f := range files {
		name, _ := description.ParseRemoteName(f.Name)
		l.GivenUp = append(l.GivenUp, ledger.Stray{Fence: name.Fence, FileID: f.ID})
		l.Fences = append(l.Fences, name.Fence)
	}
	return l
}

// noteLook records a look, and logs a failure: the row's strays stay, and are looked for
// again.
func (r *Replicator) noteLook(c ledger.Copy, by int64, l ledger.Look) (row ledger.Copy, done bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.working), bookkeepingTimeout)
	defer cancel()
	row, done, err := r.ledger.Change(ctx, ledger.NoteLook(c.Key, by, l))
	if err != nil {
		r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("could not record a look for remote files; looking again later")
		return c, false
	}
	return row, done
}

// deleteGivenUp deletes the files that a row has given up, except those that callers may
// still use. What fails is left to the
// queue. It returns the new row.
func (r *Replicator) deleteGivenUp(p providers.Provider, c ledger.Copy) ledger.Copy {
	if len(c.GivenUp()) == 0 {
		return c
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.working), time.Minute)
	defer cancel()
	settling := p.Describe().SettlingOf(c.Purpose)
	var look ledger.Look
	for _, s := range c.GivenUp() {
		if s.IsKept(time.Now()) {
			continue
		}
		gone, err := r.deleteFile(ctx, p, c, s.FileID, s.HasSettled(time.Now(), settling))
		if err != nil {
			r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("file", s.FileID).Msg("a remote file that was given up is left; deleting it later")
		}
		if gone {
			look.Gone = append(look.Gone, s.FileID)
		}
	}
	if len(look.Gone) > 0 {
		c, _ = r.noteLook(c, 0, look)
	}
	return c
}

// sweep looks for the strays of a row on which no other work is due: it deletes them, or
// forgets those that can't turn up any more. A copy that had failed is made of one that
// turned up.
func (r *Replicator) sweep(ctx context.Context, p providers.Guarded, c ledger.Copy) error {
	began := time.Now()
	description := p.Describe()
	settling := description.SettlingOf(c.Purpose)
	c = r.deleteGivenUp(p, c)
	var look ledger.Look
	var failure error
	switch unknown := c.MayTurnUp(); {
	case len(unknown) == 0:
	case isUnlisted(description, c.Purpose):
		r.warnUnlisted(c)
		look = forgetAll(unknown)
	default:
		found, err := r.leftovers(ctx, p, c)
		if err != nil {
			failure = err
			break
		}
		extra := strangers(c, found)
		if c.State == ledger.StateFailed && newest(description, extra).ID != "" {
			return r.resume(ctx, p, c)
		}
		if len(extra) > 0 {
			row, done := r.noteLook(c, 0, giveUp(description, extra))
			if !done {
				return nil // a client works on the row, and looks itself
			}
			r.log.Info().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Int("files", len(extra)).Msg("the files of earlier attempts turned up; deleting them")
			c = r.deleteGivenUp(p, row)
		}
		look.Before = began.Add(-forgetAfter * settling)
	}
	look.Next = sweepDelay(c.Strays, began, settling)
	r.noteLook(c, 0, look)
	return failure
}

// forgetAll is the look after which attempts are forgotten.
func forgetAll(strays []ledger.Stray) (l ledger.Look) {
	for _, s := range strays {
		l.Fences = append(l.Fences, s.Fence)
	}
	return l
}

// sweepDelay returns the wait before the next sweep. It grows with the age of the
// strays. The last look for a stray comes when it can be forgotten.
func sweepDelay(strays []ledger.Stray, now time.Time, settling time.Duration) time.Duration {
	var next time.Duration
	for _, s := range strays {
		delay := min(max(now.Sub(s.At), settling/2, time.Second), longestSweep)
		if forgotten := s.At.Add(forgetAfter * settling); !s.IsGivenUp() && forgotten.After(now) {
			delay = min(delay, forgotten.Sub(now)+time.Millisecond)
		}
		if s.IsKept(now) {
			delay = s.KeepUntil.Sub(now) + time.Millisecond
		}
		if next == 0 || delay < next {
			next = delay
		}
	}
	return cmp.Or(next, longestSweep)
}

// isUnlisted reports whether lists don't contain files of a purpose.
func isUnlisted(description providers.Description, purpose string) bool {
	p, err := description.Purpose(purpose, "")
	return err == nil && p.Unlisted
}

// warnUnlisted logs that the files of attempts can't be looked for.
func (r *Replicator) warnUnlisted(c ledger.Copy) {
	r.log.Warn().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("an earlier upload may have stored a file, and the provider doesn't list files of this purpose; forgetting it")
}

// deleteFile deletes a remote file, and reports whether it is certainly gone. Settled:
// the provider must know the file by now if it has it. Then a 404 counts if a look doesn't
// find the file either.
func (r *Replicator) deleteFile(ctx context.Context, p providers.Provider, c ledger.Copy, id string, settled bool) (gone bool, err error) {
	err = p.Delete(ctx, id)
	switch {
	case err == nil:
		return true, nil
	case providers.KindOf(err) != providers.KindLost && !isNotDeleted(err):
		return false, err
	case settled || isNotDeleted(err):
		if err := r.checkGone(ctx, p, c, remoteDelete{id, err}); err != nil {
			return false, err
		}
	}
	if !settled {
		return false, &providers.Error{
			Provider: c.Provider, Op: providers.OpDelete, Kind: providers.KindTransient, Code: providers.CodeUnconfirmed,
			Message:    fmt.Sprintf("the provider doesn't know the file %s yet, which is new", id),
			RetryAfter: time.Second,
		}
	}
	return true, nil
}

// remoteDelete is a delete of a remote file that deleted nothing, as the provider says.
type remoteDelete struct {
	id  string
	err error
}

// stillThere is the error of the delete if the provider has the file.
func (d remoteDelete) stillThere(c ledger.Copy, code, where string) error {
	said := "it doesn't know the file"
	if isNotDeleted(d.err) {
		said = "it deleted nothing"
	}
	return &providers.Error{
		Provider: c.Provider, Op: providers.OpDelete, Kind: providers.KindTransient, Code: code,
		Message: fmt.Sprintf("the provider says that %s, and %s the file %s", said, where, d.id),
	}
}

// checkGone asks whether a file is gone that the provider did not delete, as it says. The
// error is why it may be there: after "deleted": false a lookup that finds nothing is not
// enough if the list has the file. After a 404 the list alone does not prove that the file
// is there: it may be late.
func (r *Replicator) checkGone(ctx context.Context, p providers.Provider, c ledger.Copy, d remoteDelete) error {
	code, where := providers.CodeNotDeleted, "still lists"
	if !isNotDeleted(d.err) {
		code = providers.CodeUnconfirmed
	}
	if retriever, ok := providers.Ability[providers.Retriever](p); ok {
		_, err := retriever.Retrieve(ctx, d.id)
		switch {
		case err == nil:
			return d.stillThere(c, providers.CodeNotDeleted, "still has")
		case providers.KindOf(err) != providers.KindLost:
			return err
		case !isNotDeleted(d.err):
			return nil
		}
		code, where = providers.CodeUnconfirmed, "a lookup doesn't find it, but the list has"
	}
	if isUnlisted(p.Describe(), c.Purpose) {
		return nil
	}
	all, err := r.listAll(ctx, p)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all.files, func(f providers.RemoteFile) bool { return f.ID == d.id }) {
		return d.stillThere(c, code, where)
	}
	return nil
}
