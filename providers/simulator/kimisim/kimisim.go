// Package kimisim simulates Kimi's (Moonshot's) file API, according to public material.
// Assumptions lists the behaviour that is only assumed. Server is a plain http.Handler
// with the API at /v1.
//
// Sources: the documentation, the OpenAPI document and the error table of
// platform.kimi.com, and published replies of the live service.
package kimisim

import (
	"cmp"
	"crypto/subtle"
	"fmt"
	"net/http"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// Prefix is the path of the API, at the end of a base URL.
const Prefix = "/v1"

// The documented limits. That MB and GB are powers of two is an assumption.
const (
	MaxFiles      = 1000
	MaxBatchFiles = 1000
	MaxFileSize   = 100 << 20
	MaxBytes      = 10 << 30
)

// Options are variants of the service. The zero value is the service as last documented,
// with its documented limits.
type Options struct {
	// Key is the only accepted API key; empty means any.
	Key string
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// MaxFiles, MaxFileSize and MaxBytes replace the documented limits where they are
	// not 0.
	MaxFiles    int
	MaxFileSize int64
	MaxBytes    int64
	// PerMinute and Concurrency limit requests, with 429; 0 means unlimited.
	// Whether file requests count against these limits is not documented.
	PerMinute   int
	Concurrency int

	// Order is the required order of an upload's form. Assumed: any order is accepted.
	Order simulator.Order
	// LegacyIDs gives 20 characters without prefix, as before 2026-08-31.
	LegacyIDs bool
	// KeepNames leaves a repeated file name as it is, as before 2026-08-31. Since then
	// it gets " (1)" before its extension.
	KeepNames bool
	// OldImages takes images for file-extract, as before 2026-08-31.
	OldImages bool
	// Status is what a finished file's says; empty means "ready". Others were seen:
	// "ok".
	Status string
	// Polls is how often a new file says "created" when it is looked up, before it is
	// finished. Until then its content is 404.
	Polls int
	// ParseFails ends that with "error", and a word on it in status_details. That the
	// word stands there is an assumption.
	ParseFails bool
	// Text replaces the extracted text where it is not nil.
	Text *string
	// Charset is the charset of the answer with a text, by its name in HTML; empty means
	// UTF-8. The answer declares it, unless CharsetUnsaid.
	Charset       string
	CharsetUnsaid bool
	// StaleChat is the status of a chat with the id of a file that isn't there; 0 means 404
	// resource_not_found_error, as looking one up. Which one Kimi sends is not published.
	StaleChat int
	// CheckVideo answers 500 where a .mp4 of purpose video doesn't look like one.
	CheckVideo bool
	// Rollout refuses every n-th request for want of the header Kimi-Api-Version, as
	// happened to one in six on 2026-09-02; 0 means none.
	Rollout int

	// PageSize makes lists come in pages, which follow each other with the parameter
	// after; 0 means that a list is whole. That lists are ever paged is an assumption.
	PageSize int
	// OldestFirst reverses lists. Assumed: the newest files come first.
	OldestFirst bool
}

// Assumptions lists the behaviour that no public material confirms.
var Assumptions = []string{
	"100 MB and 10 GB are 100 MiB and 10 GiB",
	"an account that is full by bytes answers 400 invalid_request_error, like one that is full by number",
	"a form's fields may come in any order (Options.Order)",
	"a form without a purpose is refused like one with an empty, invalid purpose; one without a file with 400 invalid_request_error",
	"lists come newest first (Options.OldestFirst), whole (Options.PageSize), and not filtered by any parameter",
	"file requests do not count against the requests per minute and at once (Options.PerMinute, Options.Concurrency)",
	"deleting a file that isn't there answers 404 resource_not_found_error, as looking one up does",
	"the content of an image or a video answers 400 invalid_request_error",
	"purposes batch_output and lambda, which the service names but no documentation describes, take uploads of any kind",
	"file-extract refuses an extension that isn't documented as it refuses an unsupported type",
	"a missing API key answers invalid_authentication_error, a wrong one incorrect_api_key_error",
	"files are kept until they are deleted",
	"a repeated name is looked for among all files of the account, of whatever purpose",
	"a file whose parsing failed says so in status_details",
	"a video is looked at only as far as the first bytes of an MP4 (Options.CheckVideo)",
	"a chat with the id of a file that isn't there answers as looking one up does (Options.StaleChat)",
	"a chat takes images and videos as data: URLs and by ms:// only, and refuses a file of another purpose",
	"a chat whose tool calls and answers don't match is refused with 400 invalid_request_error",
	"prompts are cached by their literal prefix, in chunks of 256 tokens of 4 bytes, without an end",
	"a batch file's content comes back as it was, although the service may normalise it",
}

// Server is a simulated Kimi account. It is safe for concurrent use.
type Server struct {
	simulator.Control
	options Options
	core    *simulator.Core
	mux     http.ServeMux
	rollout rollout
}

var _ http.Handler = (*Server)(nil)

// New returns a simulator without files.
func New(o Options) *Server {
	o.MaxFiles = cmp.Or(o.MaxFiles, MaxFiles)
	o.MaxFileSize = cmp.Or(o.MaxFileSize, MaxFileSize)
	o.MaxBytes = cmp.Or(o.MaxBytes, MaxBytes)
	o.Status = cmp.Or(o.Status, "ready")
	s := &Server{options: o, rollout: rollout{every: o.Rollout}}
	s.core = simulator.NewCore(simulator.Config{
		Now: o.Now, PerMinute: o.PerMinute, Concurrency: o.Concurrency,
		Limited: s.limited, Authorize: s.authorize, ErrorBody: errorBody,
		RequestIDHeader: "Msh-Request-Id",
	})
	s.Control = s.core.Control()
	s.mux.Handle("POST "+Prefix+"/files", s.core.Handle(providers.OpUpload, s.upload))
	s.mux.Handle("GET "+Prefix+"/files", s.core.Handle(providers.OpList, s.list))
	s.mux.Handle("GET "+Prefix+"/files/{id}", s.core.Handle(providers.OpRetrieve, s.retrieve))
	s.mux.Handle("DELETE "+Prefix+"/files/{id}", s.core.Handle(providers.OpDelete, s.remove))
	s.mux.Handle("GET "+Prefix+"/files/{id}/content", s.core.Handle(providers.OpDownload, s.content))
	s.mux.Handle("GET "+Prefix+"/models", s.core.HandleModels(s.chat()))
	s.mux.Handle("POST "+Prefix+"/chat/completions", s.core.HandleChat(s.chat()))
	s.mux.Handle("/", s.core.Handle("", func(*http.Request) simulator.Answer { return s.notFound() }))
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(simulator.Header, simulator.HeaderValue)
	s.mux.ServeHTTP(w, r)
}

func (s *Server) authorize(r *http.Request) *simulator.Answer {
	token, ok := simulator.Bearer(r)
	var refusal simulator.Answer
	switch {
	case !ok:
		refusal = s.answer(errNoKey)
	case s.options.Key != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.options.Key)) != 1:
		refusal = s.answer(errWrongKey)
	case r.Header.Get("Kimi-Api-Version") == "" && s.rollout.strikes():
		refusal = s.answer(errNoVersion)
	default:
		return nil
	}
	return &refusal
}

func (s *Server) limited(e simulator.Excess) simulator.Answer {
	seconds := int((e.Wait + time.Second - 1) / time.Second)
	what := "RPM"
	if e.Concurrent {
		what = "concurrency"
	}
	return s.core.Error(http.StatusTooManyRequests, rateLimitReached, rateMessage(what, e.Limit, seconds))
}

// errorBody is the shape of Kimi's errors.
func errorBody(_ int, code, message string) any {
	return map[string]any{"error": map[string]string{"message": message, "type": code}}
}

func (s *Server) answer(e simulator.ErrorRow) simulator.Answer {
	return s.core.Error(e.Status, e.Code, e.Message)
}

func (s *Server) notFound() simulator.Answer { return s.answer(errNotFound) }

func (s *Server) badRequest(format string, args ...any) simulator.Answer {
	return s.core.Error(http.StatusBadRequest, invalidRequest, fmt.Sprintf(format, args...))
}
