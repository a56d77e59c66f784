// Package openaisim simulates OpenAI-like file APIs. Options are the differences between
// services. Server is a plain http.Handler with the API at /v1.
package openaisim

import (
	"cmp"
	"crypto/subtle"
	"net/http"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// Prefix is the path of the API, at the end of a base URL.
const Prefix = "/v1"

// Options are the differences between services. The zero value is OpenAI.
type Options struct {
	// Key is the only accepted API key; empty means any.
	Key string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// PerMinute and Concurrency limit requests, with 429; 0 means unlimited.
	PerMinute   int
	Concurrency int

	// Purposes are those taken; empty means OpenAI's.
	Purposes []string
	// Models are those that chat; empty means OpenAI's.
	Models []string
	// MaxFileSize bounds a file, in bytes; 0 means 512 MiB.
	MaxFileSize int64
	// MaxFiles and MaxBytes bound the account; 0 means unbounded.
	MaxFiles int
	MaxBytes int64
	// Lifetime is how long files are kept whose upload doesn't say; 0: until deleted.
	Lifetime time.Duration
	// NoExpiry ignores expires_after, as services do that don't know it.
	NoExpiry bool

	// Order is what an upload's form must keep to: DeepSeek wants the purpose, and xAI
	// expires_after, before the file; openai-go sends the file first.
	Order simulator.Order
	// IDPrefix begins the ids; empty means "file-".
	IDPrefix string
	// NoStatus leaves the status out, as DeepSeek does.
	NoStatus bool
	// Status is a finished file's; empty means "processed". Polls is how often a new
	// file says "uploaded" when it is looked up, before that; Fails then makes it
	// "error".
	Status string
	Polls  int
	Fails  bool
	// NumberedPages lists with page (from 0) and page_size (100), and a total instead
	// of has_more, as Mistral does.
	NumberedPages bool
	// NoHasMore leaves has_more out; a client then goes on to an empty page.
	NoHasMore bool
	// PageSize is how many files a page has at most, whatever is asked for; 0 means
	// 10,000.
	PageSize int
}

// Assumptions lists the behaviour that no public material confirms.
var Assumptions = []string{
	"a form whose parts are in the wrong order answers 400 invalid_request_error",
	"an account that is full by number answers as Azure's does, one that is full by bytes as OpenAI's",
	"a request without a key is answered like one with a wrong key",
	"a chat with the id of a file that isn't there answers 404, as looking one up does",
	"deleting a file that isn't there answers 404, as looking one up does",
	"numbered pages begin with 0, and a page beyond the end is empty",
}

// Server is a simulated account. It is safe for concurrent use.
type Server struct {
	simulator.Control
	options Options
	core    *simulator.Core
	mux     http.ServeMux
}

var _ http.Handler = (*Server)(nil)

// New returns a simulator without files.
func New(o Options) *Server {
	o.MaxFileSize = cmp.Or(o.MaxFileSize, 512<<20)
	o.IDPrefix = cmp.Or(o.IDPrefix, "file-")
	o.Status = cmp.Or(o.Status, "processed")
	o.PageSize = cmp.Or(o.PageSize, 10_000)
	if len(o.Purposes) == 0 {
		o.Purposes = []string{"assistants", "batch", "fine-tune", "vision", "user_data", "evals"}
	}
	if len(o.Models) == 0 {
		o.Models = models
	}
	s := &Server{options: o}
	s.core = simulator.NewCore(simulator.Config{
		Now: o.Now, PerMinute: o.PerMinute, Concurrency: o.Concurrency,
		Limited: s.limited, Authorize: s.authorize, ErrorBody: errorBody,
		RequestIDHeader: "X-Request-Id",
	})
	s.Control = s.core.Control()
	s.mux.Handle("POST "+Prefix+"/files", s.core.Handle(providers.OpUpload, s.upload))
	s.mux.Handle("GET "+Prefix+"/files", s.core.Handle(providers.OpList, s.list))
	s.mux.Handle("GET "+Prefix+"/files/{id}", s.core.Handle(providers.OpRetrieve, s.retrieve))
	s.mux.Handle("DELETE "+Prefix+"/files/{id}", s.core.Handle(providers.OpDelete, s.remove))
	s.mux.Handle("GET "+Prefix+"/files/{id}/content", s.core.Handle(providers.OpDownload, s.content))
	s.mux.Handle("GET "+Prefix+"/models", s.core.HandleModels(s.chat()))
	s.mux.Handle("POST "+Prefix+"/chat/completions", s.core.HandleChat(s.chat()))
	s.mux.Handle("/", s.core.Handle("", func(r *http.Request) simulator.Answer {
		return s.core.Error(http.StatusNotFound, "unknown_url", "Invalid URL ("+r.Method+" "+r.URL.Path+")")
	}))
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(simulator.Header, simulator.HeaderValue)
	s.mux.ServeHTTP(w, r)
}

func (s *Server) authorize(r *http.Request) *simulator.Answer {
	token, ok := simulator.Bearer(r)
	if ok && (s.options.Key == "" || subtle.ConstantTimeCompare([]byte(token), []byte(s.options.Key)) == 1) {
		return nil
	}
	// The service repeats part of a wrong key, which must not get into a log.
	a := s.answer(errWrongKey)
	if len(token) > 8 {
		a = s.core.Error(http.StatusUnauthorized, errWrongKey.Code,
			"Incorrect API key provided: "+token[:4]+"****"+token[len(token)-4:]+".")
	}
	return &a
}

func (s *Server) limited(e simulator.Excess) simulator.Answer {
	a := s.answer(errRate)
	a.Header = http.Header{"Retry-After": {seconds(e.Wait)}}
	return a
}

func (s *Server) answer(e simulator.ErrorRow) simulator.Answer {
	return s.core.Error(e.Status, e.Code, e.Message)
}
