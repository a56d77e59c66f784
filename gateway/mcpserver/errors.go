package mcpserver

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

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
		return cmp.Or(e.Problem.Code, problem.Internal)
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

// toolError makes the text that the model reads: the code, the detail, and what to do.
func toolError(err error) error {
	code := codeOf(err)
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return withAdvice(fmt.Sprintf("%s: %v", code, err), advice[code])
	}
	p := e.Problem
	text := fmt.Sprintf("%s: %s", code, cmp.Or(p.Detail, p.Title))
	if p.ProviderMessage != "" {
		text += fmt.Sprintf(" %s answered: %q.", p.Provider, p.ProviderMessage)
	}
	next := advice[code]
	switch {
	case next != "" || !p.Retryable:
	case p.RetryAfter > 0:
		next = fmt.Sprintf("The same call may succeed after %d seconds.", p.RetryAfter)
	default:
		next = "The same call may succeed later."
	}
	return withAdvice(text, next)
}

// withAdvice adds a sentence to an error's text.
func withAdvice(text, advice string) error {
	if advice == "" {
		return errors.New(text)
	}
	if last := text[len(text)-1]; last != '.' && last != '?' {
		text += "."
	}
	return errors.New(text + " " + advice)
}

// isRequestsFault reports whether a request with other parameters might have succeeded.
func isRequestsFault(code problem.Code) bool {
	return code.Status() == http.StatusBadRequest || code.Status() == http.StatusNotFound
}
