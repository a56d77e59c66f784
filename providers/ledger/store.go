package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// ErrNotFound: the ledger has no such copy.
var ErrNotFound = errors.New("copy not found")

// Store keeps the rows of copies. Index drivers implement it; index/indextest is
// their conformance kit. Each method is atomic. Implementations announce every change
// of a row to the listeners of all gateways.
//
// Errors that are the database's fault wrap cas.ErrIndexUnavailable; after one of
// those a write may or may not have been applied. If a named row does not exist, or is
// StateDeleted, errors wrap ErrNotFound, unless the method says otherwise.
type Store interface {
	// Copy returns the row.
	Copy(ctx context.Context, k Key) (Copy, error)

	// Copies returns the rows of a blob at all providers and accounts, except those in
	// StateDeleted, by creation.
	Copies(ctx context.Context, d cas.Digest) ([]Copy, error)

	// CopyOfOperation returns the row that an operation works on, in whatever state. That is
	// also the row of which it is one of LaterDeletes, until the copy is made again.
	CopyOfOperation(ctx context.Context, operationID string) (Copy, error)

	// Change applies a transition to the row t.Key, at the time of the database's clock,
	// and returns the row afterwards. It reports done if the transition changed the row,
	// or if the row is already as the transition makes it; otherwise the row is returned
	// as it is. Of several concurrent changes of one row each is applied to the result
	// of another. Errors are also those of t.Apply.
	Change(ctx context.Context, t Transition) (c Copy, done bool, err error)

	// LeastUsed returns the StateReady copies of room's account (and of a purpose, unless
	// that is empty) that were used least recently, at most limit, in this order. A copy
	// that was never used counts as used when it became ready. It never returns room
	// itself, the copy to make room for, and may leave out rows that another client is
	// changing.
	LeastUsed(ctx context.Context, room Key, purpose string, limit int) ([]Copy, error)

	// Expired is LeastUsed for those of these copies that have expired: the first ones to
	// expire come first.
	Expired(ctx context.Context, room Key, purpose string, limit int) ([]Copy, error)

	// Deletes returns the copies of an account whose delete has begun, and whose file may
	// still be there: StateDeleting with a FileID. Those whose work waits longest come first.
	Deletes(ctx context.Context, account string) ([]Copy, error)

	// UseCopies records when copies were last used. It ignores times before the
	// recorded ones, and keys without a row.
	UseCopies(ctx context.Context, uses map[Key]time.Time) error

	// DueCopies returns rows of the accounts (see providers.Account) that need work
	// which no gateway does: StatePending, StateUnverified and StateDeleting that are
	// due without a running lease; StateUploading, StateProcessing and StateUnverified
	// whose lease has run out; all whose LookAt has passed. Those that wait longest come
	// first.
	DueCopies(ctx context.Context, accounts []string, limit int) ([]Copy, error)

	// CopyUsage counts the rows of an account, by purpose, that take up room at the
	// provider or soon will: StateUploading, StateProcessing, StateUnverified,
	// StateReady, and StateDeleting with a FileID. It also counts files that such rows keep beside their own
	// until they expire (Stray.KeepUntil). Those in StateUploading without a file are also counted
	// by themselves. Its cost doesn't grow with the number of copies, nor does that of
	// LeastUsed and Expired.
	CopyUsage(ctx context.Context, account string) ([]Usage, error)

	// CopiesAt returns rows at a provider, of all accounts, except those in
	// StateDeleted. They are ordered by digest, account, purpose, extension, and begin
	// after the given key; the zero Key means from the start.
	CopiesAt(ctx context.Context, provider string, after Key, limit int) ([]Copy, error)

	// ExtractedText returns the digest of the text extracted from a blob, or
	// ErrNotFound.
	ExtractedText(ctx context.Context, k TextKey) (cas.Digest, error)

	// SetExtractedText records the text of a blob, and replaces an earlier one.
	SetExtractedText(ctx context.Context, k TextKey, text cas.Digest) error

	// Mark returns the installation's mark. The first call makes it; all calls, by all
	// gateways, return the same one.
	Mark(ctx context.Context) (providers.Mark, error)
}

// Eviction says which copies may be evicted.
type Eviction struct {
	Room    Key    // the copy to make room for, which stays
	Purpose string // only copies of this one; empty means all
	Expired bool   // only copies that have expired
	// Spares reports whether a copy must stay. Optional.
	Spares func(Copy) bool
	// Enough reports whether the eviction of these copies makes enough room. Nil: that of
	// one copy does.
	Enough func([]Copy) bool
}

// Victims returns the copies to evict: as few as are enough, or all that may be evicted if
// they are not enough. Those that have expired go first, whatever their last use: they are
// of no use any more. The others follow, those used least recently first.
func Victims(ctx context.Context, s Store, e Eviction) (victims []Copy, enough bool, err error) {
	if victims, enough, err = e.choose(ctx, nil, s.Expired); err != nil || enough || e.Expired {
		return victims, enough, err
	}
	return e.choose(ctx, victims, s.LeastUsed)
}

// choose chooses more copies, of those that list returns.
func (e Eviction) choose(ctx context.Context, chosen []Copy, list func(context.Context, Key, string, int) ([]Copy, error)) (victims []Copy, enough bool, err error) {
	has := make(map[Key]bool, len(chosen))
	for _, c := range chosen {
		has[c.Key] = true
	}
	// The list may have those that were chosen already.
	for limit := 16 + len(chosen); ; limit *= 4 {
		candidates, err := list(ctx, e.Room, e.Purpose, limit)
		if err != nil {
			return nil, false, err
		}
		victims = slices.Clone(chosen)
		for _, c := range candidates {
			if has[c.Key] || e.Spares != nil && e.Spares(c) {
				continue
			}
			victims = append(victims, c)
			if e.Enough == nil || e.Enough(victims) {
				return victims, true, nil
			}
		}
		if len(candidates) < limit {
			return victims, false, nil
		}
	}
}

// HasExpired reports whether the provider keeps the copy's file no longer.
func (c Copy) HasExpired(now time.Time) bool { return hasPassed(c.ExpiresAt, now) }

// LastUse returns when a ready copy was last used, by the rule of Store.LeastUsed.
func (c Copy) LastUse() time.Time {
	if c.LastUsedAt.After(c.ReadyAt) {
		return c.LastUsedAt
	}
	return c.ReadyAt
}
