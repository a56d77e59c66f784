package index

// Settle waits until the cache has applied what it was given.
func (c *Cached) Settle() { c.entries.Wait() }
