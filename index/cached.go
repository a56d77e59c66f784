package index

import (
	"context"
	"encoding/binary"
	"time"

	"casgate/cas"
)

var (
	_ cas.Index          = (*Cached)(nil)
	_ cas.Forgetter      = (*Cached)(nil)
	_ cas.CommitObserver = (*Cached)(nil)
)

// The defaults of CacheOptions.
const (
	DefaultEntries = 100_000
	DefaultTTL     = 5 * time.Minute
	DefaultDeafTTL = 2 * time.Second
)

// CacheOptions limits a cache: how many answers it keeps, and for how long.
type CacheOptions struct {
	// Entries is the most answers to keep, blobs or copies; 0 means DefaultEntries. A
	// blob takes about 300 bytes, a copy about 800.
	Entries int64
	// TTL is how long an answer is kept after its question, less up to a tenth, so that
	// answers that came together don't expire together; 0 means DefaultTTL.
	TTL time.Duration
	// Shared means that other processes write to the same index. Then TTL applies only
	// while a Feed reports their changes to the cache's Listener, and its last beat is
	// younger than DeafTTL. At all other times DeafTTL applies: a change elsewhere goes
	// unnoticed for at most that long, also if neither the index nor the feed can be
	// reached; 0 means DefaultDeafTTL.
	Shared  bool
	DeafTTL time.Duration
}

// Cached is an index that answers Blob from memory if it can. It keeps live blobs
// only: for missing and suspect blobs it asks the index every time. Only Blob is
// answered from memory. A write path never is: a stale "it exists" there would lose
// data.
type Cached struct {
	inner cas.Index
	cache *cache[cas.Blob]
}

// NewCached puts a cache around an index. The caller closes it.
func NewCached(inner cas.Index, o CacheOptions) (*Cached, error) {
	cache, err := newCache[cas.Blob](o)
	if err != nil {
		return nil, err
	}
	return &Cached{inner: inner, cache: cache}, nil
}

// Close ends the cache, but not the index.
func (c *Cached) Close() { c.cache.close() }

// Hits returns the number of Blob calls answered from memory so far.
func (c *Cached) Hits() uint64 { return c.cache.hits.Load() }

// Misses returns the number of Blob calls that asked the index so far.
func (c *Cached) Misses() uint64 { return c.cache.misses.Load() }

// key is a blob's key in the cache: the first eight bytes of its digest, since a longer
// key would cost an allocation per lookup. Two blobs hardly ever share a key by
// chance. Sharing one on purpose does no harm: an entry is valid for its own digest
// only.
func key(d cas.Digest) uint64 { return binary.LittleEndian.Uint64(d[:]) }

// Forget implements cas.Forgetter. When it returns, every answer read before the call
// is invalid.
func (c *Cached) Forget(d cas.Digest) { c.cache.forget(d) }

// ForgetAll is Forget for every blob.
func (c *Cached) ForgetAll() { c.cache.forgetAll() }

// Listener returns the listener to which a feed reports changes by other processes, if
// the index is shared. Answers are kept for the full TTL only while the feed listens.
func (c *Cached) Listener() Listener {
	return Listener{BlobChanged: c.Forget, Gap: c.ForgetAll, State: c.cache.setListening, Beat: c.cache.setBeat}
}

// remember stores the blob that answers a question.
func (c *Cached) remember(b cas.Blob, question asked) {
	if b.State == cas.StateLive {
		c.cache.remember(key(b.Digest), b, question, time.Time{})
	}
}

// Blob implements cas.Index.
func (c *Cached) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	question := c.cache.ask(d)
	if b := c.cache.recall(key(d), question); b != nil && b.Digest == d {
		c.cache.hits.Add(1)
		return *b, nil
	}
	c.cache.misses.Add(1)
	return c.load(ctx, d, question)
}

