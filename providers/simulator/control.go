package simulator

import (
	"casgate/cas"
	"casgate/providers"
)

// Control is what a test sees of a simulator and does to it, behind the
// adapter's back.
type Control struct{ core *Core }

// Files returns the files that are kept, by creation.
func (c Control) Files() []File {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.dropExpired()
	files := make([]File, len(c.core.files))
	for i, f := range c.core.files {
		files[i] = *f
	}
	return files
}

// Requests returns how many requests of a kind have come, however they ended. An
// empty op counts all. Retrieve and poll are one request (OpRetrieve), and so are
// text and download (OpDownload).
func (c Control) Requests(op providers.Op) int {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	if op != "" {
		return c.core.requests[op]
	}
	var sum int
	for _, n := range c.core.requests {
		sum += n
	}
	return sum
}

// Uploads returns how many uploads were completed, whether their replies arrived
// or not, and whether the files are still there or not.
func (c Control) Uploads() int {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	return c.core.uploads
}

// MostAtOnce returns how many requests were handled at once at most.
func (c Control) MostAtOnce() int {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	return c.core.most
}

// LastUpload returns what the last upload whose body arrived whole looked like.
func (c Control) LastUpload() Received {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	return c.core.last
}

// Forget removes a file, and reports whether it was there.
func (c Control) Forget(id string) bool { return c.core.Remove(id) }

// Put plants a file that nobody uploaded, past all limits. An id must be given;
// time and size are filled in where they are zero, the digest always.
func (c Control) Put(f File) File {
	if f.CreatedAt.IsZero() {
		f.CreatedAt = c.core.Now()
	}
	if f.Size == 0 {
		f.Size = int64(len(f.Head))
	}
	if f.Digest == (cas.Digest{}) {
		f.Digest = cas.DigestOf(f.Head)
	}
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.files = append(c.core.files, &f)
	return f
}

// Lose makes the next n uploads be acknowledged and forgotten at once.
func (c Control) Lose(n int) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.lose = n
}

// Fail makes requests fail. Of several faults that fit a request the one given
// first strikes.
func (c Control) Fail(f Fault) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.faults = append(c.core.faults, &f)
}

// Clear ends all faults. Those under way go on.
func (c Control) Clear() {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.faults = nil
}

// Hold stops the next upload that gets to a point and that no earlier Hold
// stops there, until the gate is released.
func (c Control) Hold(at Point) *Gate {
	g := &Gate{arrived: make(chan struct{}), released: make(chan struct{})}
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.gates[at] = append(c.core.gates[at], g)
	return g
}
