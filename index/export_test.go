package index

// Settle waits until the cache has applied what it was given.
func (c *Cached) Settle() { c.facts.entries.Wait() }

// Settle waits until the cache has applied what it was given.
func (c *CachedLedger) Settle() {
	c.copies.entries.Wait()
	c.texts.entries.Wait()
}