// load asks the index.
func (c *Cached) load(ctx context.Context, d cas.Digest, question asked) (cas.Blob, error) {
	return c.cache.load(ctx, flightOf(d, question.epoch), "look up blob "+d.Short(), func(ctx context.Context) (cas.Blob, error) {
		b, err := c.inner.Blob(ctx, d)
		if err == nil {
			c.remember(b, question)
		}
		return b, err
	})
}

// Touch implements cas.Index. It always asks the index.
func (c *Cached) Touch(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	question := c.cache.ask(d)
	b, err := c.inner.Touch(ctx, d)
	if err == nil {
		c.remember(b, question)
	}
	return b, err
}

// Commit implements cas.Index. The cache keeps live blobs only, and a commit changes
// nothing in a live blob but an empty name. So it forgets the blob only if that
// happened; otherwise a thousand uploads would each forget their whole shard.
func (c *Cached) Commit(ctx context.Context, b cas.Blob) (row cas.Blob, created bool, err error) {
	question := c.cache.ask(b.Digest)
	row, created, err = c.inner.Commit(ctx, b)
	if err != nil {
		return row, created, err
	}
	c.Committed(row)
	c.remember(row, question)
	return row, created, nil
}

// Committed implements cas.CommitObserver.
func (c *Cached) Committed(row cas.Blob) {
	if known := c.cache.recallAny(key(row.Digest)); known != nil && known.Digest == row.Digest && *known != row {
		c.Forget(row.Digest)
	}
	// A caller after this must not join a lookup that began before, and whose answer may
	// be that there is no such blob.
	c.cache.flights.Forget(flightOf(row.Digest, c.cache.epoch(row.Digest)))
}

// Condemn implements cas.Index. When it returns, the blob is forgotten here, even if
// the index failed: the change may have been made anyway.
func (c *Cached) Condemn(ctx context.Context, d cas.Digest, o cas.CondemnOptions) error {
	c.Forget(d) // so that no caller gets it while the index works
	defer c.Forget(d)
	return c.inner.Condemn(ctx, d, o)
}

// Suspect implements cas.Index. It forgets the blob as Condemn does.
func (c *Cached) Suspect(ctx context.Context, ref cas.ObjectRef) error {
	c.Forget(ref.Digest)
	defer c.Forget(ref.Digest)
	return c.inner.Suspect(ctx, ref)
}

// Trust implements cas.Index. The cache keeps no suspect blob.
func (c *Cached) Trust(ctx context.Context, ref cas.ObjectRef) error { return c.inner.Trust(ctx, ref) }

// SetMediaType implements cas.Index. It forgets the blob as Condemn does.
func (c *Cached) SetMediaType(ctx context.Context, d cas.Digest, from, to string) error {
	c.Forget(d)
	defer c.Forget(d)
	return c.inner.SetMediaType(ctx, d, from, to)
}

// FillName implements cas.Index. It forgets the blob as Condemn does.
func (c *Cached) FillName(ctx context.Context, d cas.Digest, name string) error {
	c.Forget(d)
	defer c.Forget(d)
	return c.inner.FillName(ctx, d, name)
}

// Missing implements cas.Index. It always asks the index.
func (c *Cached) Missing(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error) {
	return c.inner.Missing(ctx, ds)
}

// List implements cas.Index.
func (c *Cached) List(ctx context.Context, q cas.Query) ([]cas.Blob, error) {
	return c.inner.List(ctx, q)
}

// Between implements cas.Index.
func (c *Cached) Between(ctx context.Context, first, last cas.Digest, limit int) ([]cas.Blob, error) {
	return c.inner.Between(ctx, first, last, limit)
}

// Skip implements cas.Index.
func (c *Cached) Skip(ctx context.Context, after cas.Cursor, n int) (cas.Cursor, error) {
	return c.inner.Skip(ctx, after, n)
}

// Check implements cas.Index.
func (c *Cached) Check(ctx context.Context) error { return c.inner.Check(ctx) }
