package gateway

import (
	"strconv"
	"strings"
	"time"
)

// preference is what a client's Prefer headers (RFC 7240) say of waiting.
type preference struct {
	async bool          // respond-async: don't wait, or no longer than wait
	wait  time.Duration // where hasWait: how long to wait
	// hasWait: the client named a time.
	hasWait bool
}

// patience returns how long to wait for work, where usual is the gateway's own
// idea of it.
func (p preference) patience(usual time.Duration) time.Duration {
	switch {
	case p.hasWait:
		return p.wait
	case p.async:
		return 0
	}
	return usual
}

// applied returns what Preference-Applied says of an answer that did, or did not,
// go out before the work was done; empty where no preference mattered.
func (p preference) applied(early bool) string {
	var parts []string
	if p.async && early {
		parts = append(parts, "respond-async")
	}
	if p.hasWait {
		parts = append(parts, "wait="+strconv.Itoa(int(p.wait/time.Second)))
	}
	return strings.Join(parts, ", ")
}

// parsePrefer reads Prefer headers. As RFC 7240 has it, what is unknown or
// malformed is passed over, the first of several preferences of a name counts, and
// names are compared without regard to case.
func parsePrefer(lines []string) preference {
	var p preference
	for _, line := range lines {
		for element := range listElements(line) {
			// Parameters, after a semicolon, have no meaning for either preference.
			name, value, _ := strings.Cut(cutUnquoted(element, ';'), "=")
			name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
			switch {
			case strings.EqualFold(name, "respond-async") && value == "":
				p.async = true
			case strings.EqualFold(name, "wait") && !p.hasWait:
				if n, ok := parseSeconds(value); ok {
					p.hasWait, p.wait = true, min(n, maxWait)
				}
			}
		}
	}
	return p
}

// parseSeconds reads delta-seconds: digits alone, and numbers too large for any
// clock come out as a very long time.
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

// listElements yields the elements of a comma-separated list in which commas
// within quotes separate nothing.
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

// unquote takes the quotes off a quoted value; no value that matters here has
// anything to escape.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
