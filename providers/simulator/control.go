package simulator

import (
	"casgate/cas"
	"casgate/providers"
)

// Control lets a test inspect and change a simulator, without the adapter.
type Control struct{ core *Core }

// Files returns the stored files, by creation.
func (c Control) Files() []RemoteFile {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.dropExpired()
	files := make([]RemoteFile, len(c.core.files))
	for i, f := range c.core.files {
		files[i] = *f
	}
	return files
}

// Requests returns the number of requests of an op, with any outcome. An empty op counts
// all. Retrieve and poll are one request (OpRetrieve), and so are text and download
// (OpDownload).
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

// Uploads returns the number of completed uploads. It includes those with a lost reply,
// and those whose file was removed since.
func (c Control) Uploads() int {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	var sum int
	for _, n := range c.core.uploads {
		sum += n
	}
	return sum
}

// UploadsOf is Uploads of files with these bytes.
func (c Control) UploadsOf(d cas.Digest) int {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	return c.core.uploads[d]
}

// MostAtOnce returns the maximum number of concurrent requests so far.
func (c Control) MostAtOnce() int {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	return c.core.most
}

// LastUpload describes the last upload with a complete body.
func (c Control) LastUpload() Received {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	return c.core.last
}

// Behave changes the answers of further chats.
func (c Control) Behave(b ChatBehaviour) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.behaviour = b
}

// LastChat returns the request of the last chat that was read to its end.
func (c Control) LastChat() ReceivedChat {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	return c.core.lastChat
}

// Forget removes a file, and reports whether it existed.
func (c Control) Forget(id string) bool { return c.core.Remove(id) }

// Put adds a file without an upload and without limits. The id is required. Put sets
// CreatedAt, Size and Digest if they are zero.
func (c Control) Put(f RemoteFile) RemoteFile {
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

// Lose makes the simulator acknowledge the next n uploads without storing the files.
func (c Control) Lose(n int) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.lose = n
}

// Fail makes requests fail. If several faults match a request, the first one applies.
func (c Control) Fail(f Fault) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.faults = append(c.core.faults, &f)
}

// Seed restarts the draws of Fault.Chance. The same seed and the same order of requests
// give the same faults. Without a call the seed is 0.
func (c Control) Seed(seed uint64) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.random = seeded(seed)
}

// Clear ends all faults. Running ones go on.
func (c Control) Clear() {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.faults = nil
}

// Hold stops the next upload at a point until the gate is released. Several gates at one
// point stop one upload each.
func (c Control) Hold(at Point) *Gate {
	g := &Gate{arrived: make(chan struct{}), released: make(chan struct{})}
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.gates[at] = append(c.core.gates[at], g)
	return g
}
