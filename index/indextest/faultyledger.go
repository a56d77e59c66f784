package indextest

import (
	"context"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// The operations that a FaultyLedger asks its hook about.
const (
	OpCopy             = "copy"
	OpCopies           = "copies"
	OpCopyOfOperation  = "copy-of-operation"
	OpChangeCopy       = "change-copy"
	OpLeastUsed        = "least-used"
	OpExpired          = "expired"
	OpUseCopies        = "use-copies"
	OpDeletes          = "deletes"
	OpDueCopies        = "due-copies"
	OpCopyUsage        = "copy-usage"
	OpCopiesAt         = "copies-at"
	OpExtractedText    = "extracted-text"
	OpSetExtractedText = "set-extracted-text"
	OpMark             = "mark"
)

// FaultyLedger is a ledger whose calls fail as its hook says, see Faulty. The hook's
// digest is that of the key; of least-used and expired, that of the copy to make room
// for; and zero for calls that are not about one blob.
type FaultyLedger struct {
	inner ledger.Store
	hook  Hook
}

var _ ledger.Store = (*FaultyLedger)(nil)

// NewFaultyLedger wraps a ledger. The hook is called from the caller's goroutine.
func NewFaultyLedger(inner ledger.Store, hook Hook) *FaultyLedger {
	return &FaultyLedger{inner: inner, hook: hook}
}

// pass makes a call as the hook says; where it says that the call fails, all that
// the caller gets is the error.
func pass[T any](f *FaultyLedger, op string, d cas.Digest, call func() (T, error)) (T, error) {
	apply, err := f.hook(op, d)
	if err == nil {
		return call()
	}
	if apply {
		_, _ = call() // its reply is lost
	}
	var none T
	return none, err
}

// Copy implements ledger.Store.
func (f *FaultyLedger) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	return pass(f, OpCopy, k.Digest, func() (ledger.Copy, error) { return f.inner.Copy(ctx, k) })
}

// Copies implements ledger.Store.
func (f *FaultyLedger) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	return pass(f, OpCopies, d, func() ([]ledger.Copy, error) { return f.inner.Copies(ctx, d) })
}

// CopyOfOperation implements ledger.Store.
func (f *FaultyLedger) CopyOfOperation(ctx context.Context, operationID string) (ledger.Copy, error) {
	return pass(f, OpCopyOfOperation, cas.Digest{}, func() (ledger.Copy, error) { return f.inner.CopyOfOperation(ctx, operationID) })
}

// Change implements ledger.Store.
func (f *FaultyLedger) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	type result struct {
		copy ledger.Copy
		done bool
	}
	r, err := pass(f, OpChangeCopy, t.Key.Digest, func() (result, error) {
		c, done, err := f.inner.Change(ctx, t)
		return result{c, done}, err
	})
	return r.copy, r.done, err
}

// LeastUsed implements ledger.Store.
func (f *FaultyLedger) LeastUsed(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	return pass(f, OpLeastUsed, room.Digest, func() ([]ledger.Copy, error) { return f.inner.LeastUsed(ctx, room, purpose, limit) })
}

// Expired implements ledger.Store.
func (f *FaultyLedger) Expired(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	return pass(f, OpExpired, room.Digest, func() ([]ledger.Copy, error) { return f.inner.Expired(ctx, room, purpose, limit) })
}

// Deletes implements ledger.Store.
func (f *FaultyLedger) Deletes(ctx context.Context, account string) ([]ledger.Copy, error) {
	return pass(f, OpDeletes, cas.Digest{}, func() ([]ledger.Copy, error) { return f.inner.Deletes(ctx, account) })
}

// UseCopies implements ledger.Store.
func (f *FaultyLedger) UseCopies(ctx context.Context, uses map[ledger.Key]time.Time) error {
	_, err := pass(f, OpUseCopies, cas.Digest{}, func() (struct{}, error) { return struct{}{}, f.inner.UseCopies(ctx, uses) })
	return err
}

// DueCopies implements ledger.Store.
func (f *FaultyLedger) DueCopies(ctx context.Context, accounts []string, limit int) ([]ledger.Copy, error) {
	return pass(f, OpDueCopies, cas.Digest{}, func() ([]ledger.Copy, error) { return f.inner.DueCopies(ctx, accounts, limit) })
}

// CopyUsage implements ledger.Store.
func (f *FaultyLedger) CopyUsage(ctx context.Context, account string) ([]ledger.Usage, error) {
	return pass(f, OpCopyUsage, cas.Digest{}, func() ([]ledger.Usage, error) { return f.inner.CopyUsage(ctx, account) })
}

// CopiesAt implements ledger.Store.
func (f *FaultyLedger) CopiesAt(ctx context.Context, provider string, after ledger.Key, limit int) ([]ledger.Copy, error) {
	return pass(f, OpCopiesAt, cas.Digest{}, func() ([]ledger.Copy, error) { return f.inner.CopiesAt(ctx, provider, after, limit) })
}

// ExtractedText implements ledger.Store.
func (f *FaultyLedger) ExtractedText(ctx context.Context, k ledger.TextKey) (cas.Digest, error) {
	return pass(f, OpExtractedText, k.Digest, func() (cas.Digest, error) { return f.inner.ExtractedText(ctx, k) })
}

// SetExtractedText implements ledger.Store.
func (f *FaultyLedger) SetExtractedText(ctx context.Context, k ledger.TextKey, text cas.Digest) error {
	_, err := pass(f, OpSetExtractedText, k.Digest, func() (struct{}, error) { return struct{}{}, f.inner.SetExtractedText(ctx, k, text) })
	return err
}

// Mark implements ledger.Store.
func (f *FaultyLedger) Mark(ctx context.Context) (providers.Mark, error) {
	return pass(f, OpMark, cas.Digest{}, func() (providers.Mark, error) { return f.inner.Mark(ctx) })
}
