// Package simulator is what the simulators of providers share: the files they keep,
// what tests ask of them and do to them, and the handling of requests around
// what is peculiar to a provider. It imports no testing, since a gateway can run
// simulators in its own process.
//
// Uploads are streamed: of a file its size, its SHA-256 and its first HeadSize
// bytes are kept.
package simulator

import (
	"sync"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// HeadSize is how many bytes of a file are kept. A file that is no larger can be
// downloaded again; of a larger one the text is that of its head.
const HeadSize = 64 << 10

// Header is set, to HeaderValue, on every answer of a simulator.
const (
	Header      = "X-Simulated"
	HeaderValue = "casgate"
)

// File is a file that a simulator keeps.
type File struct {
	ID        string
	Name      string
	Purpose   string
	Size      int64 // bytes
	Digest    cas.Digest
	CreatedAt time.Time
	ExpiresAt time.Time // zero: kept until deleted
	// Head is the first HeadSize bytes, or all of a smaller file. It is not to be
	// changed.
	Head []byte
	// Polls is how often the file will still be called unfinished.
	Polls int
}

// Whole reports whether the whole file was kept.
func (f File) Whole() bool { return int64(len(f.Head)) == f.Size }

// Received is what a simulator saw of an upload's request, beside the file.
type Received struct {
	// ContentLength is the request's; -1 where it was chunked.
	ContentLength int64
	// Order lists the names of the form's parts as they came.
	Order []string
	// Fields has the values of those that aren't the file.
	Fields map[string]string
	// FileName and MediaType are the file part's own.
	FileName  string
	MediaType string
}

// Config is what makes a Core one provider's.
type Config struct {
	// Now is the clock that files get their times from, and expire by; nil means
	// time.Now.
	Now func() time.Time
	// PerMinute and Concurrency bound the requests; 0 means unbounded. Limited is the
	// answer to one too many.
	PerMinute   int
	Concurrency int
	Limited     func(Excess) Answer
	// Authorize returns the answer to a request without the right credential.
	Authorize Authorize
	// ErrorBody is the JSON of an error.
	ErrorBody func(status int, code, message string) any
	// RequestIDHeader is where an answer's request id goes.
	RequestIDHeader string
}

// Excess is a request too many.
type Excess struct {
	// Concurrent: too many at once; otherwise too many in a minute.
	Concurrent bool
	Limit      int
	Wait       time.Duration
}

// Core keeps files and handles requests for a simulator. It is safe for
// concurrent use.
type Core struct {
	config Config

	mu       sync.Mutex
	files    []*File // by creation
	faults   []*Fault
	gates    map[Point][]*Gate
	requests map[providers.Op]int
	uploads  int
	lose     int
	last     Received
	inFlight int
	most     int
	recent   []time.Time // when the requests of the last minute came
}

// NewCore returns a Core without files.
func NewCore(c Config) *Core {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Core{config: c, gates: map[Point][]*Gate{}, requests: map[providers.Op]int{}}
}

// Now returns the simulator's time.
func (c *Core) Now() time.Time { return c.config.Now() }

// Control returns what tests need of the simulator.
func (c *Core) Control() Control { return Control{c} }

// Store keeps a file, and counts a completed upload. Admit, asked first, may
// change the file or return the answer that refuses it; no other file comes or
// goes meanwhile.
func (c *Core) Store(f File, admit func(kept []*File, f *File) *Answer) (File, *Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropExpired()
	if refusal := admit(c.files, &f); refusal != nil {
		return File{}, refusal
	}
	c.uploads++
	if c.lose > 0 {
		c.lose--
		return f, nil
	}
	c.files = append(c.files, &f)
	return f, nil
}

// File returns a file by its id.
func (c *Core) File(id string) (File, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.index(id); i >= 0 {
		return *c.files[i], true
	}
	return File{}, false
}

// Poll is File for a request that asks how far the file is: it counts Polls down,
// and returns the file as it was before.
func (c *Core) Poll(id string) (File, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.index(id)
	if i < 0 {
		return File{}, false
	}
	f := *c.files[i]
	c.files[i].Polls = max(f.Polls-1, 0)
	return f, true
}

// Remove removes a file, and reports whether it was there.
func (c *Core) Remove(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.index(id)
	if i < 0 {
		return false
	}
	c.files = append(c.files[:i:i], c.files[i+1:]...)
	return true
}

// index returns a file's place, or -1.
func (c *Core) index(id string) int {
	c.dropExpired()
	for i, f := range c.files {
		if f.ID == id {
			return i
		}
	}
	return -1
}

func (c *Core) dropExpired() {
	now := c.config.Now()
	for i := 0; i < len(c.files); {
		if e := c.files[i].ExpiresAt; !e.IsZero() && !e.After(now) {
			c.files = append(c.files[:i:i], c.files[i+1:]...)
			continue
		}
		i++
	}
}
