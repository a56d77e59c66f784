// Package anthropicsim simulates Anthropic's Files API as it is since August 2026,
// without a beta header. Server is a plain http.Handler; its API is below /v1.
package anthropicsim

import (
	"cmp"
	"crypto/subtle"
	"net/http"
	"strconv"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// Prefix is the path of the API: a base URL ends with it.
const Prefix = "/v1"

// Options are the properties of a simulated workspace. The zero value is the service as
// it is documented.
type Options struct {
	// Keys are the valid API keys. All keys of a workspace see the same files. An empty
	// list means that any key is valid.
	Keys []string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// PerMinute and Concurrency limit requests, with 429; 0 means unlimited.
	PerMinute   int
	Concurrency int

	// MaxFileSize limits a file, in bytes; 0 means 500 MiB.
	MaxFileSize int64
	// MaxBytes limits the organisation; 0 means 1 TB.
	MaxBytes int64
	// OldestFirst lists the oldest file first. The default is the newest.
	OldestFirst bool
	// PageSize is the largest page, whatever the request says; 0 means 1000.
	PageSize int
	// Scoped adds a scope to each file, as files of a session have it.
	Scoped bool
}

// Assumptions lists what no public material says.
var Assumptions = []string{
	"an organisation whose storage is full answers 403 permission_error; the message is made up",
	"the message of the download of an uploaded file is made up; its status is 400",
	"an empty file is refused with 400 invalid_request_error",
	"lists begin with the newest file",
	"a list after a file that no longer exists begins from the start",
	"both after_id and before_id in one request are refused with 400",
	"the range of expires_in_seconds is not known: any positive number is accepted",
	"deleting a file that doesn't exist answers 404",
	"a file part without Content-Type has the type application/octet-stream",
}

// Server is a simulated workspace. It is safe for concurrent use.
type Server struct {
	simulator.Control
	options Options
	core    *simulator.Core
	mux     http.ServeMux
}

var _ http.Handler = (*Server)(nil)

const (
	defaultPage = 20
	maxPage     = 1000
)

// New returns a simulator without files.
func New(o Options) *Server {
	o.MaxFileSize = cmp.Or(o.MaxFileSize, 500<<20)
	o.MaxBytes = cmp.Or(o.MaxBytes, 1_000_000_000_000)
	o.PageSize = cmp.Or(o.PageSize, maxPage)
	s := &Server{options: o}
	s.core = simulator.NewCore(simulator.Config{
		Now: o.Now, PerMinute: o.PerMinute, Concurrency: o.Concurrency,
		Limited: s.limited, Authorize: s.authorize, ErrorBody: errorBody,
		RequestIDHeader: "Request-Id",
	})
	s.Control = s.core.Control()
	s.mux.Handle("POST "+Prefix+"/files", s.core.Handle(providers.OpUpload, s.upload))
	s.mux.Handle("GET "+Prefix+"/files", s.core.Handle(providers.OpList, s.list))
	s.mux.Handle("GET "+Prefix+"/files/{id}", s.core.Handle(providers.OpRetrieve, s.retrieve))
	s.mux.Handle("DELETE "+Prefix+"/files/{id}", s.core.Handle(providers.OpDelete, s.remove))
	s.mux.Handle("GET "+Prefix+"/files/{id}/content", s.core.Handle(providers.OpDownload, s.content))
	s.mux.Handle("/", s.core.Handle("", func(*http.Request) simulator.Answer {
		return s.core.Error(http.StatusNotFound, "not_found_error", "Not Found")
	}))
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(simulator.Header, simulator.HeaderValue)
	s.mux.ServeHTTP(w, r)
}

// authorize wants the key in x-api-key, and a version of the API [D].
func (s *Server) authorize(r *http.Request) *simulator.Answer {
	var refusal simulator.Answer
	switch key := r.Header.Get("X-Api-Key"); {
	case key == "":
		refusal = s.answer(errNoKey)
	case !s.valid(key):
		refusal = s.answer(errWrongKey)
	case r.Header.Get("Anthropic-Version") == "":
		refusal = s.answer(errNoVersion)
	default:
		return nil
	}
	return &refusal
}

func (s *Server) valid(key string) bool {
	for _, one := range s.options.Keys {
		if subtle.ConstantTimeCompare([]byte(key), []byte(one)) == 1 {
			return true
		}
	}
	return len(s.options.Keys) == 0
}

func (s *Server) limited(e simulator.Excess) simulator.Answer {
	a := s.answer(errRate)
	a.Header = http.Header{"Retry-After": {seconds(e.Wait)}}
	return a
}

func (s *Server) answer(e simulator.ErrorRow) simulator.Answer {
	return s.core.Error(e.Status, e.Code, e.Message)
}

// seconds is the value of a Retry-After header: whole seconds, rounded up.
func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }
