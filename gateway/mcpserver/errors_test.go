package mcpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// noFiles are local files of which there are none.
type noFiles struct{}

func (noFiles) Find(string) (LocalFile, error) { return LocalFile{}, Refuse("There is none.") }
func (noFiles) Folders() []string              { return []string{"/x"} }

// brokenFiles can be found, and not be read.
type brokenFiles struct{ noFiles }

func (brokenFiles) Find(name string) (LocalFile, error) {
	return LocalFile{Name: name, Size: 1, Open: func() (io.ReadCloser, error) {
		if name == "closed" {
			return nil, errors.New("the disk is gone")
		}
		return io.NopCloser(iotest.ErrReader(errors.New("the disk is broken"))), nil
	}}, nil
}

// The text of each error begins with a code.
func TestToolErrorsHaveACode(t *testing.T) {
	t.Parallel()
	answer := func(p problem.Details) error { return &client.Error{Problem: p} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{badArgument("x: %d", 1), "invalid_request: x: 1"},
		{Refuse("No."), "path_refused: No."},
		{answer(problem.CopyNotFound.Details("none", "")), "copy_not_found: none"},
		{answer(problem.FileNotFound.Details("none", "")), "file_not_found: none. find_files lists the files."},
		{answer(problem.StoreUnavailable.Details("Down.", "")), "store_unavailable: Down. The same call may succeed in 2 s."},
		{answer(problem.Details{Code: problem.ProviderRejected, Detail: "kimi refused it", Provider: "kimi", ProviderMessage: "too long"}), `provider_rejected: kimi refused it. kimi answered: "too long".`},
		{answer(problem.Details{Code: problem.ProviderRejected, Detail: "kimi: too long", Provider: "kimi", ProviderMessage: "too long"}), "provider_rejected: kimi: too long"},
		{answer(problem.Details{Detail: "a proxy answered", Retryable: true}), "internal: a proxy answered. The same call may succeed later."},
		{answer(problem.Details{Detail: "a proxy answered", Status: 502, Retryable: true}), "unreachable: a proxy answered. Nothing is wrong"},
		{answer(problem.Details{Detail: "a proxy answered", Status: 429, Retryable: true}), "too_many_requests: a proxy answered. The same call may succeed later."},
		{answer(problem.Details{Detail: "a proxy answered", Status: 404}), "internal: a proxy answered"},
		{fmt.Errorf("%w: x; is it running?", client.ErrUnreachable), "unreachable: the gateway can't be reached: x; is it running? Nothing is wrong"},
		{fmt.Errorf("%w: %w", client.ErrChatBroke, io.ErrUnexpectedEOF), "provider_failed: the answer broke off: unexpected EOF. Ask again"},
		{fmt.Errorf("it changed: %w", cas.ErrDigestMismatch), "digest_mismatch: it changed: "},
		{errors.New("http://x sent another part than asked for"), "internal: http://x sent another part"},
		{context.DeadlineExceeded, "internal: context deadline exceeded"},
	} {
		if got := toolError(tt.err).Error(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%v became %q, want %q", tt.err, got, tt.want)
		}
	}
}

// So does the text of an error of the disk.
func TestUnreadableLocalFile(t *testing.T) {
	t.Parallel()
	session := newAgent(t, Options{Client: (&fakeGateway{}).newClient(t), LocalFiles: brokenFiles{}})
	for name, want := range map[string]string{"closed": "file_unreadable: the disk is gone", "broken": "file_unreadable: the disk is broken"} {
		res, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: ToolPutFile, Arguments: map[string]any{"path": name}})
		if err != nil || !res.IsError || !strings.HasPrefix(contentText(res.Content), want) {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}

// failWith answers with a problem.
func failWith(code problem.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(code.Status())
		_ = json.NewEncoder(w).Encode(api.ErrorAnswer{Details: code.Details("why", "")})
	}
}

