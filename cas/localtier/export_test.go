package localtier

// Pending returns the number of changed blobs that wait to be looked at.
func (t *Tier) Pending() int { return len(t.changed) }
