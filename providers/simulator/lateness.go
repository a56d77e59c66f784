package simulator

import "time"

// Lateness is for how long after its upload a file can't be seen yet. During that time
// lists leave it out, and the other requests answer as for an unknown file. The zero
// value: a file can be seen at once.
type Lateness struct {
	List, Retrieve, Content, Delete time.Duration
}

// Delay makes files visible late. Files that are stored already count too.
func (c Control) Delay(l Lateness) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.lateness = l
}

// Denial is what becomes of a delete whose answer says that nothing was deleted.
type Denial int

// The kinds of denials.
const (
	Deleted Denial = iota // none: the answer is true
	Stays                 // the file stays
	Goes                  // the file goes nevertheless
)

// Deny makes the next n deletes say {"deleted": false}, where the provider's answers have
// that field. Elsewhere it has the same effect on the file.
func (c Control) Deny(n int, d Denial) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.denials, c.core.denial = n, d
}

// isVisible reports whether a file's lateness is over.
func (c *Core) isVisible(f *RemoteFile, late time.Duration) bool {
	return late == 0 || !c.config.Now().Before(f.stored.Add(late))
}

// Listed returns the files that lists show, by creation.
func (c *Core) Listed() []RemoteFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropExpired()
	var listed []RemoteFile
	for _, f := range c.files {
		if c.isVisible(f, c.lateness.List) {
			listed = append(listed, *f)
		}
	}
	return listed
}

// Content returns a file for a request of its content.
func (c *Core) Content(id string) (RemoteFile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.index(id); i >= 0 && c.isVisible(c.files[i], c.lateness.Content) {
		return *c.files[i], true
	}
	return RemoteFile{}, false
}

// Delete removes a file for a request. Found is false if the request does not see it;
// deleted is what the answer says.
func (c *Core) Delete(id string) (found, deleted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.index(id)
	if i < 0 || !c.isVisible(c.files[i], c.lateness.Delete) {
		return false, false
	}
	denial := Deleted
	if c.denials > 0 {
		c.denials--
		denial = c.denial
	}
	if denial != Stays {
		c.files = append(c.files[:i:i], c.files[i+1:]...)
	}
	return true, denial == Deleted
}
