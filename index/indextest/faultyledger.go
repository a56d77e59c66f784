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
	OpEnterCopy        = "enter-copy"
	OpRequestCopy      = "request-copy"
	OpClaimCopy        = "claim-copy"
	OpExtendLease      = "extend-lease"
	OpCompleteCopy     = "complete-copy"
	OpFailCopy         = "fail-copy"
	OpLoseCopy         = "lose-copy"
	OpDeleteCopy       = "delete-copy"
	OpFinishDelete     = "finish-delete"
	OpFailDelete       = "fail-delete"
	OpEvictCopy        = "evict-copy"
	OpUseCopies        = "use-copies"
	OpDueCopies        = "due-copies"
	OpCopyUsage        = "copy-usage"
	OpCopiesAt         = "copies-at"
	OpExtractedText    = "extracted-text"
	OpSetExtractedText = "set-extracted-text"
)

// FaultyLedger is a ledger whose calls fail as its hook says, see Faulty. The hook's
// digest is that of the key; of evict-copy, that of the copy to make room for; and
// zero for what is not about one blob.
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

// passCopy is pass for calls with a verdict.
func passCopy(f *FaultyLedger, op string, d cas.Digest, call func() (ledger.Copy, bool, error)) (ledger.Copy, bool, error) {
	type answer struct {
		copy    ledger.Copy
		verdict bool
	}
	a, err := pass(f, op, d, func() (answer, error) {
		c, verdict, err := call()
		return answer{c, verdict}, err
	})
	return a.copy, a.verdict, err
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

// EnterCopy implements ledger.Store.
func (f *FaultyLedger) EnterCopy(ctx context.Context, w ledger.Wanted, fileID string) (ledger.Copy, error) {
	return pass(f, OpEnterCopy, w.Digest, func() (ledger.Copy, error) { return f.inner.EnterCopy(ctx, w, fileID) })
}

// RequestCopy implements ledger.Store.
func (f *FaultyLedger) RequestCopy(ctx context.Context, w ledger.Wanted) (ledger.Copy, error) {
	return pass(f, OpRequestCopy, w.Digest, func() (ledger.Copy, error) { return f.inner.RequestCopy(ctx, w) })
}

// ClaimCopy implements ledger.Store.
func (f *FaultyLedger) ClaimCopy(ctx context.Context, w ledger.Wanted, lease time.Duration) (ledger.Copy, bool, error) {
	return passCopy(f, OpClaimCopy, w.Digest, func() (ledger.Copy, bool, error) { return f.inner.ClaimCopy(ctx, w, lease) })
}

// ExtendLease implements ledger.Store.
func (f *FaultyLedger) ExtendLease(ctx context.Context, k ledger.Key, fence int64, lease time.Duration) (bool, error) {
	return pass(f, OpExtendLease, k.Digest, func() (bool, error) { return f.inner.ExtendLease(ctx, k, fence, lease) })
}

// CompleteCopy implements ledger.Store.
func (f *FaultyLedger) CompleteCopy(ctx context.Context, k ledger.Key, fence int64, file providers.RemoteFile) (ledger.Copy, bool, error) {
	return passCopy(f, OpCompleteCopy, k.Digest, func() (ledger.Copy, bool, error) { return f.inner.CompleteCopy(ctx, k, fence, file) })
}

// FailCopy implements ledger.Store.
func (f *FaultyLedger) FailCopy(ctx context.Context, k ledger.Key, fence int64, failure ledger.Failure) (ledger.Copy, bool, error) {
	return passCopy(f, OpFailCopy, k.Digest, func() (ledger.Copy, bool, error) { return f.inner.FailCopy(ctx, k, fence, failure) })
}

// LoseCopy implements ledger.Store.
func (f *FaultyLedger) LoseCopy(ctx context.Context, k ledger.Key, fileID string, allowed int, window time.Duration) (ledger.Copy, error) {
	return pass(f, OpLoseCopy, k.Digest, func() (ledger.Copy, error) { return f.inner.LoseCopy(ctx, k, fileID, allowed, window) })
}

// DeleteCopy implements ledger.Store.
func (f *FaultyLedger) DeleteCopy(ctx context.Context, k ledger.Key, operationID string, lease time.Duration) (ledger.Copy, bool, error) {
	return passCopy(f, OpDeleteCopy, k.Digest, func() (ledger.Copy, bool, error) { return f.inner.DeleteCopy(ctx, k, operationID, lease) })
}

// FinishDelete implements ledger.Store.
func (f *FaultyLedger) FinishDelete(ctx context.Context, k ledger.Key, fence int64, to ledger.State) (bool, error) {
	return pass(f, OpFinishDelete, k.Digest, func() (bool, error) { return f.inner.FinishDelete(ctx, k, fence, to) })
}

// FailDelete implements ledger.Store.
func (f *FaultyLedger) FailDelete(ctx context.Context, k ledger.Key, fence int64, failure ledger.Failure) (ledger.Copy, bool, error) {
	return passCopy(f, OpFailDelete, k.Digest, func() (ledger.Copy, bool, error) { return f.inner.FailDelete(ctx, k, fence, failure) })
}

// EvictCopy implements ledger.Store.
func (f *FaultyLedger) EvictCopy(ctx context.Context, room ledger.Key, purpose string, lease time.Duration) (ledger.Copy, bool, error) {
	return passCopy(f, OpEvictCopy, room.Digest, func() (ledger.Copy, bool, error) { return f.inner.EvictCopy(ctx, room, purpose, lease) })
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
