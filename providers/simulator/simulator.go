// Package simulator is the common part of all simulators of providers: the stored files,
// the controls for tests, and the handling of requests. It doesn't import testing, since
// a gateway can run simulators in its own process.
//
// Uploads are streamed: a simulator keeps a file's size, its SHA-256 and its first
// HeadSize bytes.
package simulator

import (
	"math/rand/v2"
	"sync"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// HeadSize is how many bytes of a file a simulator keeps. Only a file of at most this
// size can be downloaded. The text of a larger one is the text of its head.
const HeadSize = 64 << 10

// Header is set, to HeaderValue, on every answer of a simulator.
const (
	Header      = "X-Simulated"
	HeaderValue = "casgate"
)

// RemoteFile is a file in a simulator.
type RemoteFile struct {
	ID      string
	Name    string
	Purpose string // empty where the provider has none
	// MediaType is what the upload's form says of the file.
	MediaType string
	Size      int64 // bytes
	Digest    cas.Digest
	CreatedAt time.Time
	ExpiresAt time.Time // zero: kept until deleted
	// Head is the first HeadSize bytes, or the whole of a smaller file. Read-only.
	Head []byte
	// Polls is how many more lookups report the file as unfinished.
	Polls int
	// Generated: the provider made the file itself, for instance by running code.
	Generated bool

	stored time.Time // by the simulator's clock
}

// Whole reports whether Head is the whole file.
func (f RemoteFile) Whole() bool { return int64(len(f.Head)) == f.Size }

// Received describes an upload's request, without the file's content.
type Received struct {
	// ContentLength is the request's; -1 if it was chunked.
	ContentLength int64
	// Order lists the names of the form's parts in their order.
	Order []string
	// Fields has the values of all parts but the file.
	Fields map[string]string
	// FileName and MediaType are those of the file part.
	FileName  string
	MediaType string
}

// Config holds what differs between providers.
type Config struct {
	// Now is the clock for the files' times and expiry; nil means time.Now.
	Now func() time.Time
	// PerMinute and Concurrency limit the requests; 0 means unlimited. Limited is the
	// answer to a request over a limit.
	PerMinute   int
	Concurrency int
	Limited     func(Excess) Answer
	// Authorize returns the answer to a request without the right credential.
	Authorize Authorize
	// ErrorBody is the JSON of an error.
	ErrorBody func(status int, code, message string) any
	// RequestIDHeader is the header for an answer's request id.
	RequestIDHeader string
}

// Excess describes a request over a limit.
type Excess struct {
	// Concurrent: too many requests at once; otherwise too many in a minute.
	Concurrent bool
	Limit      int
	Wait       time.Duration
}

// Core stores files and handles requests for a simulator. It is safe for concurrent
// use.
type Core struct {
	config Config

	mu       sync.Mutex
	files    []*RemoteFile // by creation
	faults   []*Fault
	random   *rand.Rand // of Fault.Chance
	gates    map[Point][]*Gate
	requests map[providers.Op]int
	uploads  map[cas.Digest]int
	lose     int
	lateness Lateness
	denials  int
	denial   Denial
	// listEdits change the entries of lists.
	listEdits []ListEdit
	last      Received
	lastChat  ReceivedChat
	behaviour ChatBehaviour
	prompts   [][]byte // the last chats, for the cache
	inFlight  int
	most      int
	recent    []time.Time // when the requests of the last minute came
}

// NewCore returns a Core without files.
func NewCore(c Config) *Core {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Core{config: c, random: seeded(0), gates: map[Point][]*Gate{}, requests: map[providers.Op]int{}, uploads: map[cas.Digest]int{}}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// Now returns the simulator's time.
func (c *Core) Now() time.Time { return c.config.Now() }

// Control returns the controls for tests.
func (c *Core) Control() Control { return Control{c} }

// Store stores a file, and counts a completed upload. It calls admit first, which may
// change the file or return the answer of a refusal. No other file is added or removed
// meanwhile.
func (c *Core) Store(f RemoteFile, admit func(kept []*RemoteFile, f *RemoteFile) *Answer) (RemoteFile, *Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropExpired()
	if refusal := admit(c.files, &f); refusal != nil {
		return RemoteFile{}, refusal
	}
	c.uploads[f.Digest]++
	if c.lose > 0 {
		c.lose--
		return f, nil
	}
	f.stored = c.config.Now()
	c.files = append(c.files, &f)
	return f, nil
}

// File returns a file by id.
func (c *Core) File(id string) (RemoteFile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.index(id); i >= 0 {
		return *c.files[i], true
	}
	return RemoteFile{}, false
}

// Poll returns a file for a request of its status. It decrements Polls, and returns the
// file as it was before.
func (c *Core) Poll(id string) (RemoteFile, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.index(id)
	if i < 0 || !c.isVisible(c.files[i], c.lateness.Retrieve) {
		return RemoteFile{}, false
	}
	f := *c.files[i]
	c.files[i].Polls = max(f.Polls-1, 0)
	return f, true
}

// Remove removes a file, and reports whether it existed.
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

// index returns a file's index, or -1.
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
