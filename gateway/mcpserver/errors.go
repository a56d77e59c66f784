package mcpserver

import (
	"cmp"
	"errors"
	"fmt"

	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// refusal is an error of a tool itself.
type refusal struct {
	code   problem.Code
	detail string
}

func (e *refusal) Error() string { return string(e.code) + ": " + e.detail }

// badArgument refuses the arguments of a call.
func badArgument(format string, args ...any) error {
	return &refusal{problem.InvalidRequest, fmt.Sprintf(format, args...)}
}

// advice is what the agent can do about a code whose detail is written for a program.
var advice = map[problem.Code]string{
	problem.FileNotFound:    "find_files lists the files.",
	problem.BlobNotFound:    "find_files lists the files.",
	problem.Forbidden:       "You can't change that: ask the user for a token with the scope.",
	problem.Unauthenticated: "You can't change that: ask the user for a valid token (CAS_TOKEN, or the Authorization header of the MCP client).",
}

// toolError makes the text that the model reads: the code, the detail, and what to do.
func toolError(err error) error {
	if e, ok := errors.AsType[*client.Error](err); ok {
		p := e.Problem
		code := cmp.Or(p.Code, problem.Internal)
		text := fmt.Sprintf("%s: %s", code, cmp.Or(p.Detail, p.Title))
		if p.ProviderMessage != "" {
			text += fmt.Sprintf(" %s answered: %q.", p.Provider, p.ProviderMessage)
		}
		switch {
		case advice[code] != "":
			text += " " + advice[code]
		case p.Retryable && p.RetryAfter > 0:
			text += fmt.Sprintf(" The same call may succeed after %d seconds.", p.RetryAfter)
		case p.Retryable:
			text += " The same call may succeed later."
		}
		return errors.New(text)
	}
	if errors.Is(err, client.ErrUnreachable) {
		return fmt.Errorf("unreachable: %w. Nothing is wrong with the call: ask the user whether the gateway runs, and whether CAS_URL is right", err)
	}
	return err
}

// Refuse returns the error of a path that LocalFiles refuses.
func Refuse(detail string) error { return &refusal{"path_refused", detail} }
