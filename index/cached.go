package index

import (
	"context"
	"encoding/binary"
	"time"

	"casgate/cas"
)

var (
	_ cas.Index     = (*Cached)(nil)
	_ cas.Forgetter = (*Cached)(nil)
	_ cas.Learner   = (*Cached)(nil)
)

// The defaults of CacheOptions.
const (
	DefaultEntries = 100_000
	DefaultTTL     = 5 * time.Minute
	DefaultDeafTTL = 2 * time.Second
)

// CacheOptions says how much is remembered, and for how long.
type CacheOptions struct {
	// Entries bounds the number of facts remembered, blobs or copies; 0 means
	// DefaultEntries. A blob takes about 300 bytes, a copy about 800.
	Entries int64
	// TTL is how long one is remembered, give or take a tenth, so that those that came
	// together don't leave together; 0 means DefaultTTL.
	TTL time.Duration
	// Shared says that other processes write to the same index. Then TTL holds only
	// while a Feed tells the cache's Listener of their changes, and DeafTTL, which
	// bounds how long what was changed elsewhere is still believed, at all other times;
	// 0 means DefaultDeafTTL.
	Shared  bool
	DeafTTL time.Duration
}

// Cached is an index that answers Blob from memory where it can. It remembers
// live blobs only: that a blob is not there, or suspect, is asked every time.
// Nothing but Blob is answered from memory, no write path above all, since a
// stale "it exists" there would lose data.
type Cached struct {
	inner cas.Index
	facts *facts[cas.Blob]
}

// NewCached puts a cache around an index. The caller closes it.
func NewCached(inner cas.Index, o CacheOptions) (*Cached, error) {
	facts, err := newFacts[cas.Blob](o)
	if err != nil {
		return nil, err
	}
	return &Cached{inner: inner, facts: facts}, nil
}

// Close ends the cache, not the index it is around.
func (c *Cached) Close() { c.facts.close() }

// Hits returns how many Blob calls were answered from memory so far.
func (c *Cached) Hits() uint64 { return c.facts.hits.Load() }

// Misses returns how many Blob calls had to ask the index so far.
func (c *Cached) Misses() uint64 { return c.facts.misses.Load() }

// key is where a blob is remembered: by the first eight bytes of its digest,
// since a longer key would be an allocation for each lookup. That two blobs share
// a key hardly happens by chance, and does no harm where somebody makes it
// happen: an entry counts for its own digest only.
func key(d cas.Digest) uint64 { return binary.LittleEndian.Uint64(d[:]) }

// Forget implements cas.Forgetter. When it returns, nothing that was read before
// it was called is believed any more.
func (c *Cached) Forget(d cas.Digest) { c.facts.forget(d) }

// ForgetAll is Forget for every blob.
func (c *Cached) ForgetAll() { c.facts.forgetAll() }

// Listener is what a feed must tell of the changes other processes make, where the
// index is shared. Only while it is told that it listens is anything remembered for
// long.
func (c *Cached) Listener() Listener {
	return Listener{BlobChanged: c.Forget, Gap: c.ForgetAll, State: c.facts.setListening}
}

// remember keeps what the index said of a blob after the epoch was read.
func (c *Cached) remember(b cas.Blob, epoch uint64) {
	if b.State == cas.StateLive {
		c.facts.remember(key(b.Digest), b, epoch, time.Time{})
	}
}

// Blob implements cas.Index.
func (c *Cached) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	epoch := c.facts.epoch(d)
	if b := c.facts.recall(key(d), epoch); b != nil && b.Digest == d {
		c.facts.hits.Add(1)
		return *b, nil
	}
	c.facts.misses.Add(1)
	return c.load(ctx, d, epoch)
}

// load asks the index.
func (c *Cached) load(ctx context.Context, d cas.Digest, epoch uint64) (cas.Blob, error) {
	return c.facts.load(ctx, flightOf(d, epoch), "look up blob "+d.Short(), func(ctx context.Context) (cas.Blob, error) {
		b, err := c.inner.Blob(ctx, d)
		if err == nil {
			c.remember(b, epoch)
		}
		return b, err
	})
}

// Touch implements cas.Index. It asks the index, always.
func (c *Cached) Touch(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	epoch := c.facts.epoch(d)
	b, err := c.inner.Touch(ctx, d)
	if err == nil {
		c.remember(b, epoch)
	}
	return b, err
}

// Commit implements cas.Index. What is remembered is live, and a commit changes
// nothing about a live blob but a missing name; so it forgets only where that
// happened, and not with each of a thousand uploads all else in their shards.
func (c *Cached) Commit(ctx context.Context, b cas.Blob) (row cas.Blob, created bool, err error) {
	epoch := c.facts.epoch(b.Digest)
	row, created, err = c.inner.Commit(ctx, b)
	if err != nil {
		return row, created, err
	}
	c.Committed(row)
	c.remember(row, epoch)
	return row, created, nil
}

// Committed implements cas.Learner.
func (c *Cached) Committed(row cas.Blob) {
	if known := c.facts.recallAny(key(row.Digest)); known != nil && known.Digest == row.Digest && *known != row {
		c.Forget(row.Digest)
	}
	// Who asks after this must not join those who asked before, and whom the index is
	// just telling that there is no such blob.
	c.facts.flights.Forget(flightOf(row.Digest, c.facts.epoch(row.Digest)))
}

// Condemn implements cas.Index. When it returns, the blob is forgotten here, also
// where the index failed: the change may have been made all the same.
func (c *Cached) Condemn(ctx context.Context, d cas.Digest, force bool) error {
	c.Forget(d) // so that nobody is told of it while the index is at work
	defer c.Forget(d)
	return c.inner.Condemn(ctx, d, force)
}

// Suspect implements cas.Index, and forgets as Condemn does.
func (c *Cached) Suspect(ctx context.Context, ref cas.ObjectRef) error {
	c.Forget(ref.Digest)
	defer c.Forget(ref.Digest)
	return c.inner.Suspect(ctx, ref)
}

// Missing implements cas.Index. It asks the index, always.
func (c *Cached) Missing(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error) {
	return c.inner.Missing(ctx, ds)
}

// List implements cas.Index.
func (c *Cached) List(ctx context.Context, q cas.Query) ([]cas.Blob, error) {
	return c.inner.List(ctx, q)
}

// Check implements cas.Index.
func (c *Cached) Check(ctx context.Context) error { return c.inner.Check(ctx) }
