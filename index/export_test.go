package index

// Settle waits until the cache has applied all writes.
func (c *Cached) Settle() { c.cache.entries.Wait() }

// Settle waits until the cache has applied all writes.
func (c *CachedLedger) Settle() {
	c.copies.entries.Wait()
	c.texts.entries.Wait()
}

// Settle waits until the cache has applied all writes.
func (c *CachedFiles) Settle() { c.cache.entries.Wait() }