// An error of resources tells whether other parameters would help, and has the code.
func TestErrorsOfResources(t *testing.T) {
	t.Parallel()
	g := &fakeGateway{content: bytes.Repeat([]byte("x"), maxResource+1), mediaType: "text/plain"}
	session := newAgent(t, Options{Client: g.newClient(t)})
	read := func() error {
		_, err := session.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: digestURI + g.digest().Hex()})
		return err
	}
	list := func() error {
		_, err := session.ListResources(t.Context(), &mcp.ListResourcesParams{Cursor: "x"})
		return err
	}
	for _, tt := range []struct {
		name   string
		fail   http.HandlerFunc
		call   func() error
		number int64
		code   problem.Code
	}{
		{"too large", nil, read, jsonrpc.CodeInvalidParams, problem.InvalidRequest},
		{"store down", failWith(problem.StoreUnavailable), read, jsonrpc.CodeInternalError, problem.StoreUnavailable},
		{"a token ended", failWith(problem.Unauthenticated), read, jsonrpc.CodeInternalError, problem.Unauthenticated},
		{"no gateway", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, read, jsonrpc.CodeInternalError, problem.Internal},
		{"long cursor", nil, func() error {
			_, err := session.ListResources(t.Context(), &mcp.ListResourcesParams{Cursor: strings.Repeat("x", maxArgument+1)})
			return err
		}, jsonrpc.CodeInvalidParams, problem.InvalidRequest},
		{"wrong cursor", failWith(problem.InvalidRequest), list, jsonrpc.CodeInvalidParams, problem.InvalidRequest},
		{"index down", failWith(problem.IndexUnavailable), list, jsonrpc.CodeInternalError, problem.IndexUnavailable},
	} {
		g.fail = tt.fail
		err := tt.call()
		e, ok := errors.AsType[*jsonrpc.Error](err)
		if !ok || e.Code != tt.number || !strings.Contains(string(e.Data), `"`+string(tt.code)+`"`) {
			t.Errorf("%s: %#v", tt.name, err)
		}
	}
	g.fail = failWith(problem.BlobNotFound)
	want := mcp.ResourceNotFoundError(digestURI + g.digest().Hex()).Error()
	if err := read(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("not found: %v, want %s", err, want)
	}
}

// Errors of arguments, which the SDK finds, have a code as well. Arguments that would make
// too long a URL are among them.
func TestErrorsOfArgumentsHaveACode(t *testing.T) {
	t.Parallel()
	session := newAgent(t, Options{Client: (&fakeGateway{}).newClient(t), LocalFiles: noFiles{}})
	long := strings.Repeat("x", maxArgument+1)
	for _, tt := range []struct {
		tool      string
		arguments map[string]any
	}{
		{ToolReadFile, map[string]any{}},
		{ToolReadFile, map[string]any{"file": "file-1", "length": "many"}},
		{ToolReadFile, map[string]any{"file": "file-1", "offset": 1.5}},
		{ToolReadFile, map[string]any{"file": long}},
		{ToolReadFile, map[string]any{"file": "file-1", "unknown": true}},
		{ToolUploadURL, map[string]any{"filename": strings.Repeat("王", 100_000)}},
		{ToolFindFiles, map[string]any{"limit": 0}},
		{ToolFindFiles, map[string]any{"name_prefix": long}},
		{ToolFindFiles, map[string]any{"tag": long}},
		{ToolFindFiles, map[string]any{"context": long}},
		{ToolFindFiles, map[string]any{"after": long}},
		{ToolReferenceFile, map[string]any{"file": "file-1", "provider": long}},
		{ToolReferenceFile, map[string]any{"file": "file-1", "provider": "kimi", "kind": long}},
		{ToolDeleteFile, map[string]any{"file_id": long}},
		{ToolDeleteFile, map[string]any{"file_id": []string{"file-1"}}},
		{ToolPutFile, map[string]any{"tags": "x"}},
		{ToolPutFile, map[string]any{"path": "x", "tags": []string{long}}},
		{ToolPutFile, map[string]any{"path": "x", "tags": []any{1}}},
		{ToolReadFile, map[string]any{"file": "file-1", long: true}},
		{ToolReadFile, map[string]any{"file": "file-1", "as": long}},
		{ToolReadFile, map[string]any{"file": nil}},
		{ToolDeleteFile, map[string]any{"file_id": "file-1", "everywhere": "yes"}},
		{ToolFindFiles, map[string]any{"sha256": strings.Repeat("A", 64)}},
		{ToolFindFiles, map[string]any{"limit": 1e300}},
		{ToolAskModel, map[string]any{"prompt": "", "model": "m"}},
		{ToolAskModel, map[string]any{"prompt": "x", "model": "m", "files": make([]string, maxAskedFiles+1)}},
	} {
		res, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tt.tool, Arguments: tt.arguments})
		if err != nil || !res.IsError || !strings.HasPrefix(contentText(res.Content), "invalid_request: ") || len(contentText(res.Content)) > maxFault || strings.Contains(contentText(res.Content), "validating") {
			t.Errorf("%s %.60v: %s, %v", tt.tool, tt.arguments, contentText(res.Content), err)
		}
	}
	for _, err := range []error{
		func() error { _, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: long}); return err }(),
		func() error {
			_, err := session.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: fileURI + long})
			return err
		}(),
	} {
		if e, ok := errors.AsType[*jsonrpc.Error](err); !ok || e.Code != jsonrpc.CodeInvalidParams || len(e.Message) > maxFault {
			t.Errorf("%.500v", err)
		}
	}
}

