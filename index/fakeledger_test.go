package index_test

import (
	"context"
	"sync"
	"time"

	"casgate/cas"
	"casgate/providers/ledger"
)

// copies is a ledger of copies in memory that are ready, or not there.
type copies struct {
	ledger.Store // all other methods panic
	mu           sync.Mutex
	rows         map[ledger.Key]ledger.Copy
	texts        map[ledger.TextKey]cas.Digest
	// hold, where it is set, is called by Copy after the row is read.
	hold func()
}

// The copy and the text of the tests.
var (
	someKey  = ledger.Key{Digest: some, Provider: "kimi", Account: "a", Purpose: "file-extract", Extension: ".pdf"}
	someText = ledger.TextKey{Digest: some, Provider: "kimi", Extension: ".pdf"}
)

// newCopies makes a ledger with the copy and the text of the tests.
func newCopies(change ...func(c *ledger.Copy)) *copies {
	l := &copies{rows: map[ledger.Key]ledger.Copy{}, texts: map[ledger.TextKey]cas.Digest{someText: some}}
	c := ledger.Copy{Key: someKey, State: ledger.StateReady, FileID: "1"}
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

// Copy implements ledger.Store.
func (l *copies) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	l.mu.Lock()
	c, found := l.rows[k]
	hold := l.hold
	l.mu.Unlock()
	if hold != nil {
		hold()
	}
	if ctx.Err() != nil {
		return ledger.Copy{}, ctx.Err()
	}
	if !found {
		return ledger.Copy{}, ledger.ErrNotFound
	}
	return c, nil
}

// ExtractedText implements ledger.Store.
func (l *copies) ExtractedText(_ context.Context, k ledger.TextKey) (cas.Digest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text, found := l.texts[k]; found {
		return text, nil
	}
	return cas.Digest{}, ledger.ErrNotFound
}

// The writes: whatever they are, afterwards there is nothing any more.
func (l *copies) SetExtractedText(context.Context, ledger.TextKey, cas.Digest) error {
	l.clear()
	return nil
}
func (l *copies) Change(context.Context, ledger.Transition) (c ledger.Copy, done bool, err error) {
	l.clear()
	return c, true, nil
}

// LeastUsed implements ledger.Store.
func (l *copies) LeastUsed(ctx context.Context, _ ledger.Key, _ string, _ int) ([]ledger.Copy, error) {
	c, err := l.Copy(ctx, someKey)
	return []ledger.Copy{c}, err
}

// Expired implements ledger.Store.
func (l *copies) Expired(context.Context, ledger.Key, string, int) ([]ledger.Copy, error) {
	return nil, nil
}

// UseCopies implements ledger.Store.
func (l *copies) UseCopies(context.Context, map[ledger.Key]time.Time) error { return nil }
