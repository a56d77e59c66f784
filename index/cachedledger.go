package index

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

var _ ledger.Store = (*CachedLedger)(nil)

// LedgerOptions says how much a CachedLedger remembers, and for how long.
type LedgerOptions struct {
	CacheOptions
	// Margin is how long before a copy expires it is forgotten. It should be more than
	// the clocks of this machine and of the database differ by.
	Margin time.Duration
}

// CachedLedger is a ledger that answers Copy and ExtractedText from memory where it
// can. It remembers copies that are ready, and texts that are there: in all other
// states a copy is asked for every time. Nothing else is answered from memory.
//
// Of a copy that is answered from memory LastUsedAt may be out of date. Its Error
// is shared, and must not be changed.
type CachedLedger struct {
	inner  ledger.Store
	margin time.Duration
	seed   maphash.Seed
	copies *cache[ledger.Copy]
	texts  *cache[knownText]
}

// knownText is an extracted text that is remembered.
type knownText struct {
	key  ledger.TextKey
	text cas.Digest
}

// NewCachedLedger puts a cache around a ledger. The caller closes it.
func NewCachedLedger(inner ledger.Store, o LedgerOptions) (*CachedLedger, error) {
	if o.Margin < 0 {
		return nil, fmt.Errorf("ledger cache: a negative margin of %v", o.Margin)
	}
	copies, err := newCache[ledger.Copy](o.CacheOptions)
	if err != nil {
		return nil, err
	}
	texts, err := newCache[knownText](o.CacheOptions)
	if err != nil {
		copies.close()
		return nil, err
	}
	return &CachedLedger{inner: inner, margin: o.Margin, seed: maphash.MakeSeed(), copies: copies, texts: texts}, nil
}

// Close ends the cache, not the ledger it is around.
func (c *CachedLedger) Close() {
	c.copies.close()
	c.texts.close()
}

// Hits returns how many Copy and ExtractedText calls were answered from memory so
// far.
func (c *CachedLedger) Hits() uint64 { return c.copies.hits.Load() + c.texts.hits.Load() }

// Misses returns how many had to ask the ledger so far.
func (c *CachedLedger) Misses() uint64 { return c.copies.misses.Load() + c.texts.misses.Load() }

// Forget makes worthless all that is remembered of a blob's copies and texts. When
// it returns, nothing that was read before it was called is believed any more.
func (c *CachedLedger) Forget(d cas.Digest) {
	c.copies.forget(d)
	c.texts.forget(d)
}

// ForgetAll is Forget for every blob.
func (c *CachedLedger) ForgetAll() {
	c.copies.forgetAll()
	c.texts.forgetAll()
}

// Listener returns the functions that a feed calls for changes by other processes,
// if the ledger is shared. The cache keeps entries for long only while the feed
// listens.
func (c *CachedLedger) Listener() Listener {
	return Listener{CopiesChanged: c.Forget, Gap: c.ForgetAll, State: func(listening bool) {
		c.copies.setListening(listening)
		c.texts.setListening(listening)
	}, Beat: func(sent time.Time) {
		c.copies.setBeat(sent)
		c.texts.setBeat(sent)
	}}
}

// Copy implements ledger.Store.
func (c *CachedLedger) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	key, question := maphash.Comparable(c.seed, k), c.copies.ask(k.Digest)
	if known := c.copies.recall(key, question); known != nil && known.Key == k {
		c.copies.hits.Add(1)
		return *known, nil
	}
	c.copies.misses.Add(1)
	return c.loadCopy(ctx, k, key, question)
}

// loadCopy asks the ledger.
func (c *CachedLedger) loadCopy(ctx context.Context, k ledger.Key, key uint64, question asked) (ledger.Copy, error) {
	flight := flightOf(k.Digest, question.epoch, k.Provider, k.Account, k.Purpose, k.Extension)
	return c.copies.load(ctx, flight, "look up copy "+k.String(), func(ctx context.Context) (ledger.Copy, error) {
		known, err := c.inner.Copy(ctx, k)
		if err == nil && known.State == ledger.StateReady {
			until := known.ExpiresAt
			if !until.IsZero() {
				until = until.Add(-c.margin)
			}
			c.copies.remember(key, known, question, until)
		}
		return known, err
	})
}

