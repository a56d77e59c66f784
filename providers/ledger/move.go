package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// AccountMove says which rows get another account: the same account at the provider has
// got another name or key.
type AccountMove struct {
	Provider string
	From, To string
	// DryRun: change nothing.
	DryRun bool
}

// Moved is the result of an AccountMove. With DryRun the rows are as they would be moved.
type Moved struct {
	// Copies are the rows that were moved. Dropped are rows that name no file, of which
	// nothing is left to move.
	Copies, Dropped []Copy
	// InWork are rows that stay, because a gateway is working on them.
	InWork []Copy
	// Conflicts are rows that stay, because the copy has another file or work at the new
	// account.
	Conflicts []Copy
}

// movePage is how many rows one read returns.
const movePage = 500

// MoveAccount moves the rows of an account to another name of the same account. Each row
// is moved in two steps: the new row gets the file first, so that a file is never without
// a row. A repetition continues after an interruption. The result counts what was done
// before an error.
func MoveAccount(ctx context.Context, s Store, m AccountMove) (Moved, error) {
	var done Moved
	if m.From == m.To {
		return done, fmt.Errorf("the copies at %s are at the account %s already", m.Provider, m.To)
	}
	var after Key
	for {
		page, err := s.CopiesAt(ctx, m.Provider, after, movePage)
		if err != nil {
			return done, err
		}
		for _, c := range page {
			if c.Account != m.From {
				continue
			}
			if err := m.move(ctx, s, c, &done); err != nil {
				return done, err
			}
		}
		if len(page) < movePage {
			return done, nil
		}
		after = page[len(page)-1].Key
	}
}

// CountAccounts counts the rows at a provider by account.
func CountAccounts(ctx context.Context, s Store, provider string) (map[string]int, error) {
	counts := make(map[string]int)
	var after Key
	for {
		page, err := s.CopiesAt(ctx, provider, after, movePage)
		if err != nil {
			return nil, err
		}
		for _, c := range page {
			counts[c.Account]++
		}
		if len(page) < movePage {
			return counts, nil
		}
		after = page[len(page)-1].Key
	}
}

// move moves a row, or notes why it stays.
func (m AccountMove) move(ctx context.Context, s Store, c Copy, done *Moved) error {
	to := c.Key
	to.Account = m.To
	switch {
	case isLeased(&c, time.Now()):
		done.InWork = append(done.InWork, c)
		return nil
	case !c.isWorthMoving():
		return m.leave(ctx, s, c, &done.Dropped, done)
	}
	taken, err := m.take(ctx, s, to, c)
	if err != nil {
		return err
	}
	if !taken {
		done.Conflicts = append(done.Conflicts, c)
		return nil
	}
	return m.leave(ctx, s, c, &done.Copies, done)
}

// take gives the file to the new row, and reports whether that names it then.
func (m AccountMove) take(ctx context.Context, s Store, to Key, c Copy) (bool, error) {
	if !m.DryRun {
		_, taken, err := s.Change(ctx, Take(to, c))
		return taken, err
	}
	known, err := s.Copy(ctx, to)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	_, outcome, err := Take(to, c).Apply(known, time.Now())
	return outcome != Refused, err
}

// leave ends the old row, and adds it to a list of the result.
func (m AccountMove) leave(ctx context.Context, s Store, c Copy, list *[]Copy, done *Moved) error {
	if !m.DryRun {
		_, left, err := s.Change(ctx, Leave(c))
		switch {
		case errors.Is(err, ErrNotFound): // an earlier call has ended it
		case err != nil:
			return err
		case !left:
			list = &done.InWork
		}
	}
	*list = append(*list, c)
	return nil
}

// isWorthMoving reports whether the row knows of a remote file, or that one may exist, or
// waits for an upload.
func (c Copy) isWorthMoving() bool {
	return c.FileID != "" || len(c.Strays) > 0 || c.State == StatePending || c.State == StateUploading
}

// Take gives the row all that the row of the same copy at another name of its account
// has: its file, its strays, its work that is due. It is refused if the row has another
// file, or if it is in work; a row that only waits for an upload gets the file instead. A
// row that has a file takes the strays of one that has none. The fence becomes higher than
// both, since it is part of remote names.
//
// Safe to repeat: if the row already has this file, an earlier call succeeded.
func Take(k Key, from Copy) Transition {
	return Transition{Key: k, Verb: "take over", creates: true, apply: func(c *Copy, now time.Time) (Outcome, error) {
		switch {
		case c.FileID != "" && c.FileID == from.FileID:
			return Repeated, nil
		case c.FileID != "" && from.FileID != "", !c.LeaseUntil.IsZero(), c.State == StateDeleting:
			return Refused, nil
		}
		if from.State == StateUploading {
			noteUpload(&from)
			from.State, from.NextAttemptAt = StatePending, now
		}
		before := *c
		if c.FileID == "" {
			*c = from
			c.Key, c.LeaseUntil, c.Strays = k, time.Time{}, before.Strays
			if before.State == StatePending {
				c.OperationID = before.OperationID
			}
			if !before.CreatedAt.IsZero() && before.CreatedAt.Before(c.CreatedAt) {
				c.CreatedAt = before.CreatedAt
			}
		}
		c.Fence = max(before.Fence, from.Fence) + 1
		for _, s := range from.Strays {
			c.addStray(s)
		}
		switch c.State { // what was in work is due at once
		case StateProcessing:
			c.LeaseUntil = now
		case StateDeleting:
			c.NextAttemptAt, c.Attempts = now, 0
		}
		return Changed, nil
	}}
}

// Leave ends a row whose file and strays another row has: it becomes StateDeleted. It is
// refused if the row has changed since it was read.
func Leave(from Copy) Transition {
	return Transition{Key: from.Key, Verb: "leave", apply: func(c *Copy, _ time.Time) (Outcome, error) {
		if c.State == StateDeleted {
			return Refused, ErrNotFound
		}
		if c.Fence != from.Fence || c.FileID != from.FileID || c.State != from.State || len(c.Strays) != len(from.Strays) {
			return Refused, nil
		}
		c.forgetFile()
		c.State, c.Error, c.Strays, c.Evicting = StateDeleted, nil, nil, false
		c.ReadyAt, c.LastUsedAt = time.Time{}, time.Time{}
		c.NextAttemptAt, c.LeaseUntil = time.Time{}, time.Time{}
		return Changed, nil
	}}
}