// The error of an argument says in words what is allowed.
func TestWordsOfArguments(t *testing.T) {
	t.Parallel()
	schemas := map[string]*jsonschema.Schema{}
	for _, tool := range (&server{localFiles: noFiles{}}).tools() {
		schemas[tool.name] = tool.arguments
	}
	for _, tt := range [][3]string{
		{ToolReadFile, `{}`, "file is missing: a text is needed"},
		{ToolReadFile, `[]`, "the arguments are no JSON object"},
		{ToolReadFile, `{"file":"x","as":"pdf"}`, "as: auto, text or link is needed"},
		{ToolReadFile, `{"file":"x","size":1}`, `there is no argument "size"; there are as, file, length, offset`},
		{ToolReadFile, `{"file":"x","length":0}`, "length: a whole number from 1 to 65536 is needed"},
		{ToolReadFile, `{"file":"x","offset":-1}`, "offset: a whole number from 0 to 9007199254740991 is needed"},
		{ToolUploadURL, `{"filename":"x","max_bytes":1000000000000000000}`, "max_bytes: a whole number from 1 to 9007199254740991 is needed"},
		{ToolFindFiles, `{"sha256":"x"}`, "sha256: 64 digits of lowercase hexadecimal are needed"},
		{ToolFindFiles, `{"tag":1}`, "tag: a text of at most 1024 characters is needed"},
		{ToolAskModel, `{"prompt":"","model":"m"}`, "prompt: a text that is not empty is needed"},
		{ToolDeleteFile, `{"file_id":"x","everywhere":1}`, "everywhere: true or false is needed"},
		{ToolPutFile, `{"path":"x","tags":[1]}`, "tags: a list of texts of at most 1024 characters is needed"},
	} {
		if err := checkArguments(schemas[tt[0]], json.RawMessage(tt[1])); err == nil || toolError(err).Error() != "invalid_request: "+tt[2] {
			t.Errorf("%s %s: %v, want %s", tt[0], tt[1], err, tt[2])
		}
	}
	for _, tt := range [][2]string{{ToolFindFiles, ``}, {ToolFindFiles, `null`}, {ToolPutFile, `{"path":"x","tags":null}`}, {ToolReadFile, `{"file":"x","length":1e2,"as":"text"}`}} {
		if err := checkArguments(schemas[tt[0]], json.RawMessage(tt[1])); err != nil {
			t.Errorf("%s %s: %v", tt[0], tt[1], err)
		}
	}
}

// silent is a gateway that never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

// A call that a gateway answers at once doesn't wait longer than an agent does.
func TestSilentGateway(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *server) error{
		"find": func(ctx context.Context, s *server) error { _, err := s.findFiles(ctx, nil, findFilesIn{}); return err },
		"read": func(ctx context.Context, s *server) error {
			_, err := s.readFile(ctx, nil, readFileIn{File: "file-1"})
			return err
		},
		"delete": func(ctx context.Context, s *server) error {
			_, err := s.deleteFile(ctx, nil, deleteFileIn{FileID: "file-1"})
			return err
		},
		"upload": func(ctx context.Context, s *server) error {
			_, err := s.uploadURL(ctx, nil, uploadURLIn{Filename: "x"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := client.New("http://gateway", client.Options{HTTPClient: &http.Client{Transport: silent{}}})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				err = call(t.Context(), &server{client: c, allows: anyScope})
				if waited := time.Since(began); codeOf(err) != codeUnreachable || waited > lookLimit {
					t.Errorf("after %v: %v", waited, err)
				}
			})
		})
	}
}

// An empty list of tags is no tags.
func TestSameFileKey(t *testing.T) {
	t.Parallel()
	key := func(tags []string) string { return sameFileKey(cas.Digest{}, client.NewFile{Name: "a", Tags: tags}, 0) }
	if key(nil) != key([]string{}) || key(nil) == key([]string{"x"}) {
		t.Errorf("%s, %s, %s", key(nil), key([]string{}), key([]string{"x"}))
	}
}
