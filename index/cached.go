package index

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"golang.org/x/sync/singleflight"

	"casgate/cas"
)

var (
	_ cas.Index     = (*Cached)(nil)
	_ cas.Forgetter = (*Cached)(nil)
)

// The defaults of CacheOptions.
const (
	DefaultEntries = 100_000
	DefaultTTL     = 5 * time.Minute
	DefaultDeafTTL = 2 * time.Second
)

// CacheOptions says how much is remembered, and for how long.
type CacheOptions struct {
	// Entries bounds the number of blobs remembered; 0 means DefaultEntries. One
	// takes about 300 bytes.
	Entries int64
	// TTL is how long a blob is remembered, give or take a tenth, so that blobs that
	// came together don't leave together; 0 means DefaultTTL.
	TTL time.Duration
	// Shared says that other processes write to the same index. Then TTL holds only
	// while Watch hears of their changes, and DeafTTL, which bounds how long a blob
	// deleted elsewhere is still served, at all other times; 0 means DefaultDeafTTL.
	Shared  bool
	DeafTTL time.Duration
}

// Cached is an index that answers Blob from memory where it can. It remembers
// live blobs only: that a blob is not there, or suspect, is asked every time.
// Nothing but Blob is answered from memory, no write path above all, since a
// stale "it exists" there would lose data.
//
// Ristretto applies writes later, in any order, or not at all. So it is not
// trusted with order: every fact carries the epoch of its blob's shard from
// before the database was asked, and counts only while the epoch is the same.
// To forget is to move the epoch on; nothing that was read before that, however
// late it comes in, is believed after it.
type Cached struct {
	inner   cas.Index
	options CacheOptions
	entries *ristretto.Cache[uint64, *entry]
	flights singleflight.Group

	shards    [epochShards]atomic.Uint64
	global    atomic.Uint64
	listening atomic.Bool // of use only where options.Shared

	hits, misses atomic.Uint64
}

// epochShards is how many epochs there are. To forget one blob is to forget all
// of its shard: with so many, one in a few thousand of what is remembered.
const epochShards = 4096

// entry is what is remembered of a live blob.
type entry struct {
	blob  cas.Blob
	epoch uint64
}

// NewCached puts a cache around an index. The caller closes it.
func NewCached(inner cas.Index, o CacheOptions) (*Cached, error) {
	if o.Entries == 0 {
		o.Entries = DefaultEntries
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.DeafTTL == 0 {
		o.DeafTTL = DefaultDeafTTL
	}
	if o.Entries < 0 || o.TTL < 0 || o.DeafTTL < 0 {
		return nil, fmt.Errorf("index cache: negative options %+v", o)
	}
	entries, err := ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		MaxCost:            o.Entries, // an entry costs 1
		IgnoreInternalCost: true,      // without this it would cost 57
		NumCounters:        10 * o.Entries,
		BufferItems:        64,
		KeyToHash:          func(key uint64) (uint64, uint64) { return key, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("index cache: %w", err)
	}
	return &Cached{inner: inner, options: o, entries: entries}, nil
}

// Close ends the cache, not the index it is around.
func (c *Cached) Close() { c.entries.Close() }

// Hits returns how many Blob calls were answered from memory so far.
func (c *Cached) Hits() uint64 { return c.hits.Load() }

// Misses returns how many Blob calls had to ask the index so far.
func (c *Cached) Misses() uint64 { return c.misses.Load() }

// key is where a blob is remembered: by the first eight bytes of its digest,
// since a longer key would be an allocation for each lookup. That two blobs share
// a key hardly happens by chance, and does no harm where somebody makes it
// happen: an entry counts for its own digest only.
func key(d cas.Digest) uint64 { return binary.LittleEndian.Uint64(d[:]) }

// epoch returns a blob's epoch. It is a sum of two that only grow, so it stays
// the same only while both do.
func (c *Cached) epoch(d cas.Digest) uint64 {
	return c.shard(d).Load() + c.global.Load()
}

// shard returns the part of the epoch that a blob shares with few others.
func (c *Cached) shard(d cas.Digest) *atomic.Uint64 {
	return &c.shards[binary.LittleEndian.Uint16(d[8:])%epochShards]
}

// Forget implements cas.Forgetter. When it returns, nothing that was read before
// it was called is believed any more.
func (c *Cached) Forget(d cas.Digest) { c.shard(d).Add(1) }

// ForgetAll is Forget for every blob.
func (c *Cached) ForgetAll() { c.global.Add(1) }

// remember keeps what the index said of a blob after the epoch was read.
func (c *Cached) remember(b cas.Blob, epoch uint64) {
	if b.State != cas.StateLive {
		return
	}
	ttl := c.options.TTL
	if c.options.Shared && !c.listening.Load() {
		ttl = min(ttl, c.options.DeafTTL)
	}
	ttl += time.Duration((rand.Float64() - 0.5) / 5 * float64(ttl))
	c.entries.SetWithTTL(key(b.Digest), &entry{b, epoch}, 1, ttl)
}

// Blob implements cas.Index.
func (c *Cached) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	epoch := c.epoch(d)
	if e, ok := c.entries.Get(key(d)); ok && e.epoch == epoch && e.blob.Digest == d {
		c.hits.Add(1)
		return e.blob, nil
	}
	c.misses.Add(1)
	return c.load(ctx, d, epoch)
}

// loadTimeout bounds a load, which no single caller's context does. It is longer
// than what the drivers allow themselves, so that they are the ones to say what
// took so long.
const loadTimeout = 15 * time.Second

// load asks the index, once for all who want to know the same at the same time.
// Callers share an answer only within an epoch: who comes after Forget must not
// get what was asked before it.
func (c *Cached) load(ctx context.Context, d cas.Digest, epoch uint64) (cas.Blob, error) {
	left := func() error {
		return fmt.Errorf("look up blob %s: %w: %w", d.Short(), cas.ErrIndexUnavailable, ctx.Err())
	}
	if ctx.Err() != nil {
		return cas.Blob{}, left()
	}
	flight := string(binary.LittleEndian.AppendUint64(d[:], epoch))
	done := c.flights.DoChan(flight, func() (any, error) {
		// The first caller may leave while others still wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		b, err := c.inner.Blob(ctx, d)
		if err == nil {
			c.remember(b, epoch)
		}
		return b, err
	})
	select {
	case result := <-done:
		b, _ := result.Val.(cas.Blob)
		return b, result.Err
	case <-ctx.Done():
		return cas.Blob{}, left()
	}
}

// Touch implements cas.Index. It asks the index, always.
func (c *Cached) Touch(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	epoch := c.epoch(d)
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
	epoch := c.epoch(b.Digest)
	row, created, err = c.inner.Commit(ctx, b)
	if err != nil {
		return row, created, err
	}
	if e, ok := c.entries.Get(key(b.Digest)); ok && e.blob.Digest == row.Digest && e.blob != row {
		c.Forget(row.Digest)
	}
	c.remember(row, epoch)
	return row, created, nil
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

// Watch forgets what other processes change, as feed tells, until ctx is done;
// it returns ctx's error. Only while it runs, and hears, is anything of a shared
// index remembered for long.
func (c *Cached) Watch(ctx context.Context, feed Feed) error {
	return feed.Listen(ctx, c.Forget, c.ForgetAll, func(listening bool) {
		c.listening.Store(listening)
		if !listening {
			// What was to be remembered for long might be wrong for long.
			c.ForgetAll()
		}
	})
}
