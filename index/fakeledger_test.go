package index_test

import (
	"context"
	"sync"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// copies is a ledger of copies in memory that are ready, or not there.
type copies struct {
	providers.Ledger // what isn't here panics
	mu               sync.Mutex
	rows             map[providers.Key]providers.Copy
	texts            map[providers.TextKey]cas.Digest
	// hold, where it is set, is called by Copy after the row is read.
	hold func()
}

// The copy and the text of the tests.
var (
	someKey  = providers.Key{Digest: some, Provider: "kimi", Account: "a", Purpose: "file-extract", Extension: ".pdf"}
	someText = providers.TextKey{Digest: some, Provider: "kimi", Extension: ".pdf"}
)

// newCopies makes a ledger with the copy and the text of the tests.
func newCopies(change ...func(c *providers.Copy)) *copies {
	l := &copies{rows: map[providers.Key]providers.Copy{}, texts: map[providers.TextKey]cas.Digest{someText: some}}
	c := providers.Copy{Key: someKey, State: providers.StateReady, FileID: "1"}
	for _, f := range change {
		f(&c)
	}
	l.rows[someKey] = c
	return l
}

// clear removes all there is.
func (l *copies) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.rows)
	clear(l.texts)
}

// Copy implements providers.Ledger.
func (l *copies) Copy(ctx context.Context, k providers.Key) (providers.Copy, error) {
	l.mu.Lock()
	c, found := l.rows[k]
	hold := l.hold
	l.mu.Unlock()
	if hold != nil {
		hold()
	}
	if ctx.Err() != nil {
		return providers.Copy{}, ctx.Err()
	}
	if !found {
		return providers.Copy{}, providers.ErrCopyNotFound
	}
	return c, nil
}

// ExtractedText implements providers.Ledger.
func (l *copies) ExtractedText(_ context.Context, k providers.TextKey) (cas.Digest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text, found := l.texts[k]; found {
		return text, nil
	}
	return cas.Digest{}, providers.ErrCopyNotFound
}

// The writes: whatever they are, afterwards there is nothing any more.
func (l *copies) SetExtractedText(context.Context, providers.TextKey, cas.Digest) error {
	l.clear()
	return nil
}
func (l *copies) EnterCopy(context.Context, providers.Wanted, string) (c providers.Copy, err error) {
	l.clear()
	return c, nil
}
func (l *copies) RequestCopy(context.Context, providers.Wanted) (c providers.Copy, err error) {
	l.clear()
	return c, nil
}
func (l *copies) ClaimCopy(context.Context, providers.Wanted, time.Duration) (c providers.Copy, won bool, err error) {
	l.clear()
	return c, true, nil
}
func (l *copies) CompleteCopy(context.Context, providers.Key, int64, providers.RemoteFile) (c providers.Copy, held bool, err error) {
	l.clear()
	return c, true, nil
}
func (l *copies) FailCopy(context.Context, providers.Key, int64, providers.Failure) (c providers.Copy, held bool, err error) {
	l.clear()
	return c, true, nil
}
func (l *copies) LoseCopy(context.Context, providers.Key, string, int, time.Duration) (c providers.Copy, err error) {
	l.clear()
	return c, nil
}
func (l *copies) DeleteCopy(context.Context, providers.Key, string, time.Duration) (c providers.Copy, won bool, err error) {
	l.clear()
	return c, true, nil
}
func (l *copies) FinishDelete(context.Context, providers.Key, int64, providers.State) (held bool, err error) {
	l.clear()
	return true, nil
}
func (l *copies) FailDelete(context.Context, providers.Key, int64, providers.Failure) (c providers.Copy, held bool, err error) {
	l.clear()
	return c, true, nil
}
func (l *copies) EvictCopy(context.Context, providers.Key, string, time.Duration) (c providers.Copy, won bool, err error) {
	l.mu.Lock()
	c = l.rows[someKey]
	l.mu.Unlock()
	l.clear()
	return c, true, nil
}
func (l *copies) UseCopies(context.Context, map[providers.Key]time.Time) error { return nil }
