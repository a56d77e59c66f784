package openaicompat

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"casgate/providers"
)

const (
	maxMessage = 500 // bytes of a provider's message that are kept
	maxCode    = 100
	redacted   = "[redacted]"
	// minSecret is the length from which a part of a key is looked for: shorter ones
	// are found everywhere.
	minSecret = 6
)

// looksSecret matches what looks like somebody's credential, ours or not: keys as
// many providers form them, partly blotted out or not, and signed tokens. What comes
// before is kept.
var looksSecret = regexp.MustCompile(`(?i)(^|[^a-z0-9])(?:(?:sk|ak)-[a-z0-9_*.-]{6,}|eyJ[\w-]+\.[\w-]+\.[\w-]*)`)

// redactor takes secrets out of text.
type redactor struct {
	secrets []*regexp.Regexp // none of which matches an empty text
}

// newRedactor hides these secrets, with and without the "sk-" before them, their
// parts between dots, and what private matches, which may be nil.
func newRedactor(secrets []string, private *regexp.Regexp) redactor {
	var parts []string
	for _, secret := range secrets {
		for _, part := range append(strings.Split(secret, "."), secret, strings.TrimPrefix(secret, "sk-")) {
			if part == secret && part != "" || len(part) >= minSecret {
				parts = append(parts, part)
			}
		}
	}
	// The longest first, so that none is spoilt by a part of it being replaced.
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	var r redactor
	for _, part := range parts {
		r.secrets = append(r.secrets, regexp.MustCompile("(?i)"+regexp.QuoteMeta(part)))
	}
	if private != nil {
		r.secrets = append(r.secrets, private)
	}
	return r
}

// text returns a text without secrets, in one line of valid UTF-8, and not longer
// than limit bytes.
func (r redactor) text(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
	for _, secret := range r.secrets {
		s = secret.ReplaceAllLiteralString(s, redacted)
	}
	s = looksSecret.ReplaceAllString(s, "${1}"+redacted)
	return shorten(strings.TrimSpace(s), limit)
}

// shorten cuts between characters.
func shorten(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	s = s[:limit-len(mark)]
	for s != "" && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + mark
}

// clean redacts and shortens what an error tells.
func (r redactor) clean(e *providers.Error) {
	e.Code = r.text(e.Code, maxCode)
	e.Message = r.text(e.Message, maxMessage)
	e.Hint = r.text(e.Hint, maxMessage)
}
