package index

import (
	"context"
	"fmt"
	"time"

	"casgate/cas"
)

var (
	_ cas.FileIndex = (*CachedFiles)(nil)
	_ cas.FileCache = (*CachedFiles)(nil)
)

// CachedFiles is an index of files that answers KnownFile from memory if it can. It keeps
// files whose bytes are there. All other methods ask the index every time.
type CachedFiles struct {
	cas.FileIndex
	cache *cache[cas.File]
}

// NewCachedFiles puts a cache around an index of files. The caller closes it.
func NewCachedFiles(inner cas.FileIndex, o CacheOptions) (*CachedFiles, error) {
	cache, err := newCache[cas.File](o)
	if err != nil {
		return nil, err
	}
	return &CachedFiles{inner, cache}, nil
}

// Close ends the cache, but not the index.
func (c *CachedFiles) Close() { c.cache.close() }

// Hits returns the number of KnownFile calls answered from memory so far.
func (c *CachedFiles) Hits() uint64 { return c.cache.hits.Load() }

// Misses returns the number of KnownFile calls that asked the index so far.
func (c *CachedFiles) Misses() uint64 { return c.cache.misses.Load() }

// Forget makes every answer about a file invalid that was read before the call.
func (c *CachedFiles) Forget(id string) { c.cache.forget(FilePlace(id)) }

// Listener returns the listener to which a feed reports changes by other processes, if
// the index is shared. Answers are kept for the full TTL only while the feed listens.
func (c *CachedFiles) Listener() Listener {
	return Listener{FileDeleted: c.cache.forget, Gap: c.cache.forgetAll, State: c.cache.setListening, Beat: c.cache.setBeat}
}

// FilePlace returns the place of a file in the cache, whose places are digests. Its
// deletion is announced by it, too, so that all announcements look the same.
func FilePlace(id string) cas.Digest { return cas.DigestOf([]byte(id)) }

// KnownFile implements cas.FileCache.
func (c *CachedFiles) KnownFile(ctx context.Context, id string) (cas.File, error) {
	place := FilePlace(id)
	question := c.cache.ask(place)
	if f := c.cache.recall(key(place), question); f != nil && f.ID == id && (f.ExpiresAt.IsZero() || time.Now().Before(f.ExpiresAt)) {
		c.cache.hits.Add(1)
		return *f, nil
	}
	c.cache.misses.Add(1)
	return c.cache.load(ctx, flightOf(place, question.epoch), fmt.Sprintf("look up file %.64q", id), func(ctx context.Context) (cas.File, error) {
		f, err := c.FileIndex.File(ctx, id)
		if err == nil && !f.IsPending() {
			c.cache.remember(key(place), f, question, f.ExpiresAt)
		}
		return f, err
	})
}

// changing forgets a file before a change, and returns a function that does so after it.
func (c *CachedFiles) changing(id string) func() {
	c.Forget(id)
	return func() { c.Forget(id) }
}

// DeleteFile implements cas.FileIndex.
func (c *CachedFiles) DeleteFile(ctx context.Context, id string) (cas.File, error) {
	defer c.changing(id)()
	return c.FileIndex.DeleteFile(ctx, id)
}

// ReleaseFile implements cas.FileIndex.
func (c *CachedFiles) ReleaseFile(ctx context.Context, id string) (cas.File, bool, error) {
	defer c.changing(id)()
	return c.FileIndex.ReleaseFile(ctx, id)
}

// ExpireFiles implements cas.FileIndex.
func (c *CachedFiles) ExpireFiles(ctx context.Context, limit int) ([]cas.ExpiredFile, error) {
	gone, err := c.FileIndex.ExpireFiles(ctx, limit)
	for _, f := range gone {
		c.Forget(f.ID)
	}
	return gone, err
}
