// Package glmsim simulates the file API of GLM (BigModel and Z.ai), according to public
// material. Assumptions lists the behaviour that is only assumed. Server is a plain
// http.Handler with the API at /api/paas/v4 and, for the coding plan, at
// /api/coding/paas/v4.
//
// Sources: the documentation, the OpenAPI document and the error tables of
// docs.bigmodel.cn and docs.z.ai, the public Python SDKs, and published replies of the
// live service.
package glmsim

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// Prefix is the path of the API, at the end of a base URL. CodingPrefix is that
// of the coding plan.
const (
	Prefix       = "/api/paas/v4"
	CodingPrefix = "/api/coding/paas/v4"
)

// MissingDelete is the answer to the delete of a missing file. It is not published, so an
// adapter must handle all of these.
type MissingDelete string

// The possible answers.
const (
	Missing404       MissingDelete = ""               // 404 with an error
	Missing400       MissingDelete = "400"            // 400 with code 1214
	MissingUndeleted MissingDelete = "deleted: false" // 200
	MissingDeleted   MissingDelete = "deleted: true"  // 200, as if it had been there
)

// Options are variants of the service. The zero value is BigModel as last documented,
// with its documented limits.
type Options struct {
	// Key is the one API key, "<id>.<secret>", that is taken, itself or in the form of
	// a JWT signed with it; empty means any.
	Key string
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// PerMinute and Concurrency limit requests, with 429 and code 1302; 0 means that
	// they don't.
	PerMinute   int
	Concurrency int

	// International is Z.ai's service: other formats and limits for the purpose agent,
	// whose files are kept for 180 days.
	International bool
	// OldPurposes also takes file-extract, fine-tune and retrieval, which the
	// specification had until July 2026.
	OldPurposes bool
	// MaxFiles replaces, where it isn't 0, the documented number of files of each
	// purpose.
	MaxFiles int
	// FileName sends the name as fileName and filename as null, and ids as
	// "20240514_<uuid>", as was seen in May 2024.
	FileName bool
	// ErrorsIn200 answers errors with status 200, except for those of a file's content,
	// which it would be taken for.
	ErrorsIn200 bool
	// NoPermission answers 434: file management is not open to the account.
	NoPermission bool
	// Order is the required order of an upload's form. Assumed: any order is accepted.
	Order simulator.Order
	// MissingDelete is the answer to a delete of a file that isn't there.
	MissingDelete MissingDelete
	// OldestFirst reverses lists. Assumed: the newest files come first.
	OldestFirst bool
	// ParserPolls is how often a task of the file parser is still at work when it is
	// asked for.
	ParserPolls int
}

// Assumptions lists the behaviour that no public material confirms.
var Assumptions = []string{
	"a delete of a file that isn't there answers 404 with code 1222 (Options.MissingDelete)",
	"GET /files/{id}, which doesn't exist, answers 404 with code 1222",
	"a file of a wrong format, too large for its purpose but not above 100 MB, or empty answers 400 with code 1214",
	"an unknown purpose answers 400 with code 1214, a missing parameter 400 with code 1213",
	"too many files of a purpose answer 400 with code 1210 and a message that names the number",
	"statuses 434 and 435 come with codes 434 and 435, and the upload frequency's 429 with code 1302",
	"sizes in MB are powers of two",
	"a form's fields may come in any order (Options.Order)",
	"lists come newest first (Options.OldestFirst), and begin anew where the file named by after is gone",
	"a limit outside of 1 to 100 answers 400 with code 1214",
	"file requests do not count against the account's concurrency (Options.PerMinute, Options.Concurrency)",
	"BigModel keeps files until they are deleted; Z.ai those of purpose agent for 180 days",
	"a file whose time is over is as if it had never been",
	"the content of any other purpose than batch answers 400 with code 1214",
	"the account errors 1110 to 1112, 1120 and 1121 come with status 401, and 1300 with 400",
	"an error within a 200 has the body it would have had with its own status",
	"a chat with a URL that can't be read, or with bytes that are no base64, answers 400 with code 1210",
	"a text model refuses every part but text, with 400 and code 1210",
	"the file parser extracts a text as it is, and of all else one line",
}

