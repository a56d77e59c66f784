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
	maxMessage = 500 // bytes
	maxCode    = 100
	redacted   = "[redacted]"
	// minSecret is the minimum length, in bytes, of a part of a key that is redacted:
	// shorter texts occur everywhere.
	minSecret = 6
)

// looksSecret matches texts that look like a credential: keys in the form that many
// providers use, also with some characters masked, and signed tokens. The character
// before it is kept.
var looksSecret = regexp.MustCompile(`(?i)(^|[^a-z0-9])(?:(?:sk|ak)-[a-z0-9_*.-]{6,}|eyJ[\w-]+\.[\w-]+\.[\w-]*)`)

// redactor removes secrets from texts.
type redactor struct {
	secrets []*regexp.Regexp // none matches an empty text
}

// newRedactor removes these secrets, with and without the prefix "sk-", their parts
// between dots, and the matches of private, which may be nil.
func newRedactor(secrets []string, private *regexp.Regexp) redactor {
	var parts []string
	for _, secret := range secrets {
		for _, part := range append(strings.Split(secret, "."), secret, strings.TrimPrefix(secret, "sk-")) {
			if part == secret && part != "" || len(part) >= minSecret {
				parts = append(parts, part)
			}
		}
	}
	// The longest first: replacing a part first would leave the rest of the secret.
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

// text returns a text without secrets, as one line of valid UTF-8 of at most limit
// bytes.
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

// shorten cuts a text between two characters.
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

// clean redacts and shortens the texts of an error.
func (r redactor) clean(e *providers.Error) {
	e.Code = r.text(e.Code, maxCode)
	e.Message = r.text(e.Message, maxMessage)
	e.Hint = r.text(e.Hint, maxMessage)
}
