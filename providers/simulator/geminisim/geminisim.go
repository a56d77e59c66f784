// Package geminisim simulates the Files API of Google's Gemini API: resumable uploads,
// chosen names, and files that live 48 hours. Server is a plain http.Handler; its API is
// below /v1beta, and its uploads are below /upload/v1beta.
package geminisim

import (
	"cmp"
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// Prefix is the path of the API: a base URL ends with it.
const Prefix = "/v1beta"

const uploadPath = "/upload" + Prefix + "/files"

// OpStart is the op of the request that begins an upload. The request with the bytes is
// providers.OpUpload.
const OpStart providers.Op = "start"

// Hash is the form of a file's sha256Hash.
type Hash string

// The forms of sha256Hash. The documentation says only "base64".
const (
	HashOfHex   Hash = ""     // base64 of the hex digits
	HashRaw     Hash = "raw"  // base64 of the 32 bytes
	HashMissing Hash = "none" // no field
	HashWrong   Hash = "wrong"
)

// Options are the properties of a simulated project. The zero value is the service as it
// is documented.
type Options struct {
	// Key is the valid API key; empty means that any key is valid.
	Key string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// PerMinute and Concurrency limit requests, with 429; 0 means unlimited.
	PerMinute   int
	Concurrency int

	// MaxFileSize limits a file, in bytes; 0 means 2 GiB.
	MaxFileSize int64
	// MaxBytes limits the project; 0 means 20 GB.
	MaxBytes int64
	// Polls is how many lookups report a new file as PROCESSING.
	Polls int
	// FailProcessing makes a file FAILED instead of ACTIVE after its Polls.
	FailProcessing bool
	// Unpaid: each call about files is refused with the 403 of a file that doesn't exist.
	Unpaid bool
	// Hash is the form of sha256Hash.
	Hash Hash
	// UploadHost replaces the scheme and host of the URLs for bytes.
	UploadHost string
	// NumericSizes writes sizeBytes as a number. The default is a string.
	NumericSizes bool
	// PageSize is the largest page, whatever the request says; 0 means 100.
	PageSize int
}

// Assumptions lists what no public material says.
var Assumptions = []string{
	"a project whose storage is full answers 429 RESOURCE_EXHAUSTED, and the message names the storage",
	"sha256Hash is base64 of the digest's hex digits, or of its bytes",
	"a chosen name that is taken is refused at the start with 409 ALREADY_EXISTS",
	"a chosen name is free again after its file was deleted",
	"an empty file is refused with 400 INVALID_ARGUMENT",
	"lists begin with the newest file; an empty list is an empty object",
	"the bytes of an upload need no key: the id in their URL permits them",
	"deleting a file that doesn't exist answers the same 403 as looking it up",
}

// Server is a simulated project. It is safe for concurrent use.
type Server struct {
	simulator.Control
	options Options
	core    *simulator.Core
	mux     http.ServeMux

	mu       sync.Mutex
	sessions map[string]session // by upload id
}

var _ http.Handler = (*Server)(nil)

const (
	defaultPage = 10
	maxPage     = 100
	lifetime    = 48 * time.Hour
)

// New returns a simulator without files.
func New(o Options) *Server {
	o.MaxFileSize = cmp.Or(o.MaxFileSize, 2<<30)
	o.MaxBytes = cmp.Or(o.MaxBytes, 20_000_000_000)
	o.PageSize = cmp.Or(o.PageSize, maxPage)
	s := &Server{options: o, sessions: map[string]session{}}
	s.core = simulator.NewCore(simulator.Config{
		Now: o.Now, PerMinute: o.PerMinute, Concurrency: o.Concurrency,
		Limited: s.limited, Authorize: s.authorize, ErrorBody: errorBody,
	})
	s.Control = s.core.Control()
	start, bytes := s.core.Handle(OpStart, s.start), s.core.Handle(providers.OpUpload, s.receive)
	s.mux.HandleFunc("POST "+uploadPath, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("upload_id") {
			bytes.ServeHTTP(w, r)
			return
		}
		start.ServeHTTP(w, r)
	})
	s.mux.Handle("GET "+Prefix+"/files", s.core.Handle(providers.OpList, s.list))
	s.mux.Handle("GET "+Prefix+"/files/{id}", s.core.Handle(providers.OpRetrieve, s.retrieve))
	s.mux.Handle("DELETE "+Prefix+"/files/{id}", s.core.Handle(providers.OpDelete, s.remove))
	s.mux.Handle("/", s.core.Handle("", func(*http.Request) simulator.Answer {
		return s.core.Error(http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.")
	}))
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(simulator.Header, simulator.HeaderValue)
	s.mux.ServeHTTP(w, r)
}

// authorize wants the key in x-goog-api-key. The bytes of an upload need only its id.
func (s *Server) authorize(r *http.Request) *simulator.Answer {
	if r.URL.Path == uploadPath && r.URL.Query().Has("upload_id") {
		return nil
	}
	var refusal simulator.Answer
	switch key := r.Header.Get("X-Goog-Api-Key"); {
	case key == "":
		refusal = s.answer(errNoKey)
	case s.options.Key != "" && subtle.ConstantTimeCompare([]byte(key), []byte(s.options.Key)) != 1:
		refusal = s.answer(errWrongKey)
	case s.options.Unpaid:
		refusal = s.notFound(r.PathValue("id"))
	default:
		return nil
	}
	return &refusal
}

func (s *Server) limited(e simulator.Excess) simulator.Answer {
	a := s.answer(errRate)
	a.Header = http.Header{"Retry-After": {strconv.Itoa(int((e.Wait + time.Second - 1) / time.Second))}}
	return a
}

func (s *Server) answer(e simulator.ErrorRow) simulator.Answer {
	return s.core.Error(e.Status, e.Code, e.Message)
}

// notFound is the answer for an unknown, deleted, expired or foreign file [L].
func (s *Server) notFound(id string) simulator.Answer {
	return s.core.Error(http.StatusForbidden, "PERMISSION_DENIED", strings.Replace(errNotFound.Message, "abc-123", id, 1))
}