// Server is a simulated GLM account. It is safe for concurrent use.
type Server struct {
	simulator.Control
	options Options
	core    *simulator.Core
	mux     http.ServeMux
	parser  parser
}

var _ http.Handler = (*Server)(nil)

// New returns a simulator without files.
func New(o Options) *Server {
	s := &Server{options: o, parser: parser{tasks: map[string]*task{}}}
	s.core = simulator.NewCore(simulator.Config{
		Now: o.Now, PerMinute: o.PerMinute, Concurrency: o.Concurrency,
		Limited: s.limited, Authorize: s.authorize, ErrorBody: errorBody,
		RequestIDHeader: "X-Log-Id",
	})
	s.Control = s.core.Control()
	for _, prefix := range []string{Prefix, CodingPrefix} {
		s.handle("POST "+prefix+"/files", providers.OpUpload, s.upload)
		s.handle("GET "+prefix+"/files", providers.OpList, s.list)
		s.handle("DELETE "+prefix+"/files/{id}", providers.OpDelete, s.remove)
		s.handle("GET "+prefix+"/files/{id}", providers.OpRetrieve, s.noSuchAPI)
		s.handle("GET "+prefix+"/files/{id}/content", providers.OpDownload, s.content)
		s.handle("POST "+prefix+"/files/parser/create", opParse, s.parse)
		s.handle("POST "+prefix+"/files/parser/sync", opParse, s.parseSync)
		s.handle("GET "+prefix+"/files/parser/result/{task}/{format}", opParse, s.parsed)
		s.mux.Handle("GET "+prefix+"/models", s.core.HandleModels(s.chat()))
		s.mux.Handle("POST "+prefix+"/chat/completions", s.core.HandleChat(s.chat()))
	}
	s.handle("/", "", s.noSuchAPI)
	return s
}

// opParse is the file parser's, which stores no files.
const opParse providers.Op = "parse"

// handle adds what all answers of the service may have.
func (s *Server) handle(pattern string, op providers.Op, answer func(*http.Request) simulator.Answer) {
	s.mux.Handle(pattern, s.core.Handle(op, func(r *http.Request) simulator.Answer {
		if s.options.NoPermission {
			return s.answer(errNoPermission)
		}
		return answer(r)
	}))
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(simulator.Header, simulator.HeaderValue)
	if s.options.ErrorsIn200 && !strings.HasSuffix(r.URL.Path, "/content") {
		w = &lenient{ResponseWriter: w}
	}
	s.mux.ServeHTTP(w, r)
}

// lenient calls the service's own errors a success; not a gateway's pages, which
// are no JSON.
type lenient struct{ http.ResponseWriter }

func (l *lenient) WriteHeader(status int) {
	if status >= 400 && l.Header().Get("Content-Type") == "application/json" {
		status = http.StatusOK
	}
	l.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (l *lenient) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (s *Server) limited(simulator.Excess) simulator.Answer { return s.answer(errRate) }

// errorBody is the shape of GLM's errors. The code is a string.
func errorBody(_ int, code, message string) any {
	return map[string]any{"error": map[string]string{"code": code, "message": message}}
}

func (s *Server) answer(e simulator.ErrorRow) simulator.Answer {
	return s.core.Error(e.Status, e.Code, e.Message)
}

func (s *Server) noSuchAPI(*http.Request) simulator.Answer {
	return s.core.Error(http.StatusNotFound, "1222", "API 不存在")
}

// missing is the answer to a request without a parameter that it needs.
func (s *Server) missing(field string) simulator.Answer {
	return s.core.Error(http.StatusBadRequest, "1213", fmt.Sprintf("未正常接收到 %s 参数", field))
}

// invalid is the answer to a request with a parameter that makes no sense.
func (s *Server) invalid(field string) simulator.Answer {
	return s.core.Error(http.StatusBadRequest, "1214", fmt.Sprintf("%s 参数非法。请检查文档", field))
}

func (s *Server) maxFiles(p purpose) int { return cmp.Or(s.options.MaxFiles, p.maxFiles) }