// ExtractedText implements ledger.Store.
func (c *CachedLedger) ExtractedText(ctx context.Context, k ledger.TextKey) (cas.Digest, error) {
	key, question := maphash.Comparable(c.seed, k), c.texts.ask(k.Digest)
	if known := c.texts.recall(key, question); known != nil && known.key == k {
		c.texts.hits.Add(1)
		return known.text, nil
	}
	c.texts.misses.Add(1)
	return c.loadText(ctx, k, key, question)
}

// loadText asks the ledger.
func (c *CachedLedger) loadText(ctx context.Context, k ledger.TextKey, key uint64, question asked) (cas.Digest, error) {
	flight := flightOf(k.Digest, question.epoch, k.Provider, k.Extension)
	doing := fmt.Sprintf("look up the text of %s at %s", k.Digest.Short(), k.Provider)
	known, err := c.texts.load(ctx, flight, doing, func(ctx context.Context) (knownText, error) {
		text, err := c.inner.ExtractedText(ctx, k)
		known := knownText{k, text}
		if err == nil {
			c.texts.remember(key, known, question, time.Time{})
		}
		return known, err
	})
	if err != nil {
		return cas.Digest{}, err
	}
	return known.text, nil
}

// SetExtractedText implements ledger.Store.
func (c *CachedLedger) SetExtractedText(ctx context.Context, k ledger.TextKey, text cas.Digest) error {
	defer c.changing(k.Digest)()
	return c.inner.SetExtractedText(ctx, k, text)
}

// Mark implements ledger.Store. It always asks the ledger.
func (c *CachedLedger) Mark(ctx context.Context) (providers.Mark, error) { return c.inner.Mark(ctx) }

// changing forgets a digest before a change, so that no caller gets the old rows
// while the ledger works. Call the returned function after the change, even if the
// ledger failed, since the change may have been applied.
func (c *CachedLedger) changing(d cas.Digest) (done func()) {
	c.Forget(d)
	return func() { c.Forget(d) }
}

// Change implements ledger.Store.
func (c *CachedLedger) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	defer c.changing(t.Key.Digest)()
	return c.inner.Change(ctx, t)
}

// LeastUsed implements ledger.Store. It always asks the ledger.
func (c *CachedLedger) LeastUsed(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	return c.inner.LeastUsed(ctx, room, purpose, limit)
}

// Expired implements ledger.Store. It always asks the ledger.
func (c *CachedLedger) Expired(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	return c.inner.Expired(ctx, room, purpose, limit)
}

// Deletes implements ledger.Store. It always asks the ledger.
func (c *CachedLedger) Deletes(ctx context.Context, account string) ([]ledger.Copy, error) {
	return c.inner.Deletes(ctx, account)
}

// UseCopies implements ledger.Store. It forgets nothing. Otherwise the copies used
// most would be forgotten most.
func (c *CachedLedger) UseCopies(ctx context.Context, uses map[ledger.Key]time.Time) error {
	return c.inner.UseCopies(ctx, uses)
}

// Copies implements ledger.Store. It always asks the ledger.
func (c *CachedLedger) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	return c.inner.Copies(ctx, d)
}

// CopyOfOperation implements ledger.Store. It always asks the ledger.
func (c *CachedLedger) CopyOfOperation(ctx context.Context, operationID string) (ledger.Copy, error) {
	return c.inner.CopyOfOperation(ctx, operationID)
}

// DueCopies implements ledger.Store. It always asks the ledger.
func (c *CachedLedger) DueCopies(ctx context.Context, accounts []string, limit int) ([]ledger.Copy, error) {
	return c.inner.DueCopies(ctx, accounts, limit)
}

// CopyUsage implements ledger.Store. It always asks the ledger.
func (c *CachedLedger) CopyUsage(ctx context.Context, account string) ([]ledger.Usage, error) {
	return c.inner.CopyUsage(ctx, account)
}

// CopiesAt implements ledger.Store. It always asks the ledger.
func (c *CachedLedger) CopiesAt(ctx context.Context, provider string, after ledger.Key, limit int) ([]ledger.Copy, error) {
	return c.inner.CopiesAt(ctx, provider, after, limit)
}
