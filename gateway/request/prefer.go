package request

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Preference is what the Prefer fields of a request (RFC 7240) say about waiting and redirects.
type Preference struct {
	Async   bool          // respond-async: don't wait, or no longer than Wait
	Wait    time.Duration // how long to wait, if HasWait
	HasWait bool          // the client named a time
	// NoRedirect: redirect=none, an extension of ours. The client can't reach the object
	// store, so the gateway must serve the bytes itself.
	NoRedirect bool
}

const (
	redirectName = "redirect"
	noRedirect   = "none"
)

// NoRedirectQuery is a part of the query that says what Preference.NoRedirect does, in URLs that
// the gateway gives to others: they need not reach the object store.
const NoRedirectQuery = redirectName + "=" + noRedirect

// NoRedirect reports whether a request says that the gateway must serve the bytes itself.
func NoRedirect(r *http.Request) bool {
	return r.URL.RawQuery != "" && strings.EqualFold(r.URL.Query().Get(redirectName), noRedirect) || Prefer(r).NoRedirect
}

// Patience returns how long to wait for work; usual is the time for a client that
// has no preference.
func (p Preference) Patience(usual time.Duration) time.Duration {
	switch {
	case p.HasWait:
		return p.Wait
	case p.Async:
		return 0
	}
	return usual
}

// AppliedWhenDone returns the Preference-Applied of an answer that waited for the
// work; empty if no preference mattered.
func (p Preference) AppliedWhenDone() string {
	if !p.HasWait {
		return ""
	}
	return "wait=" + strconv.Itoa(int(p.Wait/time.Second))
}

// AppliedWhenAccepted returns the Preference-Applied of an answer that went out before
// the work was done; empty if no preference mattered.
func (p Preference) AppliedWhenAccepted() string {
	switch wait := p.AppliedWhenDone(); {
	case !p.Async:
		return wait
	case wait == "":
		return "respond-async"
	default:
		return "respond-async, " + wait
	}
}

// Prefer reads the Prefer fields of a request. As RFC 7240 says, unknown and
// malformed preferences are skipped, the first of several with the same name counts,
// and names are compared without regard to case. That is why httpsfv doesn't read
// them: docs/design.md has the reasons.
func Prefer(r *http.Request) Preference { return parsePrefer(r.Header["Prefer"]) }

func parsePrefer(lines []string) Preference {
	var p Preference
	for _, line := range lines {
		for element := range listElements(line) {
			// Parameters, after a semicolon, have no meaning for any of these.
			name, value, _ := strings.Cut(cutUnquoted(element, ';'), "=")
			name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
			switch {
			case strings.EqualFold(name, "respond-async") && value == "":
				p.Async = true
			case strings.EqualFold(name, redirectName) && strings.EqualFold(value, noRedirect):
				p.NoRedirect = true
			case strings.EqualFold(name, "wait") && !p.HasWait:
				if n, ok := parseSeconds(value); ok {
					p.HasWait, p.Wait = true, min(n, maxWait)
				}
			}
		}
	}
	return p
}

// parseSeconds reads digits alone. A number that is too large becomes a very long time.
func parseSeconds(text string) (time.Duration, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 1<<63 - 1, true
	}
	return time.Duration(n) * time.Second, true
}

// listElements yields the elements of a comma-separated list. A comma within quotes does
// not separate.
func listElements(line string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for line != "" {
			element := cutUnquoted(line, ',')
			if !yield(element) {
				return
			}
			line = strings.TrimPrefix(line[len(element):], ",")
		}
	}
}

// cutUnquoted returns what comes before the first separator outside of quotes.
func cutUnquoted(s string, separator byte) string {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			return s[:i]
		}
	}
	return s
}

// unquote removes the quotes around a value. Values that matter here have no escapes.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
