package mcpserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// The codes of errors that no answer of the gateway has.
const (
	codePathRefused = problem.Code("path_refused")    // LocalFiles has no file at the path
	codeUnreadable  = problem.Code("file_unreadable") // a local file could not be read
	codeUnreachable = problem.Code("unreachable")     // no connection to the gateway
)

// badArgument refuses the arguments of a call.
func badArgument(format string, args ...any) error {
	return problem.New(problem.InvalidRequest, fmt.Sprintf(format, args...))
}

// Refuse returns the error of a path that LocalFiles refuses.
func Refuse(detail string) error { return problem.New(codePathRefused, detail) }

// unreadable is the error of a local file that could not be read. Errors that have a code
// keep it.
func unreadable(err error) error {
	if _, ok := problem.CodeOf(err); ok {
		return err
	}
	return problem.New(codeUnreadable, err.Error())
}

// advice is what the agent can do about a code whose detail is written for a program.
var advice = map[problem.Code]string{
	problem.FileNotFound:    "find_files lists the files.",
	problem.BlobNotFound:    "find_files lists the files.",
	problem.Forbidden:       "You can't change that: ask the user for a token with the scope.",
	problem.Unauthenticated: "You can't change that: ask the user for a valid token (CAS_TOKEN, or the Authorization header of the MCP client).",
	codeUnreachable:         "Nothing is wrong with the call: ask the user whether the gateway runs, and whether CAS_URL is right.",
}

// codeOf returns the code of any error.
func codeOf(err error) problem.Code {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return cmp.Or(e.Problem.Code, codeOfStatus(e.Problem.Status))
	}
	if errors.Is(err, client.ErrUnreachable) {
		return codeUnreachable
	}
	if errors.Is(err, client.ErrChatBroke) {
		return problem.ProviderFailed
	}
	if code, ok := problem.CodeOf(err); ok {
		return code
	}
	return problem.Internal
}

// codeOfStatus returns the code of an answer that no gateway wrote.
func codeOfStatus(status int) problem.Code {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout: // a proxy's
		return codeUnreachable
	case http.StatusTooManyRequests:
		return problem.TooManyRequests
	case http.StatusUnauthorized:
		return problem.Unauthenticated
	case http.StatusForbidden:
		return problem.Forbidden
	}
	return problem.Internal
}

// lookLimit bounds a call that the gateway answers at once, with the client's repetitions.
// Most MCP clients give up after 60 seconds.
const lookLimit = 30 * time.Second

var errSilentGateway = fmt.Errorf("%w: it did not answer within %v", client.ErrUnreachable, lookLimit)

// withinLookLimit limits a call that the gateway answers at once.
func withinLookLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, lookLimit, errSilentGateway)
}

// toolFault is an error whose text is for the model.
type toolFault string

func (f toolFault) Error() string { return string(f) }

// giveCodes gives the errors of arguments a code. They come from the SDK, which checks the
// schemas before a tool is called.
func giveCodes(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
		res, err := next(ctx, method, r)
		called, ok := res.(*mcp.CallToolResult)
		if err != nil || !ok || called == nil {
			return res, err
		}
		fault := called.GetError()
		if _, ok := errors.AsType[toolFault](fault); fault != nil && !ok {
			called.Content = nil
			called.SetError(toolError(badArgument("%s", shortened(fault.Error()))))
		}
		return called, nil
	}
}

// maxFault bounds the text of an error of arguments, in characters: it repeats the argument.
const maxFault = 400

func shortened(text string) string {
	if short := fmt.Sprintf("%.*s", maxFault, text); short != text {
		return short + "…"
	}
	return text
}

// toolError makes the text that the model reads: the code, the detail, and what to do.
func toolError(err error) error {
	code := codeOf(err)
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		next := advice[code]
		if errors.Is(err, client.ErrChatBroke) {
			next = "Ask again: the answer's beginning is lost, and its tokens count."
		}
		return withAdvice(fmt.Sprintf("%s: %v", code, err), next)
	}
	p := e.Problem
	text := fmt.Sprintf("%s: %s", code, cmp.Or(p.Detail, p.Title))
	if p.ProviderMessage != "" && !strings.Contains(text, p.ProviderMessage) {
		text = withPeriod(text) + fmt.Sprintf(" %s answered: %q.", p.Provider, p.ProviderMessage)
	}
	next := advice[code]
	switch {
	case next != "" || !p.Retryable:
	case p.RetryAfter > 0:
		next = fmt.Sprintf("The same call may succeed in %d s.", p.RetryAfter)
	default:
		next = "The same call may succeed later."
	}
	return withAdvice(text, next)
}

// withAdvice adds a sentence to an error's text.
func withAdvice(text, advice string) error {
	if advice == "" {
		return toolFault(text)
	}
	return toolFault(withPeriod(text) + " " + advice)
}

func withPeriod(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// isRequestsFault reports whether a request with other parameters might have succeeded.
func isRequestsFault(code problem.Code) bool {
	return code.Status() == http.StatusBadRequest || code.Status() == http.StatusNotFound
}
